"""The book of requests: everything that the server knows, behind one lock."""

from __future__ import annotations

import bisect
import random
import threading
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

from servicex_layer.errors import BackendUnreachableError, InvalidArgumentError
from servicex_layer.local._clock import Clock
from servicex_layer.local._jobs import Done, Failed, Outcome
from servicex_layer.local._names import object_names

APP_VERSION = "servicex-layer-local"
IMAGE = "servicex-layer/local"

_CREATED_AT = attrgetter("created_at")


@dataclass(frozen=True)
class Submission:
    """What was asked for."""

    inputs: tuple[str, ...]
    selection: str
    result_format: str
    result_destination: str
    title: str | None
    did: str | None
    """None where the input files were given."""
    manual: bool


@dataclass(frozen=True)
class Row:
    """A row of ``results``."""

    id: int
    input: str
    object: str
    outcome: Outcome
    seconds: float
    created_at: datetime

    def to_json(self, request_id: str) -> dict[str, Any]:
        """Write the row as it goes over the wire."""
        done = self.outcome if isinstance(self.outcome, Done) else None
        events = done.events if done else 0
        return {
            "id": self.id,
            "request-id": request_id,
            "file-id": self.id,  # wrong, as in released servers
            "file-path": self.input,
            "s3-object-name": self.object if done else "none",
            "transform_status": "success" if done else "failure",
            "transform_time": round(self.seconds, 3),
            "total-events": events,
            "total-bytes": done.bytes if done else 0,
            "avg-rate": round(events / self.seconds, 3) if self.seconds else 0.0,
            "created_at": self.created_at.isoformat(),
        }


@dataclass
class Request:
    """A request; everything below ``submitted`` changes, under the book's lock only."""

    id: str
    number: int
    submission: Submission
    objects: list[str]
    submitted: datetime
    status: str = "Submitted"
    finished: datetime | None = None
    failure_info: str = ""
    files: int = 0
    completed: int = 0
    failed: int = 0
    looked_up: bool = False
    ended: dict[int, tuple[Outcome, float]] = field(default_factory=dict)
    """Index of each input whose transformation is over: the outcome and its seconds."""
    results: dict[str, Path] = field(default_factory=dict)
    """The result files by object name."""
    drawn: set[int] = field(default_factory=set)
    """The indices of the inputs that have a row."""
    rows: list[Row] = field(default_factory=list)
    """The visible rows, by ``created_at``."""
    uncounted: dict[int, Row] = field(default_factory=dict)
    """The visible rows, by ``id``, that the counters do not count yet."""

    @property
    def over(self) -> bool:
        """Whether the status is final."""
        return self.finished is not None


