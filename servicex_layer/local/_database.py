"""The server's memory: all requests and their rows, behind one lock."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import random
import threading
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any

from servicex_layer.errors import BackendUnreachableError, InvalidArgumentError
from servicex_layer.local._clock import Clock
from servicex_layer.local._faults import Faults
from servicex_layer.local._job import Done, Failed, Outcome
from servicex_layer.local._object_name import object_name
from servicex_layer.local._request import ResultRow, Submission, TransformRequest

APP_VERSION = "servicex-layer-local"
IMAGE = "servicex-layer/local"

_CREATED_AT = attrgetter("created_at")
_REASONS = 10
"""The number of failed files whose reasons ``failure-info`` holds."""


class Database:
    """All requests of a server and the state of their files. Thread-safe.

    As on a ServiceX server, a row is visible before the counters include it, and a request is
    ``Complete`` only when they include all its rows. Files in flight when a request is canceled
    are still reported, and can complete it.

    Parameters
    ----------
    clock
        The server's clock.
    seed
        Seed of the order of rows and of the gaps between their ids.
    workers
        The number of workers that a status names.
    faults
        Faults of rows.
    url
        The server's URL, for the URLs of logs.
    store
        Keys that a status has in addition: those of the object store.
    """

    def __init__(
        self,
        clock: Clock,
        seed: int,
        workers: int,
        faults: Faults,
        url: str,
        store: Mapping[str, Any] | None = None,
    ) -> None:
        self._clock = clock
        self._workers = workers
        self._faults = faults
        self._url = url
        self._store = dict(store or {})
        self._random = random.Random(seed)
        self._changed = threading.Condition()
        self._requests: dict[str, TransformRequest] = {}
        self._by_number: dict[int, TransformRequest] = {}
        self._row_id = 0
        self._manual_bodies: list[bytes] = []
        self._closed = False

    def expect_manual(self, body: bytes) -> None:
        """Make the next submission with exactly this body a manual request."""
        with self._changed:
            self._manual_bodies.append(body)

    def take_manual(self, body: bytes) -> bool:
        """Return whether `expect_manual` announced this body, and forget the announcement."""
        with self._changed:
            if body not in self._manual_bodies:
                return False
            self._manual_bodies.remove(body)
            return True

    def add(self, submission: Submission) -> TransformRequest:
        """Add a new request."""
        objects = [object_name(path) for path in submission.inputs]
        with self._changed:
            request = TransformRequest(
                id=str(uuid.uuid4()),
                number=len(self._by_number) + 1,
                submission=submission,
                objects=objects,
                submitted=self._clock.now(),
            )
            self._requests[request.id] = request
            self._by_number[request.number] = request
            return request

    def get(self, request_id: str) -> TransformRequest | None:
        """Return the request, None if it is unknown."""
        with self._changed:
            return self._requests.get(request_id)

    def get_by_number(self, number: int) -> TransformRequest | None:
        """Return the request with a number, counted from 1, None if it is unknown."""
        with self._changed:
            request = self._by_number.get(number)
            return request and self._requests.get(request.id)

    def ids(self) -> list[str]:
        """Return the ids of all requests."""
        with self._changed:
            return list(self._requests)

    def remove(self, request: TransformRequest) -> list[Path] | None:
        """Remove a request and return its result files, which the caller must remove.

        Return None, and change nothing, if the request has not ended.
        """
        with self._changed:
            if not request.is_terminal:
                return None
            request.status = "Deleted"  # so that files in flight are dropped
            self._requests.pop(request.id, None)
            request.results.clear()
            return list(request.paths)

    def close(self) -> None:
        """Wake up all threads that wait in `release`: no file finishes any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # Read by clients

    def status(self, request: TransformRequest) -> dict[str, Any]:
        """Return the status of a request as ServiceX sends it."""
        with self._changed:
            submission = request.submission
            remaining = request.files - request.completed - len(request.failures)
            return {
                "request_id": request.id,
                "did": submission.did or "File List Provided in Request",
                "did_id": request.number,
                "title": submission.title,
                "selection": submission.selection,
                "tree-name": None,
                "image": IMAGE,
                "workers": self._workers,
                "result-destination": submission.result_destination,
                "result-format": submission.result_format,
                "generated-code-cm": f"{request.id}-generated-source",
                "status": request.status,
                "failure-info": request.failure_info or _summary(request),
                "app-version": APP_VERSION,
                "code-gen-image": IMAGE,
                "files": request.files,
                "files-completed": request.completed,
                "files-failed": len(request.failures),
                "files-remaining": remaining if request.files else None,
                "submit-time": _zulu(request.submitted),
                "finish-time": _zulu(request.finished) if request.finished else "None",
                "log-url": f"{self._url}/logs/{request.id}",
                **self._store,
            }

    def statuses(self) -> list[dict[str, Any]]:
        """Return the status of each request."""
        with self._changed:
            return [self.status(request) for request in self._requests.values()]

    def log(self, request: TransformRequest) -> str:
        """Return a line for each failed file: its input and the reason."""
        with self._changed:
            return "".join(f"{_reason(row)}\n" for row in request.failures.values())

    def rows(self, request: TransformRequest, later_than: datetime | None) -> list[ResultRow]:
        """Return the visible rows created after `later_than`, in no particular order."""
        with self._changed:
            first = 0
            if later_than is not None:
                first = bisect.bisect_right(request.rows, later_than, key=_CREATED_AT)
            rows = request.rows[first:]
            self._random.shuffle(rows)
            return rows

    def dataset(self, did_id: int) -> dict[str, Any] | None:
        """Return a dataset as ServiceX sends it, None if it is unknown."""
        with self._changed:
            request = self._by_number.get(did_id)
            if request is None:
                return None
            did = request.submission.did
            if did is not None:
                lookup = "does_not_exist"
            else:
                lookup = "complete" if request.lookup_done else "looking"
            return {
                "id": did_id,
                "name": did or f"File List {did_id}",
                "did_finder": "none" if did is None else did.partition("://")[0],
                "n_files": request.dataset_files,
                "size": 0,
                "events": 0,
                "last_used": _zulu(request.submitted),
                "last_updated": _zulu(request.submitted),
                "lookup_status": lookup,
                "is_stale": False,
            }

    def result(self, request_id: str, name: str) -> Path | None:
        """Return the result file of an object name, None if there is none."""
        with self._changed:
            request = self._requests.get(request_id)
            return request.results.get(name) if request else None

    # Written by the dispatcher

    def advance(self, request: TransformRequest, status: str) -> None:
        """Set a status that is not final."""
        with self._changed:
            if not request.is_terminal:
                request.status = status

    def add_files(self, request: TransformRequest, count: int) -> None:
        """Raise the number of files that the lookup has found."""
        with self._changed:
            request.files += count
            request.dataset_files += count

    def end_lookup(self, request: TransformRequest, left_out: int = 0) -> None:
        """End the lookup: the number of files is final, without those that were left out."""
        with self._changed:
            request.lookup_done = True
            request.dataset_files += left_out
            self.advance(request, "Running")
            self._complete_if_counted(request)

    def end_transformation(
        self, request: TransformRequest, index: int, outcome: Outcome, seconds: float, path: Path
    ) -> bool:
        """Store how a transformation ended; return False if the request doesn't accept rows."""
        with self._changed:
            if not request.accepts_rows:
                return False
            self._store_outcome(request, index, outcome, seconds, path)
            self._changed.notify_all()
            return True

    def make_row(self, request: TransformRequest, index: int, created_at: datetime) -> ResultRow:
        """Make the row of a transformed file, which stays invisible until `publish`."""
        with self._changed:
            outcome, seconds = request.transformed[index]
            # other requests take numbers too
            self._row_id += self._random.randint(1, 3)
            request.reported.add(index)
            return ResultRow(
                id=self._row_id,
                index=index,
                input=request.submission.inputs[index],
                object=self._object_in_row(request, index, outcome),
                outcome=outcome,
                seconds=seconds,
                created_at=created_at + timedelta(seconds=self._faults.utc_offset),
            )

    def publish(self, request: TransformRequest, rows: Iterable[ResultRow]) -> None:
        """Make rows visible, all at once."""
        with self._changed:
            if not request.accepts_rows:
                return
            for row in rows:
                bisect.insort(request.rows, row, key=_CREATED_AT)
                request.uncounted[row.id] = row

    def count(self, request: TransformRequest, rows: Iterable[ResultRow] | None = None) -> None:
        """Add visible rows to the counters: all of them if `rows` is None."""
        with self._changed:
            if not request.accepts_rows:
                return
            for row in list(request.uncounted.values()) if rows is None else rows:
                # the row may have been updated since it was published
                visible = request.uncounted.pop(row.id, None)
                if visible is None:
                    continue
                if isinstance(visible.outcome, Failed):
                    request.failures[visible.id] = visible
                else:
                    request.completed += 1
            self._complete_if_counted(request)

    # Written by tests

    def release(
        self,
        request: TransformRequest,
        indices: Iterable[int],
        created_at: datetime | None,
        counted: bool,
    ) -> None:
        """Wait until files of a manual request are transformed, then make their rows visible."""
        indices = list(dict.fromkeys(indices))
        with self._changed:
            for index in indices:
                if not 0 <= index < len(request.objects):
                    raise InvalidArgumentError(
                        f"request {request.id} has no input file {index}: "
                        f"it has {len(request.objects)}"
                    )
            self._changed.wait_for(
                lambda: (
                    self._closed
                    or request.is_terminal
                    or all(index in request.transformed for index in indices)
                )
            )
            if self._closed:
                raise BackendUnreachableError("the embedded ServiceX was stopped")
            if not request.accepts_rows or not request.transformed.keys() >= set(indices):
                raise InvalidArgumentError(
                    f"input files {indices} cannot be released: request {request.id} is "
                    f"{request.status}"
                )
            repeated = request.reported.intersection(indices)
            if repeated:
                raise InvalidArgumentError(
                    f"input file {min(repeated)} of request {request.id} is released already"
                )
            created_at = created_at or self._clock.now()
            rows = [self.make_row(request, index, created_at) for index in indices]
            self.publish(request, rows)
            if counted:
                self.count(request, rows)

    def update_row(
        self, request: TransformRequest, index: int, outcome: Outcome, seconds: float, path: Path
    ) -> None:
        """Replace the outcome in the row of a file; the counters follow.

        Raises
        ------
        InvalidArgumentError
            If the file has no visible row.
        """
        with self._changed:
            place = self._place_of_row(request, index)
            before = request.rows[place]
            self._store_outcome(request, index, outcome, seconds, path)
            row = dataclasses.replace(
                before,
                object=self._object_in_row(request, index, outcome),
                outcome=outcome,
                seconds=seconds,
            )
            request.rows[place] = row
            if before.id in request.uncounted:
                request.uncounted[before.id] = row
                return
            if request.failures.pop(before.id, None) is None:
                request.completed -= 1
            if isinstance(outcome, Failed):
                request.failures[before.id] = row
            else:
                request.completed += 1

    def require_row(self, request: TransformRequest, index: int) -> None:
        """Raise an `InvalidArgumentError` if a file has no visible row."""
        with self._changed:
            self._place_of_row(request, index)

    def cancel(self, request: TransformRequest) -> bool:
        """Cancel a request; return False if it is terminal already."""
        with self._changed:
            return self._end(request, "Canceled")

    def fail(self, request: TransformRequest, status: str, reason: str) -> None:
        """End a request as ``Fatal`` or ``Bad Dataset``."""
        with self._changed:
            if self._end(request, status):
                request.failure_info = reason

    def _place_of_row(self, request: TransformRequest, index: int) -> int:
        for place, row in enumerate(request.rows):
            if row.index == index:
                return place
        raise InvalidArgumentError(
            f"input file {index} of request {request.id} has no row yet: wait until it is reported"
        )

    def _store_outcome(
        self, request: TransformRequest, index: int, outcome: Outcome, seconds: float, path: Path
    ) -> None:
        request.transformed[index] = (outcome, seconds)
        if isinstance(outcome, Done):
            if request.submission.result_destination == "volume":
                request.objects[index] = str(path)
            request.paths.add(path)
            request.results[request.objects[index]] = path

    def _object_in_row(self, request: TransformRequest, index: int, outcome: Outcome) -> str:
        if isinstance(outcome, Failed) and not outcome.bytes:
            return "none"
        on_volume = request.submission.result_destination == "volume"
        if on_volume and self._faults.unnamed_on_volume:
            return "none"
        return request.objects[index]

    def _complete_if_counted(self, request: TransformRequest) -> None:
        counted = request.completed + len(request.failures)
        if request.lookup_done and request.accepts_rows and counted == request.files:
            request.status = "Complete"
            request.finished = self._clock.now()
            self._changed.notify_all()

    def _end(self, request: TransformRequest, status: str) -> bool:
        if request.is_terminal:
            return False
        request.status = status
        request.finished = self._clock.now()
        self._changed.notify_all()
        return True


def _summary(request: TransformRequest) -> str:
    reasons = [_reason(row) for row in itertools.islice(request.failures.values(), _REASONS)]
    more = len(request.failures) - len(reasons)
    return "; ".join(reasons + [f"and {more} more"] * (more > 0))


def _reason(row: ResultRow) -> str:
    reason = row.outcome.reason if isinstance(row.outcome, Failed) else ""
    return f"{row.input}: {' '.join(reason.split())}"


def _zulu(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
