"""The numbering of finished files: append-only, each file once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from servicex_layer._model import ResultFile, ResultRow

__all__ = ["Ledger"]


class Ledger:
    """The finished files of one request, in the order in which they get a number.

    A number never changes hands. Rows are known by their ``id`` (by the object's name if the store
    lists no ids), so a row may be added any number of times, and a row that the server has updated
    replaces itself. Files are known by their object's name: two rows of one object are one file.

    Rows that are added together are numbered by ``(created_at, id, name)``.

    Examples
    --------
    >>> from datetime import UTC
    >>> def row(id, second):
    ...     time = datetime(2026, 11, 22, 20, 0, second, tzinfo=UTC)
    ...     return ResultRow(ResultFile(id, time, f"{id}.root", f"{id}.root", 1, 1), success=True)
    >>> ledger = Ledger()
    >>> ledger.add_rows([row(8, 30), row(7, 30)])
    >>> ledger.add_rows([row(9, 10), row(7, 30)])
    >>> [file.id for file in ledger.files]
    [7, 8, 9]
    """

    newest: datetime | None
    """The latest ``created_at`` of all rows."""
    succeeded: int
    """Number of rows that say ``success``; more than the files if rows share an object."""
    withdrawn: set[str]
    """Numbered files whose row is no success any more, or names another object."""
    _rows: dict[int | str, ResultRow]
    _repeated: dict[int | str, str]
    _failures: dict[int | str, str]
    _files: list[ResultFile]
    _places: dict[str, int]

    def __init__(self) -> None:
        self.newest = None
        self.succeeded = 0
        self.withdrawn = set()
        self._rows = {}
        self._repeated = {}
        self._failures = {}
        self._files = []
        self._places = {}

    @property
    def files(self) -> Sequence[ResultFile]:
        """The numbered files: a file's index is its number."""
        return self._files

    @property
    def failures(self) -> Sequence[str]:
        """The inputs of the rows that say ``failure``."""
        return list(self._failures.values())

    @property
    def repeated(self) -> Sequence[str]:
        """The inputs of the rows that share both object and input with another row."""
        return list(self._repeated.values())

    @property
    def rows(self) -> int:
        """The number of different rows, of finished and of failed files."""
        return len(self._rows)

    def add_rows(self, rows: Iterable[ResultRow]) -> None:
        """Add rows that were listed together, and number the new files among them.

        Parameters
        ----------
        rows : iterable of ResultRow
            In any order; known rows may be among them.
        """
        new: dict[str, ResultFile] = {}
        for key, row in {row.file.id or row.file.name: row for row in rows}.items():
            previous = self._rows.get(key)
            if row == previous:
                continue
            if previous is not None:
                self._forget(key, previous)
            self._rows[key] = row
            self.succeeded += row.success
            if self.newest is None or row.file.created_at > self.newest:
                self.newest = row.file.created_at
            if row.success:
                self._add_file(key, row.file, new)
            else:
                self._failures[key] = row.file.input
        self._number(new.values())

    def batch_names(self, name: str, count: int) -> list[str]:
        """Return a name and its neighbours: the files come in batches of `count`, in order."""
        place = self._places.get(name)
        if place is None:
            return [name]
        first = place // count * count
        neighbours = (file.name for file in self._files[first : first + count])
        return [name, *(other for other in neighbours if other != name)]

    def _forget(self, key: int | str, previous: ResultRow) -> None:
        self.succeeded -= previous.success
        self._failures.pop(key, None)
        self._repeated.pop(key, None)
        place = self._places.get(previous.file.name)
        if previous.success and place is not None and self._files[place].id == previous.file.id:
            self.withdrawn.add(previous.file.name)

    def _add_file(self, key: int | str, file: ResultFile, new: dict[str, ResultFile]) -> None:
        self.withdrawn.discard(file.name)
        place = self._places.get(file.name)
        other = new.get(file.name) if place is None else self._files[place]
        if other is None:
            new[file.name] = file
        elif other.id != file.id:
            if other.input == file.input:
                self._repeated[key] = file.input
        elif place is not None:
            self._files[place] = file

    def _number(self, files: Iterable[ResultFile]) -> None:
        for file in sorted(files, key=_order):
            self._places[file.name] = len(self._files)
            self._files.append(file)


def _order(file: ResultFile) -> tuple[datetime, int, str]:
    return file.order
