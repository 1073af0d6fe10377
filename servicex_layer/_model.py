"""Plain data: backends, requests and result files, parsed from a server's answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from servicex_layer.errors import ProtocolError

__all__ = [
    "FILE_LAYER",
    "Backend",
    "FileGroup",
    "Location",
    "NoFile",
    "ResultFile",
    "ResultRow",
    "StoreAccess",
    "TransformStatus",
    "is_sendable",
    "is_url",
]

# Names of the layers whose tasks wait for files begin with this.
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
        The refresh token; ``None`` if the backend has no authentication. Never part of the repr.
    """

    name: str
    url: str
    token: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Return name and URL."""
        return f"{self.name} at {self.url}"


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A result file: a row of the request's results with ``transform_status`` ``success``.

    It has no URL: URLs expire, so a `Location` is looked up when the file is read.

    Parameters
    ----------
    id : int
        The row's number in the server's database, which grows with holes; 0 if only the object
        store lists the results.
    created_at : datetime.datetime
        When the server began to write the row (UTC). A row with an earlier time can become
        visible after a row with a later time.
    name : str
        The name of the result in the object store.
    input : str
        Path of the input file; empty if only the object store lists the results.
    events : int or None
        Number of events that the transformer counted; ``None`` if unknown.
    size : int
        Size of the result in bytes.
    format : str
        The request's format: ``root-file``, ``root-rntuple`` or ``parquet``.
    volume : bool
        Whether the file is on a volume: its name is then its path.
    number : int
        Its place in the order of completion, from 0: the number of its partition.
    waited : float
        How long a task waited for it, in seconds.
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
        """The key that sorts files seen together: by time, then by `id`, then by name."""
        return self.created_at, self.id, self.name


@dataclass(frozen=True, slots=True)
class NoFile:
    """A partition without a file: the transform ended with fewer files than partitions.

    Parameters
    ----------
    number : int
        The number of the partition.
    failed : str or None
        A failed input file, another one for each partition; ``None`` if the backend names none.
    reason : str or None
        Why it failed, with the URL of the logs; ``None`` if the backend does not say.
    waited : float
        How long a task waited for the end of the transform, in seconds.
    """

    number: int
    failed: str | None = None
    reason: str | None = None
    waited: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class FileGroup:
    """The files of a partition that holds several.

    Parameters
    ----------
    partition : int
        The number of the partition.
    files : tuple of ResultFile or NoFile
        The files, in the order of their numbers.
    """

    partition: int
    files: tuple[ResultFile | NoFile, ...]


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A row of a request's results: a finished or a failed file.

    Parameters
    ----------
    file : ResultFile
        The file. A failed file can have a name and a size, too.
    success : bool
        Whether there is a result.
    """

    file: ResultFile
    success: bool

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> ResultRow:
        """Parse a row of the server.

        Raises
        ------
        ProtocolError
            If a key is missing or has an invalid value.
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
    """Address and keys of the S3 store of a request, from its status.

    The keys stay in the process that requested the status: they are never part of a repr, and a
    pickle of this loads as ``None``.

    Parameters
    ----------
    endpoint : str
        Host and port, without a scheme.
    secured : bool
        Whether the store uses TLS.
    access_key, secret_key : str
        The keys of the store.
    """

    endpoint: str
    secured: bool
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """Pickle ``None``."""
        return type(None), ()

    def __str__(self) -> str:
        """Return the store's URL."""
        return f"{'https' if self.secured else 'http'}://{self.endpoint}"

    @classmethod
    def from_json(cls, status: Mapping[str, Any]) -> StoreAccess | None:
        """Parse a status of the server; ``None`` if it names no store."""
        endpoint = status.get("minio-endpoint")
        access_key, secret_key = status.get("minio-access-key"), status.get("minio-secret-key")
        if not endpoint or not access_key or not secret_key:
            return None
        return cls(
            str(endpoint), bool(status.get("minio-secured")), str(access_key), str(secret_key)
        )


# No request has more. An array of many more partitions would fill the memory.
_MAX_FILES = 10_000_000

_TERMINAL = frozenset({"Complete", "Fatal", "Canceled", "Bad Dataset"})


