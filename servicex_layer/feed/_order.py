"""The order in which files got their numbers: as far as this session knows, and to compare.

An order is the digests of the files' object names, one after the other. A session is a process of a
user: it keeps what its computations have learned of each request's order for as long as it lives,
and seeds each new list with it.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field

from servicex_layer.errors import CompletionOrderError

__all__ = [
    "DIGEST_SIZE",
    "SESSION",
    "SessionOrders",
    "contradicts",
    "digest",
    "digests_of",
    "order_error",
    "summary",
]

DIGEST_SIZE = 16


def digest(name: str) -> bytes:
    """Return the digest of an object name."""
    return _hash(name.encode())


def _hash(content: bytes | bytearray) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST_SIZE).digest()


def digests_of(order: bytes | bytearray, start: int = 0) -> list[bytes]:
    """Split an order into its digests, from a number on."""
    places = range(start * DIGEST_SIZE, len(order), DIGEST_SIZE)
    return [bytes(order[place : place + DIGEST_SIZE]) for place in places]


def contradicts(order: bytes | bytearray, other: bytes | bytearray) -> bool:
    """Return whether neither of two orders is the beginning of the other."""
    common = min(len(order), len(other))
    return order[:common] != other[:common]


def order_error(request_id: str, first: str, second: str) -> CompletionOrderError:
    """Return the error for two computations that number the files of a request differently."""
    return CompletionOrderError(
        f"Request {request_id}: its files have other numbers in {second} than in {first}, so "
        "results of the two can't be combined. Compute everything in one of them, or start again "
        "in a new session."
    )


def summary(order: bytes | bytearray) -> tuple[int, bytes]:
    """Return the number of files in an order, and a checksum of it."""
    return len(order) // DIGEST_SIZE, _hash(order)


@dataclass
class _Known:
    order: bytearray = field(default_factory=bytearray)
    source: str = ""
    error: CompletionOrderError | None = None
    summary: tuple[int, bytes] = (0, b"")


class SessionOrders:
    """What a session knows of the order of each request; append-only, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], _Known] = {}

    def get(self, url: str, request_id: str) -> bytes:
        """Return the order of a request, empty if none of its files has a number.

        Raises
        ------
        CompletionOrderError
            If two computations of this session have numbered its files differently.
        """
        with self._lock:
            known = self._known.get((url, request_id))
            if known is None:
                return b""
            if known.error is not None:
                raise known.error
            return bytes(known.order)

    def summary(self, url: str, request_id: str) -> tuple[int, bytes, str]:
        """Return the number of files in an order, a checksum of it, and where it comes from.

        Raises
        ------
        CompletionOrderError
            As `get` does.
        """
        self.get(url, request_id)
        with self._lock:
            known = self._known.get((url, request_id))
            if known is None:
                return 0, b"", ""
            if known.summary[0] != len(known.order) // DIGEST_SIZE:
                known.summary = summary(known.order)
            return (*known.summary, known.source)

    def extend(
        self, url: str, request_id: str, start: int, order: bytes | bytearray, source: str
    ) -> None:
        """Learn the digests of the files from number `start` on.

        Parameters
        ----------
        url : str
            The backend's URL.
        request_id : str
            The request.
        start : int
            The number of the first file in `order`.
        order : bytes
            The digests.
        source : str
            Names the computation in errors, such as ``"this process"``.

        Raises
        ------
        CompletionOrderError
            If they contradict what the session knows; from then on `get` raises it, too.
        """
        with self._lock:
            known = self._known.setdefault((url, request_id), _Known(source=source))
            begin = start * DIGEST_SIZE
            if begin > len(known.order) or contradicts(known.order[begin:], order):
                known.error = order_error(request_id, known.source, source)
                raise known.error
            if begin + len(order) > len(known.order):
                known.order[begin:] = order
                known.source = source


SESSION = SessionOrders()
