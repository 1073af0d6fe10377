from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import dask
import pytest
from click.testing import CliRunner
from dask.base import compute
from distributed import Client, LocalCluster
from servicex import ServiceXSpec, dataset
from wire_faults import ExtraKeys, WireFault, WireFaults  # type: ignore[import-not-found]

import servicex_layer as sxl
from servicex_layer.cli import main
from servicex_layer.errors import (
    BadDatasetError,
    FailedFilesError,
    FailedFilesWarning,
    InvalidArgumentError,
    UnknownBackendError,
)
from servicex_layer.local import Faults, LocalServiceX

pytestmark = pytest.mark.dask_awkward

FORM = "{x: float64}"
REASON = "the selection names the branch JetPt, which no file has"
LOG_URL = "https://logs.example/request"


@pytest.fixture(scope="module")
def failing_completely(nothing_left: None) -> Iterator[LocalServiceX]:
    """Run a service that fails every file and says why."""
    reason = ExtraKeys({"failure-info": REASON, "log-url": LOG_URL})
    with LocalServiceX(
        faults=Faults(failing=frozenset(range(100))),
        middleware=WireFaults(WireFault(route="status", effect=reason)).middleware,
    ) as service:
        yield service


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


def test_failed_files_are_skipped_with_a_warning_that_names_them(
    failing_service: LocalServiceX,
    use_with_own_cache: Callable[[LocalServiceX], Path],
    sample: Callable[..., dict[str, Any]],
    inputs: list[Path],
    x_of: Callable[..., list[float]],
):
    use_with_own_cache(failing_service)
    events = sxl.deliver({"Sample": [sample("some", inputs)]}, form=FORM)["some"]
    with pytest.warns(FailedFilesWarning, match=r"1 of 4 files failed: .*input-1\.root"):
        assert sorted(events.x.compute()) == x_of(0, 2, 3)


@pytest.mark.parametrize(
    "options",
    [{"on_failed": "raise"}, {"fail_if_incomplete": True}, {"max_failed": 0.2}],
    ids=["on_failed", "fail_if_incomplete", "max_failed"],
)
def test_failed_files_are_an_error_on_demand(
    failing_service: LocalServiceX,
    use_with_own_cache: Callable[[LocalServiceX], Path],
    sample: Callable[..., dict[str, Any]],
    inputs: list[Path],
    options: dict[str, Any],
):
    use_with_own_cache(failing_service)
    samples = sxl.deliver({"Sample": [sample("some", inputs)]}, form=FORM, **options)
    with pytest.raises(FailedFilesError, match=r"1 of 4 files failed: .*input-1\.root"):
        samples["some"].x.compute()


@pytest.mark.parametrize("form", [FORM, None], ids=["form", "no form"])
@pytest.mark.parametrize("on_failed", ["skip", "raise"])
def test_a_sample_whose_files_all_failed_raises_and_says_why(
    failing_completely: LocalServiceX,
    use_with_own_cache: Callable[[LocalServiceX], Path],
    sample: Callable[..., dict[str, Any]],
    inputs: list[Path],
    form: str | None,
    on_failed: Literal["skip", "raise"],
):
    use_with_own_cache(failing_completely)
    spec = {"Sample": [sample("none", inputs)]}
    samples = sxl.deliver(spec, form=form, on_failed=on_failed)
    with pytest.raises(FailedFilesError) as raised:
        samples["none"].x.compute()
    for part in ("4 of 4 files failed", "input-", REASON, LOG_URL):
        assert part in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "a", "servicex_name": "a"}, "Pass only backend"),
        ({"on_failed": "skip", "fail_if_incomplete": False}, "Pass only on_failed"),
        ({"on_failed": "ignore"}, "'skip' or 'raise'"),
        ({"max_failed": 2}, "from 0 to 1"),
        ({"fail_if_incomplete": True, "max_failed": 0.5}, "needs on_failed='skip'"),
    ],
)
def test_arguments_that_contradict_each_other_are_an_error_before_submission(
    service: LocalServiceX,
    sample: Callable[..., dict[str, Any]],
    inputs: list[Path],
    arguments: dict[str, Any],
    message: str,
):
    with pytest.raises(InvalidArgumentError, match=message):
        sxl.deliver({"Sample": [sample("some", inputs)]}, **arguments)
    assert service.traffic.calls["submit"] == 0


@pytest.mark.parametrize("argument", ["backend", "servicex_name"])
def test_the_backend_has_two_names(
    service: LocalServiceX,
    sample: Callable[..., dict[str, Any]],
    inputs: list[Path],
    argument: str,
):
    spec = {"Sample": [sample("some", inputs[:1])]}
    local: dict[str, Any] = {argument: "local"}
    unknown: dict[str, Any] = {argument: "nowhere"}
    assert len(sxl.deliver(spec, **local)["some"].x.compute()) == 10
    with pytest.raises(UnknownBackendError, match="nowhere"):
        sxl.deliver(spec, **unknown)


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
