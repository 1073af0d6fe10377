"""What goes to a transforming process, and what comes back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Job:
    """Transform one file."""

    input: str
    selection: str
    output: str
    result_format: str

    def to_json(self) -> str:
        """Write the job as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Done:
    """The file was transformed."""

    events: int
    bytes: int


@dataclass(frozen=True)
class Failed:
    """The file could not be transformed."""

    reason: str


Outcome = Done | Failed
