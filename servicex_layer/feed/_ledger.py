"""The numbering of finished files: append-only, each file once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from servicex_layer._model import ResultFile, ResultRow
from servicex_layer.feed._order import DIGEST_SIZE, contradicts, digest, digests_of

__all__ = ["Ledger"]


class Ledger:
    """The finished files of one request, in the order in which they get a number.

    A number never changes hands. Rows are known by their ``id`` (by the object's name if the store
    lists no ids), so a row may be added any number of times, and a row that the server has updated
    replaces itself. Files are known by their object's name: two rows of one object are one file.

    Rows that are added together are numbered by ``(created_at, id, name)``. If other lists of the
    session have numbered files before, `extend` seeds the ledger with their order: a seeded number
    waits for its file, and files beyond the seed wait until all seeded files have appeared.

    Examples
    --------
    >>> from datetime import UTC
    >>> def row(id, second):
    ...     time = datetime(2026, 11, 22, 20, 0, second, tzinfo=UTC)
    ...     return ResultRow(ResultFile(id, time, f"{id}.root", f"{id}.root", 1, 1), success=True)
    >>> ledger = Ledger()
    >>> ledger.add_rows([row(8, 30), row(7, 30)])
    >>> ledger.add_rows([row(9, 10), row(7, 30)])
    >>> [file.id for file in ledger.files if file is not None]
    [7, 8, 9]
    """

    newest: datetime | None
    """The latest ``created_at`` of all rows."""
    succeeded: int
    """Number of rows that say ``success``; more than the files if rows share an object."""
    order: bytearray
    """The digests of the numbered and of the seeded files; see `servicex_layer.feed._order`."""
    withdrawn: set[str]
    """Numbered files whose row is no success any more, or names another object."""
    _rows: dict[int | str, ResultRow]
    _repeated: dict[int | str, str]
    _failures: dict[int | str, str]
    _files: list[ResultFile | None]
    _seeded: dict[bytes, int]
    _unnumbered: dict[str, ResultFile]
    _places: dict[str, int]

    def __init__(self) -> None:
        self.newest = None
        self.succeeded = 0
        self.order = bytearray()
        self.withdrawn = set()
        self._rows = {}
        self._repeated = {}
        self._failures = {}
        self._files = []
        # The numbers of seeded files that have not appeared yet.
        self._seeded = {}
        # Files beyond the seed, until all seeded ones have appeared.
        self._unnumbered = {}
        self._places = {}

    @property
    def files(self) -> Sequence[ResultFile | None]:
        """The numbered files: a file's index is its number; ``None`` for a seeded number."""
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

    def extend(self, order: bytes | bytearray) -> bool:
        """Seed the ledger with an order that begins like its own.

        Returns
        -------
        bool
            Whether it does; if not, nothing is changed.
        """
        if contradicts(self.order, order):
            return False
        first = len(self.order) // DIGEST_SIZE
        seeded = digests_of(order, first)
        for number, key in enumerate(seeded, start=first):
            self._seeded[key] = number
        self._files += [None] * len(seeded)
        self.order += order[len(self.order) :]
        self._number()
        return True

    def add_rows(self, rows: Iterable[ResultRow]) -> None:
        """Add rows that were listed together, and number the new files among them.

        Parameters
        ----------
        rows : iterable of ResultRow
            In any order; known rows may be among them.
        """
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
                self._add_file(key, row.file)
            else:
                self._failures[key] = row.file.input
        self._number()

    def batch_names(self, name: str, count: int) -> list[str]:
        """Return a name and its neighbours: the files come in batches of `count`, in order."""
        place = self._places.get(name)
        if place is None:
            return [name]
        first = place // count * count
        files = self._files[first : first + count]
        return [name, *(file.name for file in files if file is not None and file.name != name)]

    def _forget(self, key: int | str, previous: ResultRow) -> None:
        self.succeeded -= previous.success
        self._failures.pop(key, None)
        self._repeated.pop(key, None)
        if not previous.success:
            return
        name = previous.file.name
        current = self._current(name)
        if current is not None and current.id == previous.file.id:
            if name in self._unnumbered:
                del self._unnumbered[name]
            else:
                self.withdrawn.add(name)

    def _current(self, name: str) -> ResultFile | None:
        place = self._places.get(name)
        return self._unnumbered.get(name) if place is None else self._files[place]

    def _add_file(self, key: int | str, file: ResultFile) -> None:
        self.withdrawn.discard(file.name)
        current = self._current(file.name)
        place = self._places.get(file.name)
        if current is None:
            self._unnumbered[file.name] = file
        elif current.id != file.id:
            if current.input == file.input:
                self._repeated[key] = file.input
        elif place is not None:
            self._files[place] = file
        else:
            self._unnumbered[file.name] = file

    def _number(self) -> None:
        if self._seeded:
            for file in list(self._unnumbered.values()):
                place = self._seeded.pop(digest(file.name), None)
                if place is not None:
                    self._files[place] = self._unnumbered.pop(file.name)
                    self._places[file.name] = place
        if self._seeded:
            return
        for file in sorted(self._unnumbered.values(), key=_order):
            self._places[file.name] = len(self._files)
            self._files.append(file)
            self.order += digest(file.name)
        self._unnumbered.clear()


def _order(file: ResultFile) -> tuple[datetime, int, str]:
    return file.order
