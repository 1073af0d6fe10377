"""What progress looks like: in a terminal and in a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from servicex_layer.errors import MissingExtraError

__all__ = ["Line", "View", "notebook", "terminal"]


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

    def told_files(self) -> str:
        """Tell of the files."""
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.finished}/{self.files} files finished{failed}"

    def told_partitions(self) -> str:
        """Tell of the partitions."""
        rate = self.received / self.seconds if self.seconds else 0.0
        return (
            f"{self.read}/{self.partitions} partitions read, "
            f"{_size(self.received)}, {_size(rate)}/s"
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
        self._live.update(_table(lines), refresh=True)

    def stop(self) -> None:
        self._live.stop()


def _table(lines: Sequence[Line]) -> Any:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    for line in lines:
        table.add_row(Text(line.name, style="bold"), line.status, line.told_time())
        bars = (
            (line.files, line.finished + line.failed, line.told_files(), "yellow"),
            (line.partitions, line.read, line.told_partitions(), "blue"),
        )
        for total, completed, told, style in bars:
            bar = ProgressBar(
                max(total, 1), completed, width=36, complete_style=style, finished_style=style
            )
            table.add_row(bar, told)
        if line.trouble:
            table.add_row(Text("not known", style="red"), Text(line.trouble))
    return table


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
    bars = (
        (line.files, line.finished + line.failed, line.told_files(), "#d55e00"),
        (line.partitions, line.read, line.told_partitions(), "#0072b2"),
    )
    rows = "".join(
        f'<tr><td style="width: 16em"><progress style="width: 100%; accent-color: {color}" '
        f'max="{max(total, 1)}" value="{completed}"></progress></td>'
        f'<td style="text-align: left">{told}</td></tr>'
        for total, completed, told, color in bars
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
