from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import httpx
import pytest

from servicex_layer import errors, from_servicex, register
from servicex_layer.local import LocalServiceX

FORM = "{x: float64, n: int32, v: var * float64}"


@pytest.fixture
def configure(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Write a servicex.yaml with one backend, and use it."""
    settings = {"retry-timeout": "300ms", "connect-timeout": "200ms", "read-timeout": "200ms"}
    with dask.config.set({f"servicex-layer.{name}": value for name, value in settings.items()}):

        def configure(url: str, token: str = "") -> None:
            path = tmp_path / "servicex.yaml"
            path.write_text(f"api_endpoints: [{{name: far, endpoint: '{url}', token: '{token}'}}]")
            dask.config.set({"servicex-layer.config-path": str(path)})

        yield configure
    dask.config.set({"servicex-layer.config-path": None})


@pytest.mark.dask_awkward
def test_no_servicex_yaml_is_a_config_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.ConfigError, match=r"servicex\.yaml") as caught:
        from_servicex("a-request", form=FORM)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.dask_awkward
def test_an_unknown_backend_is_named(service: LocalServiceX):
    with pytest.raises(errors.UnknownBackendError, match=r"'nowhere'.* local"):
        from_servicex("a-request", "nowhere", form=FORM)


@pytest.mark.dask_awkward
def test_a_backend_that_refuses_connections_is_unreachable(configure: Callable[..., None]):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        configure(url)
        with pytest.raises(errors.BackendUnreachableError) as caught:
            from_servicex("a-request", form=FORM)
    for word in (url, "far", "connect-timeout 0.2 s", "read-timeout 0.2 s"):
        assert word in str(caught.value)


@pytest.mark.dask_awkward
def test_a_backend_that_never_answers_is_unreachable(configure: Callable[..., None]):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        configure(url)
        with pytest.raises(errors.BackendUnreachableError, match=url):
            from_servicex("a-request", form=FORM)


@pytest.mark.dask_awkward
@pytest.mark.parametrize("url", ["ftp://servicex.example", "servicex.example", "http://["])
def test_a_backend_with_an_invalid_url_is_unreachable(configure: Callable[..., None], url: str):
    configure(url)
    with pytest.raises(errors.BackendUnreachableError) as caught:
        from_servicex("a-request", form=FORM)
    assert url in str(caught.value)


@pytest.mark.dask_awkward
@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b"[]", b"{}"])
def test_another_kind_of_server_is_a_protocol_error(
    configure: Callable[..., None], serve: Any, body: bytes
):
    configure(serve(lambda _method, _path: (200, body, {})))
    with pytest.raises(errors.ProtocolError, match="really a ServiceX server"):
        from_servicex("a-request", form=FORM)


@pytest.mark.dask_awkward
def test_an_unknown_request_is_named(service: LocalServiceX):
    with pytest.raises(errors.UnknownRequestError, match=f"local at {service.url}.*'a-request'"):
        from_servicex("a-request", form=FORM)


@pytest.mark.dask_awkward
@pytest.mark.parametrize("token", ["", "a.bad.secret"])
def test_a_rejected_token_is_an_authorization_error(
    configure: Callable[..., None], service: LocalServiceX, token: str
):
    configure(service.url, token)
    with pytest.raises(errors.AuthorizationError, match=r"new .*servicex\.yaml") as caught:
        from_servicex("a-request", form=FORM)
    assert service.url in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.fixture
def two_trees(tmp_path: Path, write_file: Callable[..., Path]) -> Path:
    columns = {"x": [1.0, 2.0]}
    return write_file(tmp_path / "two.root", signal=columns, background=columns)


@pytest.mark.dask_awkward
def test_several_trees_need_a_choice(service: LocalServiceX, two_trees: Path):
    request_id = service.submit([two_trees], tree=["signal", "background"], manual=True)
    service.release(request_id, 0)
    with pytest.raises(errors.AmbiguousTreeError, match=r"signal.*background"):
        from_servicex(request_id)
    with pytest.raises(errors.AmbiguousTreeError, match=r"signal.*background"):
        from_servicex(request_id, form="{x: float64}").x.compute()
    with pytest.raises(errors.TreeNotFoundError, match=r"'nope'.*signal.*background"):
        from_servicex(request_id, tree="nope", form="{x: float64}").x.compute()
    events = from_servicex(request_id, tree="signal")
    assert events.x.compute().to_list() == [1, 2]


@pytest.mark.dask_awkward
@pytest.mark.parametrize("scheduler", ["sync", "cluster_of_processes"], indirect=True)
def test_a_form_that_differs_from_a_file_is_a_schema_mismatch(
    finished: Callable[..., str], inputs: list[Path], scheduler: str
):
    request_id = finished(inputs[:1])
    with pytest.raises(errors.SchemaMismatchError) as caught:
        from_servicex(request_id, form="{x: float32}").x.compute()
    for word in ("input-0.root", request_id, "'x'", "float32", "float64"):
        assert word in str(caught.value)
    with pytest.raises(errors.SchemaMismatchError, match=r"'pt'.*x, n, nv, v"):
        from_servicex(request_id, form="{pt: float32}").pt.compute()


@pytest.mark.dask_awkward
@pytest.mark.parametrize("form", ["{x: float", "float64", 5])
def test_an_invalid_form_is_a_form_error(form: Any):
    with pytest.raises(errors.FormError):
        from_servicex("a-request", form=form)


@pytest.mark.dask_awkward
def test_a_corrupt_result_is_named(finished: Callable[..., str], inputs: list[Path], stored: Any):
    request_id = finished(inputs)
    path = stored(request_id, 2)
    path.write_bytes(path.read_bytes()[:100])
    events = from_servicex(request_id, form=FORM)
    with pytest.raises(errors.CorruptResultError, match=r"input-2\.root"):
        events.x.compute()


@pytest.mark.dask_awkward
def test_a_canceled_request_is_an_error(
    service: LocalServiceX, submit: Callable[..., str], inputs: list[Path]
):
    request_id = submit(inputs)
    events = from_servicex(request_id, form=FORM)
    _call(service, f"/servicex/transformation/{request_id}/cancel")
    with pytest.raises(errors.TransformCanceledError, match=request_id):
        events.x.compute()
    with pytest.raises(errors.TransformCanceledError, match=request_id):
        from_servicex(request_id, form=FORM)


def _call(service: LocalServiceX, path: str) -> None:
    refresh = service.servicex_yaml.read_text().partition("token:")[2].split()[0]
    answer = httpx.post(
        service.url + "/token/refresh", headers={"Authorization": f"Bearer {refresh}"}
    )
    token = answer.json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    httpx.get(service.url + path, headers=headers).raise_for_status()


@pytest.mark.dask_awkward
def test_waiting_ends_with_the_timeout(submit: Callable[..., str], inputs: list[Path]):
    events = from_servicex(submit(inputs), form=FORM)
    with (
        dask.config.set({"servicex-layer.timeout": "200ms"}),
        pytest.raises(errors.WaitTimeoutError, match=r"servicex-layer\.timeout"),
    ):
        events.x.compute(scheduler="sync")


def test_register_needs_a_client():
    with pytest.raises(errors.InvalidArgumentError, match="no Dask client"):
        register()
