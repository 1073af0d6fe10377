"""A request as the server stores it: what was submitted, its state, its rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from servicex_layer.local._job import Done, Outcome


@dataclass(frozen=True)
class Submission:
    """The content of an accepted submission."""

    inputs: tuple[str, ...]
    selection: str
    result_format: str
    result_destination: str
    title: str | None
    did: str | None
    """None if the submission lists its input files."""
    manual: bool


@dataclass(frozen=True)
class ResultRow:
    """A row of ``results``."""

    id: int
    index: int
    """The index of the input file in the submission."""
    input: str
    object: str
    """``none`` if the row names no object."""
    outcome: Outcome
    seconds: float
    created_at: datetime

    def to_json(self, request_id: str) -> dict[str, Any]:
        """Return the row as ServiceX sends it."""
        events = self.outcome.events if isinstance(self.outcome, Done) else 0
        return {
            "id": self.id,
            "request-id": request_id,
            "file-id": self.id,  # wrong, as in released servers
            "file-path": self.input,
            "s3-object-name": self.object,
            "transform_status": "success" if isinstance(self.outcome, Done) else "failure",
            "transform_time": round(self.seconds, 3),
            "total-events": events,
            "total-bytes": self.outcome.bytes,
            "avg-rate": round(events / self.seconds, 3) if self.seconds else 0.0,
            "created_at": self.created_at.isoformat(),
        }


@dataclass
class TransformRequest:
    """A request. Everything below ``submitted`` changes, only under the database's lock."""

    id: str
    number: int
    submission: Submission
    objects: list[str]
    submitted: datetime
    status: str = "Submitted"
    finished: datetime | None = None
    failure_info: str = ""
    files: int = 0
    dataset_files: int = 0
    """The number of files in the dataset, more than ``files`` if the lookup ended early."""
    completed: int = 0
    lookup_done: bool = False
    transformed: dict[int, tuple[Outcome, float]] = field(default_factory=dict)
    """Outcome and seconds of each finished transformation, by the index of its input."""
    paths: set[Path] = field(default_factory=set)
    """All result files."""
    results: dict[str, Path] = field(default_factory=dict)
    """The result files by object name; of several with one name, the newest."""
    reported: set[int] = field(default_factory=set)
    """The indices of the inputs that have a row."""
    rows: list[ResultRow] = field(default_factory=list)
    """The visible rows, ordered by ``created_at``."""
    uncounted: dict[int, ResultRow] = field(default_factory=dict)
    """The visible rows, by ``id``, that the counters don't include yet."""
    failures: dict[int, ResultRow] = field(default_factory=dict)
    """The failed rows, by ``id``, that the counters include."""

    @property
    def is_terminal(self) -> bool:
        """Whether the request has ended; a canceled one can still become ``Complete``."""
        return self.finished is not None

    @property
    def accepts_rows(self) -> bool:
        """Whether files that finish now are reported: also those in flight at a cancellation."""
        return self.finished is None or self.status == "Canceled"
