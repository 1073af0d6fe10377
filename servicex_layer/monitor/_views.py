"""The views of progress: a terminal and a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from servicex_layer.errors import MissingExtraError

__all__ = ["Line", "View", "notebook_view", "terminal_view"]


class Bar(NamedTuple):
    """A progress bar and the text beside it."""

    total: int
    done: int
    text: str
    color: str


@dataclass(frozen=True, slots=True)
class Line:
    """The state of one request to show.

    Parameters
    ----------
    name : str
        The name to show.
    status : str
        The status of the request.
    files, finished, failed : int
        Number of input files looked up, with a result, and without.
    partitions, read : int
        Number of partitions needed, and read so far.
    received : int
        Number of bytes transferred.
    seconds : float
        Seconds since the start, or until the last partition was read.
    problem : str
        Why the state is not up to date; empty if it is.
    """

    name: str
    status: str
    files: int = 0
    finished: int = 0
    failed: int = 0
    partitions: int = 0
    read: int = 0
    received: int = 0
    seconds: float = 0.0
    problem: str = ""

    def bars(self) -> tuple[Bar, Bar]:
        """Return the bar of files and the bar of partitions."""
        failed = f", {self.failed} failed" if self.failed else ""
        files = f"{self.finished}/{self.files} files finished{failed}"
        rate = self.received / self.seconds if self.seconds else 0.0
        partitions = (
            f"{self.read}/{self.partitions} partitions read, "
            f"{_size(self.received)}, {_size(rate)}/s"
        )
        return (
            Bar(max(self.files, 1), self.finished + self.failed, files, "#d55e00"),
            Bar(max(self.partitions, 1), self.read, partitions, "#0072b2"),
        )

    def duration(self) -> str:
        """Return the time left, or the total time if all partitions are read."""
        if self.read and self.read == self.partitions:
            return f"{_minutes(self.seconds)} in all"
        if not self.read:
            return f"{_minutes(self.seconds)} so far"
        # Files finish at a roughly even rate, and partitions are read as they finish.
        return f"{_minutes(self.seconds * (self.partitions - self.read) / self.read)} left"


class View(Protocol):
    """Shows lines and replaces them."""

    def start(self) -> None:
        """Show an empty view."""
        ...

    def show(self, lines: Sequence[Line]) -> None:
        """Replace the lines shown."""
        ...

    def stop(self) -> None:
        """Stop, and leave the last lines in place."""
        ...


def terminal_view() -> View:
    """Return a view on the standard error of a terminal.

    Raises
    ------
    MissingExtraError
        If ``rich`` is not installed.
    """
    try:
        return _Terminal()
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"Progress in a terminal needs {error.name}, which is not installed: "
            'pip install "servicex_layer[progress]"'
        ) from error


def notebook_view() -> View:
    """Return a view below the current cell of a notebook."""
    return _Notebook()


class _Terminal:
    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), auto_refresh=False)

    def start(self) -> None:
        self._live.start()

    def show(self, lines: Sequence[Line]) -> None:
        self._live.update(_rendered(lines), refresh=True)

    def stop(self) -> None:
        self._live.stop()


def _rendered(lines: Sequence[Line]) -> Any:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    rows: list[Any] = []
    for line in lines:
        rows.append(Text.assemble((line.name, "bold"), f" {line.status}, {line.duration()}"))
        table = Table.grid(padding=(0, 2, 0, 0))
        for bar in line.bars():
            widget = ProgressBar(
                bar.total, bar.done, 30, complete_style=bar.color, finished_style=bar.color
            )
            table.add_row(widget, bar.text)
        rows.append(table)
        if line.problem:
            rows.append(Text(line.problem, "red"))
    return Group(*rows)


class _Notebook:
    _handle: Any

    def start(self) -> None:
        from IPython import display

        self._display: Any = display
        self._handle = self._display.display(self._display.HTML(""), display_id=True)

    def show(self, lines: Sequence[Line]) -> None:
        self._handle.update(self._display.HTML(_html(lines)))

    def stop(self) -> None:
        pass


def _html(lines: Sequence[Line]) -> str:
    return "".join(map(_html_section, lines))


def _html_section(line: Line) -> str:
    rows = "".join(
        f'<tr><td style="width: 16em"><progress style="width: 100%; accent-color: {bar.color}" '
        f'max="{bar.total}" value="{bar.done}"></progress></td>'
        f'<td style="text-align: left">{bar.text}</td></tr>'
        for bar in line.bars()
    )
    problem = f"<p>{html.escape(line.problem)}</p>" if line.problem else ""
    head = f"<b>{html.escape(line.name)}</b> {html.escape(line.status)}, {line.duration()}"
    return f"<div>{head}<table>{rows}</table>{problem}</div>"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
