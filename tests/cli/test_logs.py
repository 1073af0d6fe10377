from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner, Result
from wire_faults import ExtraKeys, WireFault, WireFaults  # type: ignore[import-not-found]

import servicex_layer as sxl
from servicex_layer.cli import main
from servicex_layer.local import Faults, LocalServiceX


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["logs", *arguments])


def test_logs_of_the_embedded_servicex_are_printed_below_their_url(
    use_service: Callable[[LocalServiceX], None], inputs: list[Path]
):
    with LocalServiceX(faults=Faults(failing={1}), authentication=True) as service:
        use_service(service)
        request_id = service.submit(inputs[:2], tree="events", manual=True)
        before = run(request_id).output
        service.release(request_id, 0, 1)
        after = run(request_id).output
        url = sxl.status(request_id).log_url
    assert before == f"{url}\n"
    assert after == f"{url}\n{inputs[1]}: made to fail\n"


def test_a_backend_that_names_no_logs_is_an_error(
    use_service: Callable[[LocalServiceX], None], inputs: list[Path]
):
    no_logs = WireFaults(WireFault(route="status", effect=ExtraKeys({"log-url": None})))
    with LocalServiceX(middleware=no_logs.middleware) as service:
        use_service(service)
        result = run(service.submit(inputs[:1], tree="events", manual=True))
    assert result.exit_code == 1
    assert "names no logs of request" in result.output
