"""What works in a process that can't import dask-awkward, and what says that it doesn't."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run_without_dask_awkward(code: str) -> str:
    prevent = "import sys; sys.modules['dask_awkward'] = None\nimport servicex_layer as sxl\n"
    run = subprocess.run(  # noqa: S603
        [sys.executable, "-c", prevent + code], check=True, capture_output=True, text=True
    )
    return run.stdout


@pytest.mark.parametrize(
    "call", ["sxl.from_servicex('5f1c0d3e')", "sxl.deliver({})", "sxl.nanoevents('5f1c0d3e')"]
)
def test_what_makes_arrays_says_at_once_what_to_install(call: str):
    code = f"try:\n    {call}\nexcept sxl.errors.MissingExtraError as error:\n    print(error)"
    name = call.removeprefix("sxl.").partition("(")[0]
    message = f"{name} needs dask-awkward: pip install 'servicex_layer[dask-awkward]'"
    assert run_without_dask_awkward(code).startswith(message)


def test_all_public_names_can_be_imported():
    code = "print(*[name for name in sxl.__all__ if getattr(sxl, name) is None])"
    assert not run_without_dask_awkward(code).strip()


def test_layers_have_their_tasks_and_survive_a_pickle():
    code = """
import pickle
files = sxl.SXFileLayer("5f1c0d3e", 3)
load = sxl.UprootLoadLayer(files, form="{x: float64}", tree="events")
copy = pickle.loads(pickle.dumps(load))
print(len(files), len(load), list(copy) == list(load), load.meta.fields)
"""
    assert run_without_dask_awkward(code) == "3 3 True ['x']\n"


def test_tasks_refer_to_no_class_of_dask_awkward():
    # A worker without dask-awkward runs tasks of a client that has it.
    code = """
import pickle
files = sxl.SXFileLayer("5f1c0d3e", 3)
load = sxl.UprootLoadLayer(files, form="{x: float64}", tree="events")
print(pickle.dumps(list(dict(load).values())).hex())
"""
    run = subprocess.run(  # noqa: S603
        [sys.executable, "-c", "import servicex_layer as sxl" + code],
        check=True,
        capture_output=True,
        text=True,
    )
    tasks = f"bytes.fromhex({run.stdout.strip()!r})"
    assert run_without_dask_awkward(f"import pickle; print(len(pickle.loads({tasks})))") == "3\n"
