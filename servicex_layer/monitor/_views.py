"""What progress looks like: in a terminal and in a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from servicex_layer.errors import MissingExtraError

__all__ = ["Line", "View", "notebook", "terminal"]


class Bar(NamedTuple):
    """A bar, and what it tells."""

    total: int
    done: int
    told: str
    color: str


@dataclass(frozen=True, slots=True)
class Line:
    """How far one request is.

    Parameters
    ----------
    name : str
        What it is called.
    status : str
        What the backend says.
    files, finished, failed : int
        Number of files looked up, with a result, and without.
    partitions, read : int
        Number of partitions that are needed, and of those that were read.
    received : int
        Number of bytes that were transferred.
    seconds : float
        For how long it has been looked at.
    trouble : str
        Why nothing new is known, if so.
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
    trouble: str = ""

    def bars(self) -> tuple[Bar, Bar]:
        """Tell of the files, and of the partitions."""
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

    def told_time(self) -> str:
        """Tell the time that is left, or that it took."""
        if self.read and self.read == self.partitions:
            return f"{_time(self.seconds)} in all"
        if not self.read:
            return f"{_time(self.seconds)} so far"
        # Files come about evenly, and partitions are read as they come.
        return f"{_time(self.seconds * (self.partitions - self.read) / self.read)} left"


class View(Protocol):
    """Shows lines, again and again."""

    def start(self) -> None:
        """Begin."""
        ...

    def show(self, lines: Sequence[Line]) -> None:
        """Show them instead of those before."""
        ...

    def stop(self) -> None:
        """End; what was shown last stays."""
        ...


def terminal() -> View:
    """Make what shows progress in a terminal, on the standard error.

    Raises
    ------
    MissingExtraError
        Where ``rich`` is not installed.
    """
    try:
        return _Terminal()
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"Progress in a terminal needs {error.name}, which is not installed: "
            'pip install "servicex_layer[progress]"'
        ) from error


def notebook() -> View:
    """Make what shows progress below a notebook's cell."""
    return _Notebook()


class _Terminal:
    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), auto_refresh=False)

    def start(self) -> None:
        self._live.start()

    def show(self, lines: Sequence[Line]) -> None:
        self._live.update(_shown(lines), refresh=True)

    def stop(self) -> None:
        self._live.stop()


def _shown(lines: Sequence[Line]) -> Any:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    shown: list[Any] = []
    for line in lines:
        shown.append(Text.assemble((line.name, "bold"), f" {line.status}, {line.told_time()}"))
        table = Table.grid(padding=(0, 2, 0, 0))
        for bar in line.bars():
            drawn = ProgressBar(
                bar.total, bar.done, 30, complete_style=bar.color, finished_style=bar.color
            )
            table.add_row(drawn, bar.told)
        shown.append(table)
        if line.trouble:
            shown.append(Text(line.trouble, "red"))
    return Group(*shown)


class _Notebook:
    _handle: Any

    def start(self) -> None:
        from IPython import display

        # IPython has no types.
        self._display: Any = display
        self._handle = self._display.display(self._display.HTML(""), display_id=True)

    def show(self, lines: Sequence[Line]) -> None:
        self._handle.update(self._display.HTML(_page(lines)))

    def stop(self) -> None:
        pass


def _page(lines: Sequence[Line]) -> str:
    return "".join(map(_section, lines))


def _section(line: Line) -> str:
    rows = "".join(
        f'<tr><td style="width: 16em"><progress style="width: 100%; accent-color: {bar.color}" '
        f'max="{bar.total}" value="{bar.done}"></progress></td>'
        f'<td style="text-align: left">{bar.told}</td></tr>'
        for bar in line.bars()
    )
    trouble = f"<p>{html.escape(line.trouble)}</p>" if line.trouble else ""
    head = f"<b>{html.escape(line.name)}</b> {html.escape(line.status)}, {line.told_time()}"
    return f"<div>{head}<table>{rows}</table>{trouble}</div>"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
