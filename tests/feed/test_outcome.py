"""What errors and warnings say of a request."""

from __future__ import annotations

from dataclasses import replace

import pytest

from servicex_layer._model import TransformStatus
from servicex_layer.errors import (
    BadDatasetError,
    RequestError,
    TransformCanceledError,
    TransformFatalError,
)
from servicex_layer.feed._outcome import (
    all_failed_error,
    error_for_status,
    failed_files_warning,
    repeated_inputs_warning,
    too_many_failed_error,
    unknown_files_error,
    withdrawn_file_error,
)

STATUS = TransformStatus(
    "a-request", "Complete", files=9, completed=4, failed=5, failure_info="No such branch: met"
)
INPUTS = [f"{number}.root" for number in range(5)]


@pytest.mark.parametrize(
    ("word", "error_type"),
    [
        ("Fatal", TransformFatalError),
        ("Canceled", TransformCanceledError),
        ("Bad Dataset", BadDatasetError),
        ("A word of a later server", RequestError),
    ],
)
def test_each_end_has_its_error_that_gives_the_servers_reason(
    word: str, error_type: type[RequestError]
):
    error = error_for_status(replace(STATUS, status=word))
    assert type(error) is error_type
    assert f"a-request ended as {word}" in str(error)
    assert "No such branch: met" in str(error)


def test_at_most_three_inputs_are_named_and_the_others_counted():
    text = failed_files_warning(STATUS, INPUTS, 5)
    assert "5 of 9 files failed: 0.root, 1.root, 2.root and 2 more." in text
    assert "3.root" not in text
    assert "1 of 9 files failed: 0.root." in failed_files_warning(STATUS, INPUTS[:1], 1)


def test_failed_files_whose_inputs_are_unknown_are_counted():
    assert "5 of 9 files failed. As" in failed_files_warning(STATUS, [], 5)


def test_the_bound_is_named_if_there_is_one():
    assert "more than max_failed=0.25 allows" in str(too_many_failed_error(STATUS, [], 5, 0.25))
    assert "max_failed" not in str(too_many_failed_error(STATUS, [], 5, 0.0))


@pytest.mark.parametrize(
    "text",
    [
        failed_files_warning(STATUS, INPUTS, 5),
        str(too_many_failed_error(STATUS, INPUTS, 5, 0.1)),
        str(all_failed_error(replace(STATUS, completed=0, failed=9), INPUTS)),
    ],
)
def test_whatever_is_said_of_failed_files_gives_the_servers_reason(text: str):
    assert text.endswith("The server says: No such branch: met.")


def test_repeated_inputs_are_named():
    text = repeated_inputs_warning(STATUS, ["0.root"])
    assert "lists 1 of 9 files more than once: 0.root." in text


def test_a_list_that_says_nothing_of_some_files_is_the_operators_business():
    text = str(unknown_files_error(STATUS, "a-backend", 4))
    assert "the backend a-backend says Complete" in text
    assert "ask the backend's operators" in text


def test_withdrawn_files_are_counted_and_named():
    text = str(withdrawn_file_error(STATUS, INPUTS[:2]))
    assert "2 of its files as finished, and does not any more: 0.root, 1.root." in text
