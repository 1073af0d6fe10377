from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

import pytest
from ctrl_c import press_ctrl_c  # type: ignore[import-not-found]

from servicex_layer.feed import interruptible_result, loop_thread


async def answer() -> int:
    return 42


async def never() -> None:
    await asyncio.Event().wait()


async def current_thread() -> str:
    return threading.current_thread().name


def test_results_and_errors_come_back():
    async def fail() -> None:
        raise LookupError("of the coroutine")

    assert loop_thread().run(answer()) == 42
    with pytest.raises(LookupError, match="of the coroutine"):
        loop_thread().run(fail())
    assert loop_thread().run(answer()) == 42


def test_coroutines_of_all_threads_run_in_one_loop():
    async def meet(barrier: asyncio.Barrier) -> str:
        await barrier.wait()
        return threading.current_thread().name

    barrier = asyncio.Barrier(20)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        names = set(pool.map(lambda _: loop_thread().run(meet(barrier)), range(20)))
    assert names == {"servicex-layer"}
    assert [t.daemon for t in threading.enumerate() if t.name == "servicex-layer"] == [True]


def test_cancelling_the_future_cancels_the_coroutine():
    cancelled = threading.Event()

    async def wait() -> None:
        try:
            await never()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    future = loop_thread().submit(wait())
    assert loop_thread().run(answer()) == 42
    future.cancel()
    assert cancelled.wait(10)


def test_a_coroutine_that_cancels_itself_cancels_its_future():
    async def give_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(concurrent.futures.CancelledError):
        loop_thread().run(give_up())


def test_ctrl_c_cancels_the_coroutine():
    async def interrupt() -> None:
        press_ctrl_c()
        await never()

    with pytest.raises(KeyboardInterrupt):
        loop_thread().run(interrupt())


def run_script(script: str) -> str:
    """Run a script, which has a minute, and return its output."""
    finished = subprocess.run(  # noqa: S603  (a script of this file)
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    return finished.stdout


def test_threads_that_call_first_at_once_get_one_loop():
    # In a process of its own: here the loop may exist already.
    script = """
import sys, threading
from servicex_layer.feed import loop_thread
sys.setswitchinterval(1e-6)
barrier, loops = threading.Barrier(16), set()
def call():
    barrier.wait()
    loops.add(loop_thread())
threads = [threading.Thread(target=call) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(loops), sum(t.name == "servicex-layer" for t in threading.enumerate()))
"""
    assert run_script(script).split() == ["1", "1"]


def send_thread_name(connection: Connection) -> None:
    connection.send(loop_thread().run(current_thread()))


# Python 3.12 warns of a fork beside threads, which is what this test is about.
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_forked_child_has_a_loop_of_its_own():
    assert loop_thread().run(answer()) == 42
    context: Any = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=send_thread_name, args=(there,))
    child.start()
    assert here.poll(20), "the child's coroutine did not run"
    assert here.recv() == "servicex-layer"
    child.join(20)
    assert child.exitcode == 0


@pytest.mark.parametrize("daemon", [True, False])
def test_a_script_that_ends_while_threads_of_a_pool_wait_exits_at_once(daemon: bool):
    # More waits than threads: some begin while the interpreter exits.
    script = f"""
import asyncio, threading
from concurrent.futures import ThreadPoolExecutor
from servicex_layer.feed import loop_thread
waiting = threading.Event()
async def wait():
    waiting.set()
    await asyncio.Event().wait()
def compute():
    with ThreadPoolExecutor(2) as pool:
        for _ in range(4):
            pool.submit(lambda: loop_thread().run(wait()))
threading.Thread(target=compute, daemon={daemon}).start()
waiting.wait()
print("over")
"""
    assert run_script(script).split() == ["over"]


def test_a_wait_in_short_pieces_returns_results_and_errors_alike():
    async def fail_later() -> None:
        await asyncio.sleep(0.03)
        raise TimeoutError("of the coroutine")

    async def answer_later() -> int:
        await asyncio.sleep(0.03)
        return 42

    submit = loop_thread().submit
    assert interruptible_result(submit(answer_later()), longest_wait=0.001) == 42
    with pytest.raises(TimeoutError, match="of the coroutine"):
        interruptible_result(submit(fail_later()), longest_wait=0.001)
    cancelled = submit(never())
    cancelled.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        interruptible_result(cancelled, longest_wait=0.001)


def test_the_loop_is_made_in_its_own_thread():
    # On Windows, one made in the main thread takes over Ctrl-C.
    script = """
import asyncio, threading
makers = []
class Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self):
        makers.append(threading.current_thread().name)
        return super().new_event_loop()
asyncio.set_event_loop_policy(Policy())
from servicex_layer.feed import loop_thread
async def answer():
    return 42
loop_thread().run(answer())
print(*makers)
"""
    assert run_script(script).split() == ["servicex-layer"]
