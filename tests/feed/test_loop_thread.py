from __future__ import annotations

import asyncio
import concurrent.futures
import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from servicex_layer.feed._loop_thread import LoopThread


@pytest.fixture
def background() -> Iterator[LoopThread]:
    made = LoopThread()
    yield made
    made.close()


def running() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "servicex-layer"]


async def answer() -> int:
    return 42


async def never() -> None:
    await asyncio.Event().wait()


def test_gives_results_and_errors(background: LoopThread):
    async def fail() -> None:
        raise LookupError("of the coroutine")

    assert background.run(answer()) == 42
    with pytest.raises(LookupError, match="of the coroutine"):
        background.run(fail())
    assert background.run(answer()) == 42


def test_keeps_its_loop_but_not_its_thread(
    background: LoopThread, until: Callable[[Callable[[], object]], None]
):
    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    first = background.run(loop())
    until(lambda: not running())
    assert background.run(loop()) is first


def test_one_thread_however_many_callers(background: LoopThread):
    async def both_here(barrier: asyncio.Barrier) -> str:
        await barrier.wait()
        return threading.current_thread().name

    barrier = asyncio.Barrier(20)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        names = set(pool.map(lambda _: background.run(both_here(barrier)), range(20)))
    assert names == {"servicex-layer"}
    assert len(running()) <= 1


def test_starts_and_stops_over_and_over(background: LoopThread):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda _: background.run(answer()), range(400))
        assert list(results) == [42] * 400


def test_cancelling_the_future_cancels_the_coroutine(
    background: LoopThread, until: Callable[[Callable[[], object]], None]
):
    cancelled = threading.Event()

    async def wait() -> None:
        try:
            await never()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    future = background.submit(wait())
    other = background.submit(never())
    assert background.run(answer()) == 42
    future.cancel()
    assert cancelled.wait(10)
    assert running()
    other.cancel()
    until(lambda: not running())


def test_coroutine_that_cancels_itself(background: LoopThread):
    async def give_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(concurrent.futures.CancelledError):
        background.run(give_up())


def test_interrupt_ends_the_wait(
    background: LoopThread, until: Callable[[Callable[[], object]], None]
):
    async def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await never()

    with pytest.raises(KeyboardInterrupt):
        background.run(interrupt())
    until(lambda: not running())
