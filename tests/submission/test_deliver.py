from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import pytest
from click.testing import CliRunner
from dask.base import compute
from distributed import Client, LocalCluster
from servicex import ServiceXSpec, dataset

import servicex_layer as sxl
from servicex_layer.cli import main
from servicex_layer.errors import BadDatasetError, FailedFilesError
from servicex_layer.local import Faults, LocalServiceX

FORM = "{x: float64}"


def status_of(request_id: str) -> str:
    state = json.loads(CliRunner().invoke(main, ["status", request_id, "--json"]).output)
    return str(state["status"])


def test_each_sample_is_an_array(
    service: LocalServiceX,
    sample: Callable[..., dict[str, Any]],
    inputs: list[Path],
    x_of: Callable[..., list[float]],
):
    spec = {"Sample": [sample("first", inputs[:3]), sample("last", inputs[3:])]}
    samples = sxl.deliver(spec, form=FORM)
    assert {name: array.npartitions for name, array in samples.items()} == {"first": 3, "last": 1}
    computed = compute(samples)[0]
    assert sorted(computed["first"].x) == x_of(0, 1, 2)
    assert sorted(computed["last"].x) == x_of(3)


def test_it_returns_before_the_transform_ends(
    use_with_own_cache: Callable[[LocalServiceX], Path],
    sample: Callable[..., dict[str, Any]],
    inputs: list[Path],
    request_id_of: Callable[[Any], str],
    x_of: Callable[..., list[float]],
):
    with LocalServiceX(faults=Faults(never={3}), lookup_time=0.2) as service:
        use_with_own_cache(service)
        events = sxl.deliver({"Sample": [sample("slow", inputs)]}, form=FORM)["slow"]
        assert events.npartitions == 4
        assert status_of(request_id_of(events)) == "Running"
        assert sorted(events.partitions[:3].x.compute()) == x_of(0, 1, 2)


def test_it_takes_what_the_official_client_takes(
    service: LocalServiceX,
    sample: Callable[..., dict[str, Any]],
    inputs: list[Path],
    tmp_path: Path,
    x_of: Callable[..., list[float]],
):
    mapping = {"General": {"OutputFormat": "parquet"}, "Sample": [sample("one", inputs[:2])]}
    path = tmp_path / "spec.yaml"
    path.write_text(
        "General:\n  OutputFormat: parquet\nSample:\n"
        f"  - Name: one\n    Dataset: !FileList {list(map(str, inputs[:2]))}\n"
        '    Query: !UprootRaw \'{"treename": "events", "filter_name": ["x"]}\'\n'
    )
    for spec in (mapping, ServiceXSpec(**mapping), path, str(path)):
        events = sxl.deliver(spec)["one"]
        assert sorted(events.x.compute()) == x_of(0, 1)
    assert service.traffic.calls["submit"] == 1, "they are all the same query"


def test_a_failed_sample_raises_on_use_and_leaves_the_others(
    service: LocalServiceX,
    sample: Callable[..., dict[str, Any]],
    uproot_raw: Any,
    inputs: list[Path],
    x_of: Callable[..., list[float]],
):
    bad = {"Name": "bad", "Dataset": dataset.Rucio("scope:name"), "Query": uproot_raw}
    samples = sxl.deliver({"Sample": [bad, sample("good", inputs[:1])]}, form=FORM)
    assert sorted(samples["good"].x.compute()) == x_of(0)
    assert "BadDatasetError" in repr(samples)
    with pytest.raises(BadDatasetError, match="knows no dataset"):
        _ = samples["bad"].x


def test_failed_files_are_an_error_unless_an_incomplete_sample_is_accepted(
    failing_service: LocalServiceX,
    use_with_own_cache: Callable[[LocalServiceX], Path],
    sample: Callable[..., dict[str, Any]],
    inputs: list[Path],
    x_of: Callable[..., list[float]],
):
    use_with_own_cache(failing_service)
    failing_service.traffic.reset()
    spec = {"Sample": [sample("some", inputs)]}
    with pytest.raises(FailedFilesError, match="1 of 4 files failed"):
        sxl.deliver(spec, form=FORM)["some"].x.compute()
    with pytest.warns(match="1 of 4 files failed"):
        events = sxl.deliver(spec, form=FORM, fail_if_incomplete=False)["some"].x.compute()
    assert sorted(events) == x_of(0, 2, 3)
    assert failing_service.traffic.calls["submit"] == 1, "an incomplete request is reused"
    with pytest.raises(FailedFilesError):
        sxl.deliver(spec, form=FORM)["some"].x.compute()
    assert failing_service.traffic.calls["submit"] == 2, "a new request may be complete"


def test_each_sample_can_have_a_report(
    service: LocalServiceX, sample: Callable[..., dict[str, Any]], inputs: list[Path]
):
    samples = sxl.deliver({"Sample": [sample("one", inputs[:2])]}, report=True)
    events, records = compute(*samples["one"])
    assert (len(events), len(records)) == (20, 2)


def test_the_arrays_are_computed_with_the_configuration_passed(
    shared_service: LocalServiceX,
    use_with_own_cache: Callable[[LocalServiceX], Path],
    sample: Callable[..., dict[str, Any]],
    inputs: list[Path],
    x_of: Callable[..., list[float]],
):
    path = use_with_own_cache(shared_service)
    dask.config.set({"servicex-layer.config-path": None})
    samples = sxl.deliver({"Sample": [sample("one", inputs[:1])]}, config_path=path, form=FORM)
    assert sorted(samples["one"].x.compute()) == x_of(0)


def test_samples_on_a_cluster_share_one_poller(
    service: LocalServiceX,
    sample: Callable[..., dict[str, Any]],
    inputs: list[Path],
    cluster_of_processes: LocalCluster,
    x_of: Callable[..., list[float]],
):
    spec = {"Sample": [sample(str(number), inputs[number:]) for number in range(4)]}
    with Client(cluster_of_processes):
        samples = sxl.deliver(spec, form=FORM)
        computed = compute(samples)[0]
    for number in range(4):
        assert sorted(computed[str(number)].x) == x_of(*range(number, 4))
    assert service.traffic.calls["info"] <= 2 + 4, "each request's feed asks once"
