"""The server's clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass
class Clock:
    """A clock that is ``offset`` seconds ahead of this machine's."""

    offset: float = 0.0

    def seconds(self) -> float:
        """Return the time as Unix seconds."""
        return time.time() + self.offset

    def now(self) -> datetime:
        """Return the time in UTC without a zone, as ServiceX writes its times."""
        return datetime.fromtimestamp(self.seconds(), UTC).replace(tzinfo=None)
