from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from servicex_layer._model import (
    Backend,
    Location,
    ResultRow,
    StoreAccess,
    TransformStatus,
    is_sendable,
)
from servicex_layer.errors import ProtocolError

ROW = {
    "id": 1,
    "created_at": "2026-11-22T19:45:00",
    "s3-object-name": "a.root",
    "file-path": "in.root",
    "transform_status": "success",
}
STATUS = {
    "request_id": "a",
    "status": "Running",
    "files": 3,
    "files-completed": 1,
    "files-failed": 1,
}
STORE = {
    "minio-endpoint": "store.example:9000",
    "minio-secured": True,
    "minio-access-key": "the-key",
    "minio-secret-key": "the-secret",
}


# Rows


def test_a_row_is_parsed():
    row = ResultRow.from_json(ROW | {"total-events": 7, "total-bytes": 100})
    assert row.success
    assert row.file.created_at == datetime(2026, 11, 22, 19, 45, tzinfo=UTC)
    assert (row.file.id, row.file.name, row.file.input) == (1, "a.root", "in.root")
    assert (row.file.events, row.file.size) == (7, 100)


def test_a_row_without_numbers_has_unknown_events_and_no_size():
    file = ResultRow.from_json(ROW).file
    assert (file.events, file.size) == (None, 0)


def test_a_time_with_a_zone_is_converted_to_utc():
    row = ResultRow.from_json(ROW | {"created_at": "2026-11-22T20:45:00+01:00"})
    assert row.file.created_at == datetime(2026, 11, 22, 19, 45, tzinfo=UTC)


@pytest.mark.parametrize(
    "change",
    [
        {"id": 1.5},
        {"id": True},
        {"id": "1"},
        {"id": -1},
        {"created_at": "0001-01-01T00:00:00+05:00"},
        {"created_at": "9999-12-31T23:59:59"},
        {"created_at": 5},
        {"s3-object-name": None},
        {"s3-object-name": ""},
        {"s3-object-name": "\ud800"},
        {"file-path": ["a"]},
        {"transform_status": "SUCCESS"},
        {"transform_status": None},
        {"total-bytes": float("inf")},
        {"total-bytes": -1},
    ],
)
def test_a_malformed_row_is_an_error(change):
    with pytest.raises(ProtocolError, match="row of results that is malformed"):
        ResultRow.from_json(ROW | change)


@pytest.mark.parametrize("key", ROW)
def test_a_row_without_a_key_is_an_error(key):
    row = {name: value for name, value in ROW.items() if name != key}
    with pytest.raises(ProtocolError, match=f"no key '{key}'"):
        ResultRow.from_json(row)


def test_files_are_ordered_by_time_then_id_then_name():
    changes: list[dict[str, object]] = [
        {"created_at": "2026-11-22T19:44:59", "id": 9},
        {"id": 1, "s3-object-name": "b.root"},
        {"id": 2, "s3-object-name": "a.root"},
        {"id": 2, "s3-object-name": "c.root"},
    ]
    orders = [ResultRow.from_json(ROW | change).file.order for change in changes]
    assert orders == sorted(orders)


# Statuses


def test_a_status_is_parsed():
    status = TransformStatus.from_json(
        STATUS | STORE | {"did_id": 7, "log-url": "https://logs.example", "failure-info": None}
    )
    assert str(status) == "Running: 1 of 3 files finished, 1 failed"
    assert (status.did_id, status.log_url, status.failure_info) == (7, "https://logs.example", "")
    assert str(status.store) == "https://store.example:9000"


@pytest.mark.parametrize("files", [-1, 0.5, "many", [], True, 10**12, float("nan")])
def test_a_status_with_an_invalid_number_of_files_is_an_error(files):
    with pytest.raises(ProtocolError, match="a status that is malformed"):
        TransformStatus.from_json(STATUS | {"files": files})


@pytest.mark.parametrize(
    ("status", "is_terminal", "file_count_final"),
    [
        ("Submitted", False, False),
        ("Pending Lookup", False, False),
        ("Lookup", False, False),
        ("Running", False, True),
        ("Complete", True, True),
        ("Fatal", True, True),
        ("Canceled", True, True),
        ("Bad Dataset", True, True),
    ],
)
def test_what_is_final_follows_from_the_status(status, is_terminal, file_count_final):
    parsed = TransformStatus.from_json(STATUS | {"status": status})
    assert parsed.is_terminal == is_terminal
    assert parsed.file_count_final == file_count_final


@pytest.mark.parametrize("key", ["minio-endpoint", "minio-access-key", "minio-secret-key"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_status_without_address_or_keys_has_no_store(key, value):
    assert StoreAccess.from_json(STORE | {key: value}) is None


@pytest.mark.parametrize("status", ["Running", "Complete", "Fatal", "Bad Dataset"])
def test_only_a_canceled_request_may_still_complete(status):
    assert not TransformStatus.from_json(STATUS | {"status": status}).may_still_complete
    assert TransformStatus.from_json(STATUS | {"status": "Canceled"}).may_still_complete


def test_a_status_without_reasons_has_no_explanation():
    assert TransformStatus.from_json(STATUS).explanation() == ""


def test_an_explanation_has_all_reasons_in_sentences():
    status = TransformStatus.from_json(
        STATUS
        | {"failure-info": "Traceback:\n  KeyError: met.\n", "log-url": "https://logs.example/a"}
    )
    assert replace(status, lookup="does_not_exist").explanation() == (
        "The server says: Traceback: KeyError: met. The lookup of its dataset ended with "
        "does_not_exist. Logs: https://logs.example/a"
    )


# Secrets


def test_keys_of_a_store_are_in_no_repr_and_in_no_pickle():
    status = TransformStatus.from_json(STATUS | STORE)
    assert status.store is not None
    shown = f"{status} {status!r} {status.store} {status.store!r}"
    pickled = pickle.dumps((status, status.store))
    for secret in ("the-key", "the-secret"):
        assert secret not in shown
        assert secret.encode() not in pickled
    assert pickle.loads(pickle.dumps(status)).store is None  # noqa: S301


def test_a_backend_shows_name_and_url_but_not_its_token():
    backend = Backend("far", "https://far.example", "the-secret")
    assert str(backend) == "far at https://far.example"
    assert "the-secret" not in f"{backend} {backend!r}"


def test_a_location_does_not_show_its_url():
    location = Location("https://store.example?signature=the-secret", {"X-Key": "the-secret"})
    assert "the-secret" not in f"{location} {location!r}"


def test_a_token_must_be_printable_ascii():
    assert is_sendable("a.b-c_d=")
    for token in ("é", "a\nb", "a\0", "\x7f", None, 5):
        assert not is_sendable(token)
