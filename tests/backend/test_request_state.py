from __future__ import annotations

import asyncio

import pytest

from servicex_layer._config import find_backend
from servicex_layer._model import Backend
from servicex_layer.backend import get_status, list_files
from servicex_layer.errors import BackendError, UnknownRequestError


def test_status_and_files_in_order_of_completion(service, finished, inputs):
    request_id = finished(inputs)
    backend = find_backend(config_path=service.servicex_yaml)
    status, rows = asyncio.run(list_files(backend, request_id))
    assert status == asyncio.run(get_status(backend, request_id))
    assert status.status == "Complete"
    assert [row.file.input for row in rows] == [str(path) for path in inputs]


def test_an_unknown_request_is_an_error_not_an_empty_list(service):
    backend = find_backend(config_path=service.servicex_yaml)
    with pytest.raises(UnknownRequestError):
        asyncio.run(list_files(backend, "unknown"))


def test_a_backend_that_lists_no_files_is_an_error(serve):
    body = b'{"request_id": "a", "status": "Running", "files": 1, "files-completed": 0, '
    body += b'"files-failed": 0}'
    backend = Backend("old", serve(lambda *_: (200, body, {})))
    with pytest.raises(BackendError, match="old does not list which files of request a"):
        asyncio.run(list_files(backend, "a"))
