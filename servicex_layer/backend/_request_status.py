"""The state of a request as its users see it: data, text and HTML."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from servicex_layer._model import Backend, TransformStatus

__all__ = ["RequestStatus"]

# The most inputs and characters of a reason to show. The attributes have all.
_MOST_INPUTS = 10
_LONGEST_REASON = 1000


@dataclass(frozen=True, slots=True, repr=False)
class RequestStatus:
    """The state of a request at one time.

    Its repr is a text of a few lines, in a notebook a table. Both show at most ten failed inputs.

    Attributes
    ----------
    request_id : str
        The request.
    backend, url : str
        Name and URL of its backend.
    state : str
        ``Submitted``, ``Pending Lookup``, ``Lookup``, ``Running``, ``Complete``, ``Fatal``,
        ``Canceled`` or ``Bad Dataset``.
    files, finished, failed : int
        Number of input files: looked up so far, finished with a result, and failed.
    file_count_final : bool
        Whether the lookup has ended, so that `files` grows no more.
    is_terminal : bool
        Whether the request has ended.
    result_format : str
        ``root-file``, ``root-rntuple`` or ``parquet``.
    failed_inputs : tuple of str
        Paths or URLs of the failed inputs, in the order of failure; empty if the backend does not
        name them.
    reason : str
        Why files or the request failed, as far as the backend says; else empty.
    log_url : str or None
        URL of the transformers' logs; ``None`` if the backend has none.
    """

    request_id: str
    backend: str
    url: str
    state: str
    files: int
    finished: int
    failed: int
    file_count_final: bool
    is_terminal: bool
    result_format: str
    failed_inputs: tuple[str, ...] = ()
    reason: str = ""
    log_url: str | None = None

    @classmethod
    def of(
        cls, backend: Backend, status: TransformStatus, failed_inputs: Sequence[str] = ()
    ) -> Self:
        """Return the state of a request from what its backend sent."""
        lookup = f"The lookup of its dataset ended with {status.lookup}." if status.lookup else ""
        return cls(
            status.request_id,
            backend.name,
            backend.url,
            status.status,
            status.files,
            status.completed,
            status.failed,
            status.file_count_final,
            status.is_terminal,
            status.result_format,
            tuple(failed_inputs),
            # The text can have several lines: of an exception, for example.
            " ".join(f"{status.failure_info} {lookup}".split()),
            status.log_url,
        )

    def __repr__(self) -> str:
        return "\n".join(f"{label:<8} {value}" for label, value in self._rows())

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th style="text-align: left">{label}</th>'
            f'<td style="text-align: left">{_linked(value)}</td></tr>'
            for label, value in self._rows()
        )
        return f"<table>{rows}</table>"

    def explanation(self) -> str:
        """Return the failed inputs, the reason and the URL of the logs as lines of text."""
        return "\n".join(f"{label:<8} {value}" for label, value in self._explanation())

    def _rows(self) -> Iterator[tuple[str, str]]:
        so_far = "" if self.file_count_final else " so far"
        yield "Request", self.request_id
        yield "Backend", f"{self.backend}, {self.url}"
        yield "Status", self.state
        yield (
            "Files",
            f"{self.files} looked up{so_far}, {self.finished} finished, {self.failed} failed",
        )
        yield "Format", self.result_format
        yield from self._explanation()

    def _explanation(self) -> Iterator[tuple[str, str]]:
        for number, path in enumerate(self.failed_inputs[:_MOST_INPUTS]):
            yield "" if number else "Failed", path
        if len(self.failed_inputs) > _MOST_INPUTS:
            yield "", f"and {len(self.failed_inputs) - _MOST_INPUTS} more"
        if self.reason:
            yield "Reason", textwrap.shorten(self.reason, _LONGEST_REASON, placeholder=" …")
        if self.log_url:
            yield "Logs", self.log_url


def _linked(value: str) -> str:
    text = html.escape(value)
    # Other schemes, such as javascript:, must not become a link.
    is_link = value.startswith(("http://", "https://"))
    return f'<a href="{text}">{text}</a>' if is_link else text
