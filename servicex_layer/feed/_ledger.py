"""The numbering of finished files: append-only, each file once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from servicex_layer._model import ResultFile, ResultRow
from servicex_layer.errors import CompletionOrderError

__all__ = ["Ledger"]


class Ledger:
    """The list of the finished files of one request, in the order in which they get a number.

    A number once given out never changes. Rows are known by their ``id`` and name, so that any
    row may be shown any number of times.

    Parameters
    ----------
    request_id : str
        The request, named in errors.
    settled : bool
        Whether other processes number the same files for themselves. If not, whatever is shown
        together is numbered at once, by ``(created_at, id, name)``. If so, a file waits until it is
        older than every row that may still appear, and one that comes too late is an error.

    See Also
    --------
    servicex_layer.completion.CompletionFeed : keeps a ledger up to date.

    Examples
    --------
    >>> from datetime import UTC
    >>> def row(id, second):
    ...     time = datetime(2026, 11, 22, 20, 0, second, tzinfo=UTC)
    ...     return ResultRow(ResultFile(id, time, f"{id}.root", f"{id}.root", 1, 1), success=True)
    >>> ledger = Ledger("a-request")
    >>> ledger.add_rows([row(8, 30), row(7, 30)])
    >>> ledger.add_rows([row(9, 10), row(7, 30)])
    >>> [file.id for file in ledger.files]
    [7, 8, 9]
    """

    files: list[ResultFile]
    failures: list[str]
    rows: int
    """Number of different rows seen, of finished and of failed files."""
    newest: datetime | None
    _seen: dict[tuple[int, str], datetime]
    _names: set[str]
    _places: dict[str, int]
    _pending: list[ResultFile]

    def __init__(self, request_id: str, *, settled: bool = False) -> None:
        self.request_id = request_id
        self.settled = settled
        self.files = []
        self.failures = []
        self.rows = 0
        self.newest = None
        self._seen = {}
        self._names = set()
        self._places = {}
        self._pending = []

    def add_rows(self, rows: Iterable[ResultRow], until: datetime | None = None) -> None:
        """Take rows as they were seen together, and number those that can be.

        Parameters
        ----------
        rows : iterable of ResultRow
            In any order, known ones among them.
        until : datetime.datetime, optional
            Where the ledger is `settled`: the time before which no row can appear any more;
            ``None`` where no row can appear any more at all.

        Raises
        ------
        CompletionOrderError
            Where the ledger is `settled`, and a new file belongs before one that has its number
            already, or a known one has got another time.
        """
        for row in rows:
            which = row.file.id, row.file.name
            if which in self._seen:
                if self.settled and self._seen[which] != row.file.created_at:
                    raise self._uncertain(f"{row.file.name!r} was written again")
                continue
            self._seen[which] = row.file.created_at
            if self.newest is None or row.file.created_at > self.newest:
                self.newest = row.file.created_at
            if not row.success:
                self.failures.append(row.file.input)
            elif row.file.name not in self._names:
                # A file that was transformed twice, as after a lost transformer, has two rows
                # and one object: its events count once.
                self._names.add(row.file.name)
                self._pending.append(row.file)
        self._number(until)

    def batch_names(self, name: str, count: int) -> list[str]:
        """List a name, and those of its neighbours among each `count` files in order."""
        place = self._places.get(name)
        if place is None:
            return [name]
        first = place // count * count
        neighbours = (file.name for file in self.files[first : first + count])
        return [name, *(other for other in neighbours if other != name)]

    def _number(self, until: datetime | None) -> None:
        self._pending.sort(key=lambda file: file.order)
        if self.settled:
            self._refuse_late()
        count = len(self._pending)
        if self.settled and until is not None:
            count = sum(file.created_at < until for file in self._pending)
        for place, file in enumerate(self._pending[:count], start=len(self.files)):
            self._places[file.name] = place
        self.files += self._pending[:count]
        del self._pending[:count]
        # Last: who reads this in another thread finds what they are rows of.
        self.rows = len(self._seen)

    def _refuse_late(self) -> None:
        if not self.files or not self._pending or self._pending[0].order > self.files[-1].order:
            return
        last = self.files[-1]
        late = [file for file in self._pending if file.order < last.order]
        raise self._uncertain(
            f"the rows {[file.id or file.name for file in late]} "
            f"({late[0].created_at.isoformat()}) became visible after row {last.id or last.name} "
            f"({last.created_at.isoformat()}) had got its number"
        )

    def _uncertain(self, why: str) -> CompletionOrderError:
        return CompletionOrderError(
            f"Request {self.request_id}: {why}, so that processes that share no list of finished "
            "files could number them differently. Compute once more, with a longer setting "
            "servicex-layer.settle, or on a cluster with servicex_layer.register(client)."
        )
