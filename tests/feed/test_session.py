from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx

from servicex_layer._config import find_backend
from servicex_layer.backend import list_files
from servicex_layer.feed import RequestRef, feed


def test_a_file_is_located_before_its_request_is_polled(
    finished: Callable[..., str], inputs: list[Path], stored: Callable[[str, int], Path]
):
    request_id = finished(inputs[:1])
    _, (row,) = asyncio.run(list_files(find_backend(), request_id))
    source = feed(RequestRef(request_id))
    location = source.submit(source.locate(row.file.name)).result()
    content = httpx.get(location.url, headers=dict(location.headers), trust_env=False).content
    assert content == stored(request_id, 0).read_bytes()
