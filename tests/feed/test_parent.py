"""The files of a request in child processes, which ask their parent for them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from servicex_layer._config import find_backend
from servicex_layer.errors import UnknownRequestError
from servicex_layer.feed import RequestRef, progress_source
from servicex_layer.feed._session import process_feed
from servicex_layer.local import LocalServiceX

# What the child runs: it asks for all 4 files, one after the other.
ASK = """
from servicex_layer.errors import ServiceXLayerError
from servicex_layer.feed import feed, record_read
pipe.send("started")
source = feed(request)
for number in range(4):
    try:
        pipe.send(source.submit(source.get(number, 4)).result())
    except ServiceXLayerError as error:
        pipe.send(error)
    record_read(request, number, 100)
    pipe.send("recorded")
"""

# On Windows, a pipe's connection has a class of its own.
Start = Callable[[RequestRef], tuple[BaseProcess, Any]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a child that asks for the files of a request; return it and the pipe of its answers."""
    context = multiprocessing.get_context("spawn")
    children = []

    def start(request: RequestRef) -> tuple[BaseProcess, Any]:
        here: Any
        here, there = context.Pipe()
        child = context.Process(target=exec, args=(ASK, {"request": request, "pipe": there}))
        child.start()
        children.append(child)
        there.close()
        assert receive(here) == "started"
        return child, here

    yield start
    for child in children:
        child.kill()
        child.join()
        child.close()


def receive(pipe: Connection) -> Any:
    assert pipe.poll(60), "the child sent nothing"
    return pipe.recv()


def test_a_child_gets_the_files_of_its_parents_feed(
    start: Start, service: LocalServiceX, submit: Callable[..., str], inputs: list[Path]
):
    request_id = submit(inputs)
    _, pipe = start(RequestRef(request_id))
    parent = process_feed(request_id, find_backend())
    for number, index in enumerate((2, 0, 3, 1)):
        service.release(request_id, index)
        file = receive(pipe)
        assert file.input == str(inputs[index])
        assert file == parent.get_nowait(number, 4)
        assert receive(pipe) == "recorded"


def test_what_a_child_reads_counts_as_read(
    start: Start,
    finished: Callable[..., str],
    inputs: list[Path],
    until: Callable[[Callable[[], object]], None],
):
    request_id = finished(inputs)
    _, pipe = start(RequestRef(request_id))
    source = progress_source(request_id, None)

    def reads() -> tuple[int, int]:
        now = source.read(0)
        return now.read, now.received

    for _ in range(4):
        receive(pipe)
        receive(pipe)
    until(lambda: reads() == (4, 400))
    source.close()


def test_a_child_raises_the_error_of_its_parents_feed(start: Start, service: LocalServiceX):
    _, pipe = start(RequestRef("no-such-request"))
    error = receive(pipe)
    assert isinstance(error, UnknownRequestError)
    assert "no-such-request" in str(error)


def test_a_dead_child_ends_its_waits_in_the_parent(
    start: Start,
    submit: Callable[..., str],
    inputs: list[Path],
    until: Callable[[Callable[[], object]], None],
):
    request_id = submit(inputs)
    child, _ = start(RequestRef(request_id))
    parent = process_feed(request_id, find_backend())
    until(lambda: parent.is_polling)
    assert child.pid is not None
    os.kill(child.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    until(lambda: not parent.is_polling)


def test_a_dead_child_leaves_the_waits_of_others_alone(
    start: Start,
    service: LocalServiceX,
    submit: Callable[..., str],
    inputs: list[Path],
    until: Callable[[Callable[[], object]], None],
):
    request_id = submit(inputs)
    child, _ = start(RequestRef(request_id))
    _, pipe = start(RequestRef(request_id))
    child.kill()
    child.join()
    service.release(request_id, 1)
    assert receive(pipe).input == str(inputs[1])