@dataclass(frozen=True, slots=True)
class TransformStatus:
    """The status of a request.

    Parameters
    ----------
    request_id : str
        The request.
    status : str
        ``Submitted``, ``Pending Lookup``, ``Lookup``, ``Running``, ``Complete``, ``Fatal``,
        ``Canceled`` or ``Bad Dataset``.
    files, completed, failed : int
        Number of input files: known so far, finished with a result, and failed.
    result_format : str
        ``root-file``, ``root-rntuple`` or ``parquet``.
    destination : str
        ``object-store`` or ``volume``.
    failure_info : str
        The server's description of a failure; empty if there is none.
    log_url : str or None
        URL of the transformers' logs.
    store : StoreAccess or None
        The S3 store of the results, if the status names one. Never part of the repr.
    did_id : int or None
        The number of the request's dataset.
    lookup : str
        Why the lookup of a bad dataset failed, such as ``does_not_exist``; empty if unknown.
    title : str
        The title that the user gave the request; empty if there is none.
    submitted_at : datetime.datetime or None
        When it was submitted (UTC), if the status has a valid time.
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
    title: str = ""
    submitted_at: datetime | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether the request has ended."""
        return self.status in _TERMINAL

    @property
    def may_still_complete(self) -> bool:
        """Whether the request has ended, but may still become ``Complete``.

        The server still accepts files that were in flight when the request was canceled. Wait
        for a second poll with the same status and the same counters.
        """
        return self.status == "Canceled"

    @property
    def file_count_final(self) -> bool:
        """Whether the dataset's lookup has ended, so that `files` grows no more."""
        return self.is_terminal or self.status == "Running"

    def explanation(self) -> str:
        """Return why files or the request failed, and where the logs are; empty if unknown.

        Examples
        --------
        >>> status = TransformStatus("a", "Fatal", 3, 1, 2, failure_info="No such branch: met")
        >>> status.explanation()
        'The server says: No such branch: met.'
        """
        sentences = []
        if self.failure_info:
            # It can be the text of an exception, with several lines.
            sentences.append(f"The server says: {' '.join(self.failure_info.split()).rstrip('.')}.")
        if self.lookup:
            sentences.append(f"The lookup of its dataset ended with {self.lookup}.")
        if self.log_url:
            sentences.append(f"Logs: {self.log_url}")
        return " ".join(sentences)

    def __str__(self) -> str:
        """Return the status in one line."""
        return (
            f"{self.status}: {self.completed} of {self.files} files finished, {self.failed} failed"
        )

    @classmethod
    def from_json(cls, status: Mapping[str, Any]) -> TransformStatus:
        """Parse a status of the server.

        Raises
        ------
        ProtocolError
            If a key is missing or has an invalid value.
        """
        try:
            log_url = status.get("log-url")
            return cls(
                request_id=_text(status["request_id"]),
                status=_text(status["status"]),
                files=_count(status["files"], _MAX_FILES),
                completed=_count(status["files-completed"]),
                failed=_count(status["files-failed"]),
                result_format=str(status.get("result-format") or "root-file"),
                destination=str(status.get("result-destination") or "object-store"),
                failure_info=str(status.get("failure-info") or ""),
                log_url=None if log_url is None else str(log_url),
                store=StoreAccess.from_json(status),
                did_id=None if status.get("did_id") is None else _count(status["did_id"]),
                title=str(status.get("title") or ""),
                submitted_at=_time_to_show(status.get("submit-time")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _malformed("a status", status, error) from error


@dataclass(frozen=True, slots=True)
class Location:
    """A URL of one result until it expires. It is signed, so it is never part of a repr.

    Parameters
    ----------
    url : str
        An ``http`` or ``https`` URL.
    headers : mapping of str to str
        Headers that must be sent with the request.
    expires : float
        Unix time at which the URL expires, in seconds.
    path : str or None
        A path to read instead of the URL, if results are on a volume.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    expires: float = float("inf")
    path: str | None = None


def is_url(text: str) -> bool:
    r"""Return whether a text is a URL, and not a path.

    Examples
    --------
    >>> is_url("root://eos.example//store/a.root"), is_url("file:///C:/data/a.root")
    (True, True)
    >>> is_url("/data/a.root"), is_url(r"C:\data\a.root"), is_url("C://data/a.root")
    (False, False, False)
    """
    # One letter before the colon is a drive of Windows.
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def is_sendable(token: object) -> bool:
    """Return whether a header can hold this token; the HTTP libraries' errors would show it."""
    return isinstance(token, str) and token.isascii() and token.isprintable()


def _is_success(value: Any) -> bool:
    # With any other value, a file would be lost silently.
    if value not in ("success", "failure"):
        raise ValueError(f"transform_status {value!r}")
    return bool(value == "success")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"{value!r} is not a non-empty string")
    # JSON can hold lone surrogates; encoding them raises a ValueError.
    value.encode()
    return value


def _count(value: Any, maximum: int = 2**53) -> int:
    """Parse a count or an id; ``None`` is 0. Fractions are refused: rounding could merge ids."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ValueError(f"{value!r} is not an integer")
    if not 0 <= value <= maximum:
        raise ValueError(f"{value!r} is not between 0 and {maximum}")
    return int(value)


def _utc(text: str) -> datetime:
    # created_at has no zone and is in UTC.
    time = datetime.fromisoformat(text)
    # An overlap before it, or a margin after it, must still be a valid time.
    if not 1970 <= time.year < 9000:
        raise ValueError(f"the year {time.year}")
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _time_to_show(value: object) -> datetime | None:
    # An invalid time must not stop a computation, which does not need it.
    try:
        return _utc(str(value))
    except ValueError:
        return None


def _malformed(kind: str, value: object, error: Exception) -> ProtocolError:
    reason = f"no key {error}" if isinstance(error, KeyError) else str(error)
    keys = sorted(map(str, value)) if isinstance(value, Mapping) else type(value).__name__
    return ProtocolError(
        f"The backend sent {kind} that is malformed ({reason}); it has {keys}. "
        "Is the endpoint in servicex.yaml really a ServiceX server?"
    )
