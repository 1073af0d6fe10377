from __future__ import annotations

import pytest

from servicex_layer.monitor._views import Line


@pytest.mark.parametrize(
    ("read", "seconds", "text"),
    [(0, 5.0, "0:05 so far"), (2, 61.0, "1:01 left"), (4, 3700.0, "1:01:40 in all")],
)
def test_the_duration_is_estimated_from_the_partitions_read(read: int, seconds: float, text: str):
    line = Line("name", "Running", 4, 4, 0, partitions=4, read=read, seconds=seconds)
    assert line.duration() == text


@pytest.mark.parametrize(
    ("received", "text"),
    [(0, "0 B, 0 B/s"), (1500, "1.5 kB, 750 B/s"), (3 * 10**12, "3 TB, 1.5 TB/s")],
)
def test_sizes_and_rates_have_units(received: int, text: str):
    files, partitions = Line("name", "Running", 4, 2, 1, 4, 2, received, seconds=2.0).bars()
    assert files.text == "2/4 files finished, 1 failed"
    assert partitions.text == f"2/4 partitions read, {text}"
