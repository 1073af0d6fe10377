from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servicex import ServiceXSpec

from servicex_layer.errors import InvalidArgumentError, MissingExtraError
from servicex_layer.submission._spec import parse_spec


def test_a_mapping_an_object_and_a_file_are_read_alike(
    sample: Callable[..., dict[str, Any]], inputs: list[Path], tmp_path: Path
):
    mapping = {"General": {"OutputFormat": "parquet"}, "Sample": [sample("a", inputs[:2])]}
    path = tmp_path / "spec.yaml"
    path.write_text(
        "General:\n  OutputFormat: parquet\nSample:\n"
        f"  - Name: a\n    Dataset: !FileList {list(map(str, inputs[:2]))}\n"
        '    Query: !UprootRaw \'{"treename": "events", "filter_name": ["x"]}\'\n'
    )
    specs = [parse_spec(spec) for spec in (mapping, ServiceXSpec(**mapping), path, str(path))]
    assert {spec.Sample[0].hash for spec in specs} == {specs[0].Sample[0].hash}
    assert {spec.General.OutputFormat for spec in specs} == {specs[0].General.OutputFormat}


def test_a_spec_object_of_the_user_is_not_changed(
    sample: Callable[..., dict[str, Any]], inputs: list[Path]
):
    spec = ServiceXSpec(Sample=[sample("a", inputs)])
    parse_spec(spec).Sample[0].Name = "b"
    assert spec.Sample[0].Name == "a"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "Sample"),
        ({"Sample": [{"Name": "x"}]}, "Must specify one of Dataset"),
        ([1], "mapping with the key Sample"),
        ("no-such.yaml", r"no-such\.yaml cannot be read"),
    ],
)
def test_anything_but_a_specification_is_an_error(spec: Any, message: str):
    with pytest.raises(InvalidArgumentError, match=message):
        parse_spec(spec)


def test_a_file_that_is_not_yaml_is_an_error(tmp_path: Path):
    path = tmp_path / "spec.yaml"
    path.write_text("Sample: [")
    with pytest.raises(InvalidArgumentError, match=r"spec\.yaml is not valid YAML"):
        parse_spec(path)


def test_without_the_official_client_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setitem(sys.modules, "servicex", None)
    with pytest.raises(MissingExtraError, match=r"servicex_layer\[servicex\]"):
        parse_spec({"Sample": []})
