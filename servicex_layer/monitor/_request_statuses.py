"""The states of several requests, by name."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping

from servicex_layer.backend import RequestStatus, text_table

__all__ = ["RequestStatuses"]

_HEAD = ("name", "status", "looked up", "finished", "failed")
_NUMBERS = frozenset({2, 3, 4})


class RequestStatuses(Mapping[str, RequestStatus]):
    """The states of requests by name: a read-only mapping whose repr is a table.

    Below the table are the failed inputs, the reason and the URL of the logs of each request that
    has failed files, or failed itself.

    Parameters
    ----------
    by_name : mapping of str to RequestStatus
        The states.
    """

    def __init__(self, by_name: Mapping[str, RequestStatus]) -> None:
        self._by_name = dict(by_name)

    def __getitem__(self, name: str) -> RequestStatus:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __repr__(self) -> str:
        blocks = [text_table([_HEAD, *self._cells()], _NUMBERS)]
        blocks += [f"{name}\n{each.explanation()}" for name, each in self._failures()]
        return "\n\n".join(blocks)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{cell}</th>" for cell in _HEAD)
        rows = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
            for row in self._cells()
        )
        failures = "".join(
            f"<h4>{html.escape(name)}</h4>{each._repr_html_()}" for name, each in self._failures()
        )
        return f"<table><tr>{head}</tr>{rows}</table>{failures}"

    def _cells(self) -> Iterator[tuple[str, ...]]:
        for name, each in self._by_name.items():
            yield name, each.state, f"{each.files}", f"{each.finished}", f"{each.failed}"

    def _failures(self) -> Iterator[tuple[str, RequestStatus]]:
        for name, each in self._by_name.items():
            if each.failed or each.reason:
                yield name, each