class Book:
    """All requests of a server, and what has become of their files.

    A status says too what `store` says of the object store.

    What can be asked is what a ServiceX server's database holds: a row is visible before it is
    counted, and a request is ``Complete`` only when all its rows are counted. Safe to use from
    several threads.
    """

    def __init__(
        self, clock: Clock, seed: int, workers: int, store: Mapping[str, Any] | None = None
    ) -> None:
        self._clock = clock
        self._store = dict(store or {})
        self._workers = workers
        self._chance = random.Random(seed)
        self._changed = threading.Condition()
        self._requests: dict[str, Request] = {}
        self._by_did: dict[int, Request] = {}
        self._row_id = 0
        self._manual: list[bytes] = []
        self._closed = False

    def expect_manual(self, body: bytes) -> None:
        """Make a manual request of the next submission with exactly this body."""
        with self._changed:
            self._manual.append(body)

    def take_manual(self, body: bytes) -> bool:
        """Tell whether a submission is to be a manual one; forgets the expectation."""
        with self._changed:
            if body not in self._manual:
                return False
            self._manual.remove(body)
            return True

    def add(self, submission: Submission) -> Request:
        """Enter a new request."""
        objects = object_names(submission.inputs)
        with self._changed:
            request = Request(
                id=str(uuid.uuid4()),
                number=len(self._by_did) + 1,
                submission=submission,
                objects=objects,
                submitted=self._clock.now(),
            )
            self._requests[request.id] = request
            self._by_did[request.number] = request
            return request

    def get(self, request_id: str) -> Request | None:
        """Return the request, None where there is none."""
        with self._changed:
            return self._requests.get(request_id)

    def ids(self) -> list[str]:
        """Return the ids of all requests."""
        with self._changed:
            return list(self._requests)

    def remove(self, request: Request) -> list[Path]:
        """Forget a request; its result files are the caller's to remove."""
        with self._changed:
            self._end(request, "Canceled")
            self._requests.pop(request.id, None)
            paths = list(request.results.values())
            request.results.clear()
            return paths

    def close(self) -> None:
        """Wake up all who wait: nothing will happen any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    # What clients ask

    def status(self, request: Request) -> dict[str, Any]:
        """Return the status of a request as it goes over the wire."""
        with self._changed:
            asked = request.submission
            remaining = request.files - request.completed - request.failed
            return {
                "request_id": request.id,
                "did": asked.did or "File List Provided in Request",
                "did_id": request.number,
                "title": asked.title,
                "selection": asked.selection,
                "tree-name": None,
                "image": IMAGE,
                "workers": self._workers,
                "result-destination": asked.result_destination,
                "result-format": asked.result_format,
                "generated-code-cm": f"{request.id}-generated-source",
                "status": request.status,
                "failure-info": request.failure_info,
                "app-version": APP_VERSION,
                "code-gen-image": IMAGE,
                "files": request.files,
                "files-completed": request.completed,
                "files-failed": request.failed,
                "files-remaining": remaining if request.files else None,
                "submit-time": _zulu(request.submitted),
                "finish-time": _zulu(request.finished) if request.finished else "None",
                **self._store,
            }

    def statuses(self) -> list[dict[str, Any]]:
        """Return the status of each request."""
        with self._changed:
            return [self.status(request) for request in self._requests.values()]

    def rows(self, request: Request, later_than: datetime | None) -> list[Row]:
        """Return the visible rows, those later than a time, in no particular order."""
        with self._changed:
            first = 0
            if later_than is not None:
                first = bisect.bisect_right(request.rows, later_than, key=_CREATED_AT)
            rows = request.rows[first:]
            self._chance.shuffle(rows)
            return rows

    def dataset(self, did_id: int) -> dict[str, Any] | None:
        """Return what is known of a dataset, None where there is none."""
        with self._changed:
            request = self._by_did.get(did_id)
            if request is None:
                return None
            asked = request.submission
            if asked.did is not None:
                lookup = "does_not_exist"
            else:
                lookup = "complete" if request.looked_up else "looking"
            return {
                "id": did_id,
                "name": asked.did or f"File List {did_id}",
                "did_finder": "none" if asked.did is None else asked.did.partition("://")[0],
                "n_files": request.files,
                "size": 0,
                "events": 0,
                "last_used": _zulu(request.submitted),
                "last_updated": _zulu(request.submitted),
                "lookup_status": lookup,
                "is_stale": False,
            }

    def result(self, request_id: str, name: str) -> Path | None:
        """Return the result file of an object name, None where there is none."""
        with self._changed:
            request = self._requests.get(request_id)
            return request.results.get(name) if request else None

    # What happens

    def advance(self, request: Request, status: str) -> None:
        """Go on to a status that is not final."""
        with self._changed:
            if not request.over:
                request.status = status

    def found(self, request: Request, files: int) -> None:
        """Add files that the lookup has found."""
        with self._changed:
            request.files += files

    def looked_up(self, request: Request) -> None:
        """End the lookup: ``files`` is final."""
        with self._changed:
            request.looked_up = True
            self.advance(request, "Running")
            self._complete(request)

    def ended(
        self, request: Request, index: int, outcome: Outcome, seconds: float, path: Path
    ) -> bool:
        """Take down how a transformation ended; False where nobody wants to know any more."""
        with self._changed:
            if request.over:
                return False
            request.ended[index] = (outcome, seconds)
            if isinstance(outcome, Done):
                if request.submission.result_destination == "volume":
                    request.objects[index] = str(path)
                request.results[request.objects[index]] = path
            self._changed.notify_all()
            return True

    def draw(self, request: Request, index: int, created_at: datetime) -> Row:
        """Make the row of a file whose transformation is over."""
        with self._changed:
            outcome, seconds = request.ended[index]
            # other requests take numbers too
            self._row_id += self._chance.randint(1, 3)
            request.drawn.add(index)
            return Row(
                id=self._row_id,
                input=request.submission.inputs[index],
                object=request.objects[index],
                outcome=outcome,
                seconds=seconds,
                created_at=created_at,
            )

    def publish(self, request: Request, rows: Iterable[Row]) -> None:
        """Make rows visible, all at once."""
        with self._changed:
            if request.over:
                return
            for row in rows:
                bisect.insort(request.rows, row, key=_CREATED_AT)
                request.uncounted[row.id] = row

    def count(self, request: Request, rows: Iterable[Row] | None = None) -> None:
        """Let the counters catch up with visible rows, None being all of them."""
        with self._changed:
            if request.over:
                return
            for row in list(request.uncounted.values()) if rows is None else rows:
                if request.uncounted.pop(row.id, None) is None:
                    continue
                if isinstance(row.outcome, Failed):
                    request.failed += 1
                else:
                    request.completed += 1
            self._complete(request)

    def release(
        self,
        request: Request,
        indices: Iterable[int],
        created_at: datetime | None,
        counted: bool,
    ) -> None:
        """Make the rows of a manual request's files visible as soon as all are transformed."""
        wanted = list(dict.fromkeys(indices))
        with self._changed:
            for index in wanted:
                if not 0 <= index < len(request.objects):
                    raise InvalidArgumentError(
                        f"request {request.id} has no input file {index}: "
                        f"it has {len(request.objects)}"
                    )
            self._changed.wait_for(
                lambda: (
                    self._closed or request.over or all(index in request.ended for index in wanted)
                )
            )
            if self._closed:
                raise BackendUnreachableError("the embedded ServiceX was stopped")
            if request.over:
                raise InvalidArgumentError(
                    f"nothing can be released: request {request.id} is {request.status}"
                )
            again = request.drawn.intersection(wanted)
            if again:
                raise InvalidArgumentError(
                    f"input file {min(again)} of request {request.id} is released already"
                )
            rows = [self.draw(request, index, created_at or self._clock.now()) for index in wanted]
            self.publish(request, rows)
            if counted:
                self.count(request, rows)

    def cancel(self, request: Request) -> bool:
        """Cancel a request; False where it is over."""
        with self._changed:
            return self._end(request, "Canceled")

    def fail(self, request: Request, status: str, reason: str) -> None:
        """End a request as ``Fatal`` or ``Bad Dataset``."""
        with self._changed:
            if self._end(request, status):
                request.failure_info = reason

    def _complete(self, request: Request) -> None:
        if request.looked_up and request.completed + request.failed == request.files:
            self._end(request, "Complete")

    def _end(self, request: Request, status: str) -> bool:
        if request.over:
            return False
        request.status = status
        request.finished = self._clock.now()
        self._changed.notify_all()
        return True


def _zulu(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
