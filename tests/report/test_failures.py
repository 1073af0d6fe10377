from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from servicex_layer import report
from servicex_layer.errors import UnknownRequestError
from servicex_layer.local import Faults, LocalServiceX


def test_failures_lists_the_inputs_without_a_result(
    use_service: Callable[[LocalServiceX], None], inputs: list[Path]
):
    with LocalServiceX(faults=Faults(failing={1, 3})) as service:
        use_service(service)
        request_id = service.submit(inputs, tree="events", manual=True)
        for index in (0, 3, 1, 2):
            service.release(request_id, index)
        assert report.failures(request_id) == [str(inputs[3]), str(inputs[1])]
        assert report.failures(request_id, "local") == report.failures(request_id)


def test_a_request_without_failed_files_has_no_failures(
    finished: Callable[..., str], inputs: list[Path]
):
    assert report.failures(finished(inputs[:1])) == []


def test_the_failures_of_an_unknown_request_are_an_error(service: LocalServiceX):
    with pytest.raises(UnknownRequestError):
        report.failures("7a0e5e0c-0000-0000-0000-000000000000")
