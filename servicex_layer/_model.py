"""Plain data: what a ServiceX server says, as Python values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from servicex_layer.errors import ProtocolError

__all__ = [
    "FILE_LAYER",
    "Backend",
    "Location",
    "NoFile",
    "ResultFile",
    "ResultRow",
    "StoreAccess",
    "TransformStatus",
    "is_sendable",
]

# How the names of the layers begin whose tasks wait for files; the rest is a hash.
FILE_LAYER = "servicex-file"


@dataclass(frozen=True, slots=True)
class Backend:
    """A ServiceX backend as ``servicex.yaml`` describes it.

    Parameters
    ----------
    name : str
        Its name in ``servicex.yaml``.
    url : str
        Its URL, without a slash at the end.
    token : str or None
        The refresh token, where the backend has authentication. Never part of the repr.
    """

    name: str
    url: str
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ResultFile:
    """One finished file of a request: a row of its results that says ``success``.

    It says which file, not where its bytes are: a `Location` is asked for when it is read.

    Parameters
    ----------
    id : int
        The row's number in the server's database; grows with insertion, with holes. 0 where only
        the object store lists the results.
    created_at : datetime.datetime
        When the server began to write the row (UTC). A row with an earlier time can become
        visible after one with a later time.
    name : str
        The name of the result in the object store.
    input : str
        Path of the input file; empty where only the object store lists the results.
    events : int or None
        Number of events that the transformer counted; ``None`` where that is not known.
    size : int
        Size of the result in bytes.
    format : str
        ``root-file``, ``root-rntuple`` or ``parquet``: that of the request.
    volume : bool
        Whether it is on a volume, where its name is its path.
    number : int
        Its place in the order of completion, from 0: the partition that it is.
    waited : float
        How many seconds a task waited for it.
    """

    id: int
    created_at: datetime
    name: str
    input: str
    events: int | None
    size: int
    format: str = "root-file"
    volume: bool = False
    number: int = 0
    waited: float = field(default=0.0, compare=False)

    @property
    def order(self) -> tuple[datetime, int, str]:
        """The place among files seen together: by time, ties by `id` and by name."""
        return self.created_at, self.id, self.name


@dataclass(frozen=True, slots=True)
class NoFile:
    """What a partition has instead of a file where the transform ended with fewer.

    Parameters
    ----------
    number : int
        The partition.
    failed : str or None
        The input file that has no result: of the partitions without a file, each has another one;
        ``None`` where the backend names none.
    waited : float
        How many seconds a task waited to know.
    """

    number: int
    failed: str | None = None
    waited: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One row of a request's results: a finished file, or the failure of one.

    Parameters
    ----------
    file : ResultFile
        The file; for a failure its name is ``none`` and its sizes are 0.
    success : bool
        Whether there is a result.
    """

    file: ResultFile
    success: bool

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> ResultRow:
        """Read a row as the server sends it.

        Raises
        ------
        ProtocolError
            Where a key is missing or holds something else than it should.
        """
        try:
            file = ResultFile(
                id=_count(row["id"]),
                created_at=_utc(row["created_at"]),
                name=_text(row["s3-object-name"]),
                input=_text(row["file-path"]),
                events=None if row.get("total-events") is None else _count(row["total-events"]),
                size=_count(row.get("total-bytes")),
            )
            return cls(file, success=_is_success(row["transform_status"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _malformed("a row of results", row, error) from error


@dataclass(frozen=True, slots=True)
class StoreAccess:
    """How a request's results in an S3 store can be had, as a status tells it.

    The keys are never part of a repr, and a pickle of this is one of ``None``: they stay in the
    process that asked for them.

    Parameters
    ----------
    endpoint : str
        Host and port, without a scheme.
    secured : bool
        Whether it speaks TLS.
    access_key, secret_key : str
        The keys of the store.
    """

    endpoint: str
    secured: bool
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """Pickle nothing."""
        return type(None), ()

    def __str__(self) -> str:
        """Give the store's URL."""
        return f"{'https' if self.secured else 'http'}://{self.endpoint}"

    @classmethod
    def from_json(cls, status: Mapping[str, Any]) -> StoreAccess | None:
        """Read it from a status as the server sends it; ``None`` where that has no store."""
        endpoint = status.get("minio-endpoint")
        access_key, secret_key = status.get("minio-access-key"), status.get("minio-secret-key")
        if not endpoint or not access_key or not secret_key:
            return None
        return cls(
            str(endpoint), bool(status.get("minio-secured")), str(access_key), str(secret_key)
        )


# No request has more; with many more, an array of a partition for each would fill the memory.
_MOST_FILES = 10_000_000

_OVER = frozenset({"Complete", "Fatal", "Canceled", "Bad Dataset"})


@dataclass(frozen=True, slots=True)
class TransformStatus:
    """The state of a request, as the server tells it.

    Parameters
    ----------
    request_id : str
        The request.
    status : str
        ``Submitted``, ``Pending Lookup``, ``Lookup``, ``Running``, ``Complete``, ``Fatal``,
        ``Canceled`` or ``Bad Dataset``.
    files, completed, failed : int
        Number of input files known, with a result, and without.
    result_format : str
        ``root-file``, ``root-rntuple`` or ``parquet``.
    destination : str
        ``object-store`` or ``volume``.
    failure_info : str
        What the server says of a failure.
    log_url : str or None
        Where the transformers' logs are.
    store : StoreAccess or None
        The S3 store of the results, where the server tells of one. Never part of the repr.
    did_id : int or None
        The number of the request's dataset.
    lookup : str
        What the server says of the lookup of a bad dataset, such as ``does_not_exist``.
    """

    request_id: str
    status: str
    files: int
    completed: int
    failed: int
    result_format: str = "root-file"
    destination: str = "object-store"
    failure_info: str = ""
    log_url: str | None = None
    store: StoreAccess | None = field(default=None, repr=False, compare=False)
    did_id: int | None = None
    lookup: str = ""

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in _OVER

    @property
    def file_count_final(self) -> bool:
        """Whether `files` is final: the dataset's lookup is over."""
        return self.is_terminal or self.status == "Running"

    def __str__(self) -> str:
        """Tell the state in a line."""
        return (
            f"{self.status}: {self.completed} of {self.files} files finished, {self.failed} failed"
        )

    @classmethod
    def from_json(cls, status: Mapping[str, Any]) -> TransformStatus:
        """Read a status as the server sends it.

        Raises
        ------
        ProtocolError
            Where a key is missing or holds something else than it should.
        """
        try:
            log_url = status.get("log-url")
            return cls(
                request_id=_text(status["request_id"]),
                status=_text(status["status"]),
                files=_count(status["files"], _MOST_FILES),
                completed=_count(status["files-completed"]),
                failed=_count(status["files-failed"]),
                result_format=str(status.get("result-format") or "root-file"),
                destination=str(status.get("result-destination") or "object-store"),
                failure_info=str(status.get("failure-info") or ""),
                log_url=None if log_url is None else str(log_url),
                store=StoreAccess.from_json(status),
                did_id=None if status.get("did_id") is None else _count(status["did_id"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _malformed("a status", status, error) from error


@dataclass(frozen=True, slots=True)
class Location:
    """Where the bytes of one result are, for a while. Signed, so never part of a repr.

    Parameters
    ----------
    url : str
        An ``http`` or ``https`` URL.
    headers : mapping of str to str
        Headers that must be sent along.
    expires : float
        Unix time, in seconds, at which the URL stops working.
    path : str or None
        A path that this machine sees instead, where results go to a volume.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    expires: float = float("inf")
    path: str | None = None


def is_sendable(token: object) -> bool:
    """Tell whether a token can be sent in a header; the errors about others would show it."""
    return isinstance(token, str) and token.isascii() and token.isprintable()


def _is_success(value: Any) -> bool:
    # Anything else would be a file that is lost without a word.
    if value not in ("success", "failure"):
        raise ValueError(f"transform_status {value!r}")
    return bool(value == "success")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"{value!r} is no text")
    # JSON can hold what is no character; this raises a ValueError of its own.
    value.encode()
    return value


def _count(value: Any, most: int = 2**53) -> int:
    """Read a number of things; none at all is 0. Cut to an integer, two could become one."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ValueError(f"{value!r} is no integer")
    if not 0 <= value <= most:
        raise ValueError(f"{value!r} is not between 0 and {most}")
    return int(value)


def _utc(text: str) -> datetime:
    # ServiceX writes created_at without a zone, in UTC.
    time = datetime.fromisoformat(text)
    # From where, and to where, there is room for what is reckoned with it.
    if not 1970 <= time.year < 9000:
        raise ValueError(f"the year {time.year}")
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _malformed(what: str, value: object, error: Exception) -> ProtocolError:
    reason = f"no key {error}" if isinstance(error, KeyError) else str(error)
    keys = sorted(map(str, value)) if isinstance(value, Mapping) else type(value).__name__
    return ProtocolError(
        f"The backend sent {what} that cannot be read ({reason}); it has {keys}. "
        "Is the endpoint in servicex.yaml really a ServiceX server?"
    )
