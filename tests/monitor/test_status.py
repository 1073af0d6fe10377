from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import httpx
import pytest
import yaml
from dask.delayed import delayed
from optional_dask_awkward import dak  # type: ignore[import-not-found]

import servicex_layer as sxl
from servicex_layer.errors import InvalidArgumentError, UnknownBackendError, UnknownRequestError
from servicex_layer.local import Faults, LocalServiceX

UNKNOWN = "7a0e5e0c-0000-0000-0000-000000000000"


@pytest.fixture
def failing_service(use_service: Callable[[LocalServiceX], None]) -> Iterator[LocalServiceX]:
    """Run a service that fails to transform the second file of each request."""
    with LocalServiceX(faults=Faults(failing={1})) as service:
        use_service(service)
        yield service


def test_the_status_of_a_request_has_what_failed_and_why(
    failing_service: LocalServiceX, inputs: list[Path]
):
    request_id = failing_service.submit(inputs, tree="events", manual=True)
    failing_service.release(request_id, 0, 1)
    status = sxl.status(request_id)
    assert (status.request_id, status.backend, status.state) == (request_id, "local", "Running")
    assert (status.files, status.finished, status.failed) == (4, 1, 1)
    assert status.failed_inputs == (str(inputs[1]),)
    assert status.reason == f"{inputs[1]}: made to fail"
    assert status.log_url == f"{failing_service.url}/logs/{request_id}"
    assert not status.is_terminal
    assert sxl.status(request_id, "local") == status


def test_a_status_without_failures_is_one_call(service: LocalServiceX, finished: Any, inputs: Any):
    request_id = finished(inputs[:2])
    service.traffic.reset()
    assert sxl.status(request_id).state == "Complete"
    assert service.traffic.calls["status"] == 1
    assert not service.traffic.calls["results"]


@pytest.mark.dask_awkward
def test_an_array_has_the_status_of_its_request(finished: Any, inputs: list[Path]):
    request_id = finished(inputs)
    expected = sxl.status(request_id)
    events = sxl.from_servicex(request_id)
    for array in (events, events.x + events.n, dak.sum(events.partitions[1:3].x)):
        assert sxl.status(array) == expected
    assert sxl.status(sxl.from_servicex(request_id, report=True)) == expected


def test_a_delayed_result_has_the_status_of_its_request(finished: Any, inputs: list[Path]):
    request_id = finished(inputs)
    mapped = sxl.map_files(len, request_id)
    assert sxl.status(mapped) == sxl.status(delayed(str)(mapped)) == sxl.status(request_id)


def test_the_requests_of_a_mapping_have_its_names(finished: Any, inputs: list[Path]):
    first, second = finished(inputs[:1]), finished(inputs[:2])
    statuses = sxl.status({"data": sxl.map_files(len, first), "ttbar": second, "again": first})
    assert list(statuses) == ["data", "ttbar", "again"]
    assert [each.files for each in statuses.values()] == [1, 2, 1]
    assert list(sxl.status({"data": first})) == ["data"]


def test_a_result_of_samples_has_their_names(finished: Any, inputs: list[Path]):
    mapped = sxl.map_files(len, {"data": finished(inputs[:1]), "ttbar": finished(inputs[:2])})
    assert list(sxl.status(mapped)) == ["data", "ttbar"]


@pytest.mark.dask_awkward
def test_an_array_of_several_requests_has_their_ids(finished: Any, inputs: list[Path]):
    first, second = finished(inputs[:1]), finished(inputs[:2])
    both = dak.concatenate([sxl.from_servicex(first), sxl.from_servicex(second)])
    assert set(sxl.status(both)) == {first, second}
    assert set(sxl.status({"all": both})) == {f"all {first}", f"all {second}"}


def test_the_text_of_several_is_a_table_with_the_failures_below(
    failing_service: LocalServiceX, inputs: list[Path]
):
    good = failing_service.submit(inputs[:1], tree="events", manual=True)
    bad = failing_service.submit(inputs[:2], tree="events", manual=True)
    failing_service.release(bad, 0, 1)
    statuses = sxl.status({"data": good, "<ttbar>": bad})
    table, failure = repr(statuses).split("\n\n")
    assert [line.split() for line in table.splitlines()] == [
        ["name", "status", "looked", "up", "finished", "failed"],
        ["data", "Running", "1", "0", "0"],
        ["<ttbar>", "Complete", "2", "1", "1"],
    ]
    assert failure == f"<ttbar>\n{statuses['<ttbar>'].explanation()}"
    html = statuses._repr_html_()
    assert html.count("<h4>&lt;ttbar&gt;</h4>") == 1
    assert "<ttbar>" not in html


def test_an_id_can_be_of_another_backend_than_the_default(
    finished: Any, inputs: list[Path], service: LocalServiceX, tmp_path: Path
):
    request_id = finished(inputs[:1])
    content = yaml.safe_load(service.servicex_yaml.read_text())
    (local,) = content["api_endpoints"]
    closed = {"name": "closed", "endpoint": "http://127.0.0.1:9"}
    path = tmp_path / "servicex.yaml"
    path.write_text(yaml.safe_dump({"api_endpoints": [closed, local]}))
    with dask.config.set({"servicex-layer.config-path": str(path)}):
        assert sxl.status(request_id, "local").backend == "local"
        with pytest.raises(UnknownBackendError, match="Did you mean 'local'"):
            sxl.status(request_id, "locla")


def test_an_unknown_request_is_an_error(service: LocalServiceX, finished: Any, inputs: list[Path]):
    with pytest.raises(UnknownRequestError, match=UNKNOWN):
        sxl.status(UNKNOWN)
    with pytest.raises(UnknownRequestError, match=UNKNOWN):
        sxl.status({"data": finished(inputs[:1]), "lost": UNKNOWN})


def test_a_collection_whose_request_was_deleted_is_an_error(
    failing_service: LocalServiceX,
    inputs: list[Path],
    until: Callable[[Callable[[], object]], None],
):
    request_id = failing_service.submit(inputs[:1], tree="events")
    mapped = sxl.map_files(len, request_id)
    until(lambda: sxl.status(request_id).is_terminal)
    url = f"{failing_service.url}/servicex/transformation/{request_id}"
    httpx.delete(url, trust_env=False).raise_for_status()
    with pytest.raises(UnknownRequestError, match=request_id):
        sxl.status(mapped)
    with pytest.raises(UnknownRequestError, match=request_id):
        mapped.compute()


@pytest.mark.parametrize("argument", ["", (), {}, 3, delayed(3)])
@pytest.mark.parametrize("function", [sxl.status, sxl.cancel], ids=["status", "cancel"])
def test_anything_without_a_request_is_an_error(function: Callable[..., Any], argument: Any):
    with pytest.raises(InvalidArgumentError, match="Pass arrays of from_servicex"):
        function(argument)
