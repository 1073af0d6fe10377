from __future__ import annotations

import subprocess
import sys

import pytest

import servicex_layer as sxl


def test_completion_on_the_package_lists_its_public_names_only():
    assert dir(sxl) == [
        "DerivedQuery",
        "SXFileLayer",
        "UprootLoadLayer",
        "__version__",
        "apply_to_dataset",
        "cancel",
        "deliver",
        "derive_query",
        "errors",
        "forms",
        "from_servicex",
        "histograms",
        "local",
        "map_files",
        "nanoevents",
        "progress",
        "register",
        "report",
        "status",
        "submit",
        "work_items",
    ]


def test_completion_on_report_lists_its_public_names_only():
    assert dir(sxl.report) == ["failures", "record", "summary", "timeline"]


@pytest.mark.parametrize("module", [sxl, sxl.report], ids=["sxl", "sxl.report"])
def test_every_listed_name_exists(module: object):
    for name in dir(module):
        assert getattr(module, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'servicex_layer' has no attribute 'from_service'"):
        sxl.from_service  # noqa: B018


def test_importing_the_package_imports_no_slow_library():
    slow = {"awkward", "dask_awkward", "distributed", "httpx", "numpy", "pyarrow", "uproot"}
    code = "import sys, servicex_layer; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert slow.isdisjoint(run.stdout.split())
