"""A backend of 2024 and its S3 store in one server, for what a real store rarely does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import httpx

__all__ = ["ScriptedBucket"]

Answer = tuple[int, bytes, Mapping[str, str]]


class ScriptedBucket:
    """A bucket that fills a little with each call.

    Parameters
    ----------
    names
        Names of the objects, in the order in which they appear.
    at_a_time
        How many objects appear with each call.
    lead
        How many objects the status counts before they appear.
    lost
        Names of objects that never appear.
    """

    request_id = "a-request"

    def __init__(
        self, names: Iterable[str], *, at_a_time: int, lead: int = 0, lost: Iterable[str] = ()
    ) -> None:
        self.names = list(names)
        self.at_a_time = at_a_time
        self.lead = lead
        self.lost = frozenset(lost)
        self.visible = 0
        self.calls: Counter[str] = Counter()
        self.access_key = "first-key"
        self.status_changes: dict[str, Any] = {}
        """Keys of the status with other values."""
        self.modified = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        self.modified_of: dict[str, str] = {}
        """Times of objects that differ from `modified`."""

    def serve(self, serve: Callable[[Any], str]) -> str:
        """Start a server, and return its URL."""
        url = serve(self.answer)
        self.status_changes.setdefault("minio-endpoint", urlsplit(url).netloc)
        return url

    def answer(self, _method: str, target: str) -> Answer:
        parts = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(parts.query, True).items()}
        self.visible = min(self.visible + self.at_a_time, len(self.names))
        if parts.path == "/servicex":
            return self.json({"app-version": "1.5"})
        if parts.path.startswith("/servicex/transformation/"):
            self.calls["status"] += 1
            return self.json(self.status())
        if "location" in query:
            return self.xml("<LocationConstraint/>")
        assert parts.path == f"/{self.request_id}"
        self.calls["page"] += 1
        return self.page(query.get("continuation-token", ""))

    def status(self) -> dict[str, Any]:
        completed = min(self.visible + self.lead, len(self.names))
        return {
            "request_id": self.request_id,
            "status": "Complete" if completed == len(self.names) else "Running",
            "files": len(self.names),
            "files-completed": completed,
            "files-failed": 0,
            "minio-secured": False,
            "minio-access-key": self.access_key,
            "minio-secret-key": "not-to-be-shown",
            **self.status_changes,
        }

    def page(self, after: str) -> Answer:
        """Answer with at most 1000 objects whose names come after one."""
        present = sorted(set(self.names[: self.visible]) - self.lost)
        names = [name for name in present if name > after][:1000]
        is_truncated = bool(names) and names[-1] != present[-1]
        contents = "".join(
            f"<Contents><Key>{escape(name)}</Key><Size>7</Size>"
            f"<LastModified>{self.modified_of.get(name, self.modified)}</LastModified></Contents>"
            for name in names
        )
        token = f"<NextContinuationToken>{names[-1]}</NextContinuationToken>"
        return self.xml(
            f"<ListBucketResult><Name>{self.request_id}</Name>"
            f"<IsTruncated>{str(is_truncated).lower()}</IsTruncated>"
            f"{token if is_truncated else ''}{contents}</ListBucketResult>"
        )

    def json(self, content: Any) -> Answer:
        return 200, httpx.Response(200, json=content).content, {"Content-Type": "application/json"}

    def xml(self, content: str, status: int = 200) -> Answer:
        return status, content.encode(), {"Content-Type": "application/xml"}
