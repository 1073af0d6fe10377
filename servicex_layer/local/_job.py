"""The messages between the server and a worker process: jobs and their outcomes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Job:
    """The transformation of one file."""

    input: str
    selection: str
    output: str
    result_format: str

    def to_json(self) -> str:
        """Return the job as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Parse the output of `to_json`."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Done:
    """A transformation that succeeded."""

    events: int
    bytes: int


@dataclass(frozen=True)
class Failed:
    """A transformation that failed, or whose result of so many bytes could not be uploaded."""

    reason: str
    bytes: int = 0


Outcome = Done | Failed
