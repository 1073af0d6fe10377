"""A child process that asks a parent, whatever becomes of the parent."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Listener
from typing import Any

import pytest

from servicex_layer.errors import ServiceXLayerError
from servicex_layer.feed._child import feed_of_parent
from servicex_layer.feed._request import RequestAddress

URL = "http://a-backend"
# What the child runs.
ASK = """
from servicex_layer.errors import ServiceXLayerError
from servicex_layer.feed._child import feed_of_parent
from servicex_layer.feed._request import RequestAddress
try:
    source = feed_of_parent(RequestAddress("a-request", "http://a-backend", parent))
    pipe.send(source and source.submit(source.get(0, 1)).result())
except ServiceXLayerError as error:
    pipe.send(error)
"""


@pytest.fixture
def ask() -> Iterator[Callable[[tuple[int, Any]], Any]]:
    """Ask for a file in a child, of a parent with this process id and address."""
    context = multiprocessing.get_context("spawn")
    children = []

    def ask(parent: tuple[int, Any]) -> Any:
        here, there = context.Pipe()
        child = context.Process(target=exec, args=(ASK, {"parent": parent, "pipe": there}))
        child.start()
        children.append(child)
        return here

    yield ask
    for child in children:
        child.join(60)
        assert child.exitcode == 0
        child.close()


def receive(pipe: Connection) -> Any:
    assert pipe.poll(60), "the child sent nothing"
    return pipe.recv()


@pytest.fixture
def listener() -> Iterator[Listener]:
    authkey = multiprocessing.current_process().authkey
    with Listener(authkey=bytes(authkey)) as listener:
        yield listener


def test_a_process_without_a_parent_is_a_session_of_its_own():
    assert feed_of_parent(RequestAddress("a-request", URL, (os.getpid(), "an-address"))) is None


def test_a_request_that_no_parent_pickled_is_one_of_a_session_of_its_own(ask: Any):
    assert receive(ask((0, "an-address"))) is None


def test_a_parent_that_does_not_answer_is_an_error(ask: Any, listener: Listener):
    address = listener.address
    listener.close()
    error = receive(ask((os.getpid(), address)))
    assert isinstance(error, ServiceXLayerError)
    assert "The parent process does not answer" in str(error)


def test_a_parent_that_goes_away_ends_the_wait_with_an_error(ask: Any, listener: Listener):
    pipe = ask((os.getpid(), listener.address))
    with listener.accept() as connection:
        message = connection.recv()
    assert (message["op"], message["number"]) == ("servicex_subscribe", 0)
    error = receive(pipe)
    assert isinstance(error, ServiceXLayerError)
    assert "was closed during the wait" in str(error)
