from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import servicex_layer as sxl
from servicex_layer.errors import TransformCanceledError, UnknownRequestError
from servicex_layer.local import LocalServiceX

UNKNOWN = "7a0e5e0c-0000-0000-0000-000000000000"


@pytest.mark.parametrize("scheduler", ["threads", "cluster_of_processes"], indirect=True)
def test_what_waits_for_a_canceled_request_ends(
    scheduler: str,
    service: LocalServiceX,
    submit: Callable[..., str],
    inputs: list[Path],
    in_thread: Callable[[Callable[[], Any]], Callable[[], Any]],
    until: Callable[[Callable[[], object]], None],
):
    request_id = submit(inputs)
    service.release(request_id, 0)
    mapped = sxl.map_files(len, request_id)
    service.traffic.reset()
    computed = in_thread(mapped.compute)
    until(lambda: service.traffic.calls["status"])
    assert sxl.cancel(mapped).state == "Canceled"
    with pytest.raises(TransformCanceledError, match=request_id):
        computed()


def test_canceling_again_changes_nothing(submit: Callable[..., str], inputs: list[Path]):
    request_id = submit(inputs)
    assert sxl.cancel(request_id) == sxl.cancel(request_id) == sxl.status(request_id)


def test_a_complete_request_stays_complete(finished: Callable[..., str], inputs: list[Path]):
    assert sxl.cancel(finished(inputs[:1])).state == "Complete"


def test_all_requests_of_a_mapping_are_canceled_even_if_one_is_unknown(
    submit: Callable[..., str], inputs: list[Path]
):
    first, second = submit(inputs[:1]), submit(inputs[:2])
    with pytest.raises(UnknownRequestError, match=UNKNOWN):
        sxl.cancel({"data": first, "lost": UNKNOWN, "ttbar": second})
    states = [each.state for each in sxl.status({"data": first, "ttbar": second}).values()]
    assert states == ["Canceled", "Canceled"]
