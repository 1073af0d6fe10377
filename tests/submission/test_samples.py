from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import httpx
import pytest
import yaml
from servicex import dataset

import servicex_layer as sxl
from servicex_layer.errors import (
    BackendUnreachableError,
    ConfigError,
    FailedFilesError,
    FailedFilesWarning,
)
from servicex_layer.local import Faults, LocalServiceX

pytestmark = pytest.mark.dask_awkward

FORM = "{x: float64}"


def test_an_equal_query_is_submitted_once(
    service: LocalServiceX,
    sample: Callable[..., dict[str, Any]],
    inputs: list[Path],
    request_id_of: Callable[[Any], str],
):
    spec = {"Sample": [sample("first", inputs[:3]), sample("last", inputs[3:])]}
    samples, again = sxl.deliver(spec, form=FORM), sxl.deliver(spec, form=FORM)
    for name in ("first", "last"):
        assert request_id_of(again[name]) == request_id_of(samples[name])
    assert service.traffic.calls["submit"] == 2


def test_the_local_cache_can_be_ignored(
    service: LocalServiceX,
    sample: Callable[..., dict[str, Any]],
    inputs: list[Path],
    request_id_of: Callable[[Any], str],
):
    spec = {"Sample": [sample("one", inputs[:1])]}
    first = request_id_of(sxl.deliver(spec)["one"])
    assert request_id_of(sxl.deliver(spec, ignore_local_cache=True)["one"]) != first
    sxl.deliver({"Sample": [sample("one", inputs[:1], IgnoreLocalCache=True)]})
    sxl.deliver({"General": {"IgnoreLocalCache": True}, **spec})
    assert service.traffic.calls["submit"] == 4


def test_a_failed_request_is_submitted_again(service: LocalServiceX, uproot_raw: Any):
    bad = {"Name": "bad", "Dataset": dataset.Rucio("scope:name"), "Query": uproot_raw}
    sxl.deliver({"Sample": [bad]})
    sxl.deliver({"Sample": [bad]})
    assert service.traffic.calls["submit"] == 2


def test_an_incomplete_request_is_submitted_again_if_failed_files_are_an_error(
    failing_service: LocalServiceX,
    use_with_own_cache: Callable[[LocalServiceX], Path],
    sample: Callable[..., dict[str, Any]],
    inputs: list[Path],
):
    use_with_own_cache(failing_service)
    failing_service.traffic.reset()
    spec = {"Sample": [sample("some", inputs)]}
    with pytest.warns(FailedFilesWarning):
        sxl.deliver(spec, form=FORM)["some"].x.compute()
    sxl.deliver(spec, form=FORM, max_failed=0.25)
    assert failing_service.traffic.calls["submit"] == 1, "one of four files failed"
    sxl.deliver(spec, form=FORM, max_failed=0.2)
    assert failing_service.traffic.calls["submit"] == 2, "a new request may be complete"


def test_a_request_whose_files_all_failed_is_submitted_again(
    use_with_own_cache: Callable[[LocalServiceX], Path],
    sample: Callable[..., dict[str, Any]],
    inputs: list[Path],
):
    with LocalServiceX(faults=Faults(failing={0})) as service:
        use_with_own_cache(service)
        spec = {"Sample": [sample("none", inputs[:1])]}
        with pytest.raises(FailedFilesError):
            sxl.deliver(spec, form=FORM)["none"].x.compute()
        sxl.deliver(spec, form=FORM)
        assert service.traffic.calls["submit"] == 2


def test_a_deleted_request_is_submitted_again(
    service: LocalServiceX,
    sample: Callable[..., dict[str, Any]],
    inputs: list[Path],
    request_id_of: Callable[[Any], str],
    x_of: Callable[..., list[float]],
):
    spec = {"Sample": [sample("one", inputs[:1])]}
    events = sxl.deliver(spec)["one"]
    assert sorted(events.x.compute()) == x_of(0)  # so the request has ended
    refresh = yaml.safe_load(service.servicex_yaml.read_text())["api_endpoints"][0]["token"]
    token = httpx.post(
        f"{service.url}/token/refresh", headers={"Authorization": f"Bearer {refresh}"}
    ).json()["access_token"]
    httpx.delete(
        f"{service.url}/servicex/transformation/{request_id_of(events)}",
        headers={"Authorization": f"Bearer {token}"},
    ).raise_for_status()
    assert sorted(sxl.deliver(spec)["one"].x.compute()) == x_of(0)
    assert service.traffic.calls["submit"] == 2


def test_a_missing_configuration_is_an_error(
    service: LocalServiceX,
    sample: Callable[..., dict[str, Any]],
    inputs: list[Path],
    tmp_path: Path,
):
    with pytest.raises(ConfigError, match=r"configuration .*nowhere\.yaml does not exist"):
        sxl.deliver({"Sample": [sample("x", inputs)]}, config_path=tmp_path / "nowhere.yaml")


def test_an_unreachable_backend_is_an_error(
    tmp_path: Path, sample: Callable[..., dict[str, Any]], inputs: list[Path]
):
    path = tmp_path / "servicex.yaml"
    endpoint = {"name": "gone", "endpoint": "http://127.0.0.1:9"}
    path.write_text(yaml.safe_dump({"api_endpoints": [endpoint]}))
    with (
        dask.config.set({"servicex-layer.retry-timeout": "0s"}),
        pytest.raises(BackendUnreachableError, match="gone"),
    ):
        sxl.deliver({"Sample": [sample("x", inputs)]}, config_path=path)
