"""The feed of one request: its finished files, in order, and waiting for them."""

from __future__ import annotations

import asyncio
import sys
import threading
import warnings
from collections.abc import Callable

from servicex_layer._config import Polling
from servicex_layer._model import Location, NoFile, ResultFile, TransformStatus
from servicex_layer.backend import RestClient
from servicex_layer.errors import (
    FailedFilesWarning,
    RepeatedInputsWarning,
    ServiceXLayerWarning,
    UnknownRequestError,
)
from servicex_layer.feed._ledger import Ledger
from servicex_layer.feed._listing import Listing, open_listing
from servicex_layer.feed._order import DIGEST_SIZE
from servicex_layer.feed._outcome import failed_files_warning, repeated_inputs_warning
from servicex_layer.feed._poller import (
    Call,
    FetchStatus,
    ListRows,
    Pause,
    Phase,
    Poller,
    Publish,
)
from servicex_layer.feed._read_progress import ReadProgress
from servicex_layer.feed._resolve import PENDING, Snapshot, is_pending, resolve
from servicex_layer.feed._url_cache import UrlCache
from servicex_layer.net import SYSTEM_CLOCK, Clock
from servicex_layer.store import open_store

__all__ = ["BATCH", "OnOrder", "RequestFeed", "Warn"]

# How many locations are fetched in one call.
BATCH = 256
# No file has this number, so it resolves when the request ends.
_END = sys.maxsize

Warn = Callable[[str, type[ServiceXLayerWarning]], None]
OnOrder = Callable[[int, bytes], None]


def _warn(text: str, category: type[ServiceXLayerWarning]) -> None:
    warnings.warn(text, category, stacklevel=2)


def _ignore_order(start: int, order: bytes) -> None:
    del start, order


class RequestFeed:
    """The finished files of one request, in order of completion.

    It polls the backend while anything waits for a file, and only then. All coroutines belong to
    one event loop; the methods whose names end in ``_nowait`` may be called from any thread.

    Parameters
    ----------
    rest : RestClient
        The backend.
    request_id : str
        The request.
    polling : Polling
        How often to poll.
    order : bytes
        The order of its files as far as it is known; see `servicex_layer.feed._order`.
    warn : callable, optional
        Called once with a text and a category of warning if a complete request has failed files,
        and once if it has repeated inputs; by default it warns here.
    on_order : callable, optional
        Called with a number and an order when files get numbers from that number on, before any
        of them is handed out; what it raises is raised in place of the files.
    clock : Clock, optional
        What measures time; by default the system's clock.
    """

    request_id: str
    status: TransformStatus | None
    """The status of the last poll; ``None`` before the first one."""
    read_progress: ReadProgress

    def __init__(
        self,
        rest: RestClient,
        request_id: str,
        polling: Polling,
        *,
        order: bytes = b"",
        warn: Warn = _warn,
        on_order: OnOrder = _ignore_order,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.request_id = request_id
        self.status = None
        self.read_progress = ReadProgress(self, clock)
        self._rest = rest
        self._warn = warn
        self._clock = clock
        self._ledger = Ledger()
        self._ledger.extend(order)
        self._on_order = on_order
        self._poller = Poller(request_id, self._ledger, polling, clock)
        self._polling_task: asyncio.Task[None] | None = None
        self._snapshot: Snapshot | None = None
        self._listing: Listing | None = None
        self._urls: UrlCache | None = None
        self._opening = asyncio.Lock()
        # Each kind of warning is given once, by the first thread that takes its lock.
        self._warned_of_failed = threading.Lock()
        self._warned_of_repeated = threading.Lock()
        self._waiting: dict[tuple[int, int, float], set[asyncio.Future[None]]] = {}

    def __repr__(self) -> str:
        return f"RequestFeed<{self.request_id} {len(self._ledger.files)} files>"

    @property
    def order(self) -> bytes:
        """The order of the files that have numbers; see `servicex_layer.feed._order`."""
        return bytes(self._ledger.order)

    def extend_order(self, order: bytes) -> bool:
        """Learn the order of another list; return whether it begins like this one.

        Belongs to the feed's event loop.
        """
        before = len(self._ledger.order)
        agrees = self._ledger.extend(order)
        if len(self._ledger.order) > before:
            self._hand_on_order(before)
            if self._snapshot is not None:
                self._publish()
                self._wake()
        return agrees

    @property
    def polling(self) -> Polling:
        """How often to poll."""
        return self._poller.polling

    @polling.setter
    def polling(self, polling: Polling) -> None:
        self._poller.polling = polling

    @property
    def is_polling(self) -> bool:
        """Whether anything waits, and the request is polled."""
        return self._polling_task is not None

    async def get(
        self, number: int, npartitions: int, max_failed: float = 1.0
    ) -> ResultFile | NoFile:
        """Wait for the file with a number.

        Parameters
        ----------
        number : int
            From 0, in order of completion.
        npartitions : int
            How many files are asked for in all.
        max_failed : float
            The fraction (0 to 1) of the request's files that may fail.

        Returns
        -------
        ResultFile or NoFile
            The file; `NoFile` if the transform ended with fewer files.

        Raises
        ------
        RequestError
            If the file will not come, or there are more files than partitions.
        BackendError
            If the backend can't be reached, or doesn't answer what it should.
        """
        while (file := self.get_nowait(number, npartitions, max_failed)) is None:
            await self._wait(number, npartitions, max_failed)
        return file

    def get_nowait(
        self, number: int, npartitions: int, max_failed: float = 1.0
    ) -> ResultFile | NoFile | None:
        """Return what `get` returns, if it is known; ``None`` if `get` has to wait for it.

        Parameters and errors are those of `get`.
        """
        snapshot = self._snapshot
        if snapshot is None:
            return None
        file = resolve(snapshot, number, npartitions, max_failed)
        if file is PENDING:
            return None
        if snapshot.status.status == "Complete":
            self._warn_once(snapshot)
        return file

    async def end(self) -> None:
        """Wait until nothing more is to be expected, and poll the request meanwhile.

        Raises
        ------
        BackendError
            If the backend can't be reached, or doesn't answer what it should.
        """
        while self._snapshot is None or not self._snapshot.ended:
            await self._wait(_END, _END, 1.0)

    def counts(self) -> tuple[int, int]:
        """Return how many files are known to be finished, and to have failed."""
        snapshot = self._snapshot
        if snapshot is None:
            return 0, 0
        # Rows come before they are counted, and not every poll fetches the status.
        return max(len(snapshot.files), snapshot.status.completed), snapshot.failed

    async def locate(self, name: str, rejected: str | None = None) -> Location:
        """Return where the bytes of a file are.

        Parameters
        ----------
        name : str
            The file's name in the object store.
        rejected : str, optional
            A URL that did not work; it is not returned again.

        Raises
        ------
        MissingObjectError
            If the store has no URL for it.
        BackendError
            If the backend can't be reached, or doesn't answer what it should.
        """
        urls = self._urls
        if urls is None:
            async with self._rest.connected():
                status = self.status or await self._rest.status(self.request_id)
                _, urls = await self._open(status)
        return await urls.locate(self._ledger.batch_names(name, BATCH), rejected)

    def locate_nowait(self, file: ResultFile, rejected: str | None = None) -> Location | None:
        """Return what `locate` returns, if it is known; ``None`` if `locate` has to fetch it."""
        return None if self._urls is None else self._urls.get(file.name, rejected)

    def resolved_batch(
        self, number: int, npartitions: int, max_failed: float
    ) -> list[ResultFile | NoFile]:
        """Return a number's batch of files if the request has ended, else nothing.

        Parameters and errors are those of `get`. If the request did not end as ``Complete``, these
        are the files that were finished.
        """
        snapshot = self._snapshot
        if snapshot is None or not snapshot.status.is_terminal:
            return []
        first = number // BATCH * BATCH
        numbers = range(first, min(first + BATCH, snapshot.numbered))
        files = (
            self.get_nowait(number, npartitions, max_failed)
            for number in numbers
            if snapshot.files[number] is not None
        )
        return [file for file in files if file is not None]

    def _warn_once(self, snapshot: Snapshot) -> None:
        status, failed, repeated = snapshot.status, snapshot.failed, snapshot.repeated
        if failed and self._warned_of_failed.acquire(blocking=False):
            text = failed_files_warning(status, snapshot.failures, failed)
            self._warn(text, FailedFilesWarning)
        if repeated and self._warned_of_repeated.acquire(blocking=False):
            self._warn(repeated_inputs_warning(status, repeated), RepeatedInputsWarning)

    async def _wait(self, number: int, npartitions: int, max_failed: float) -> None:
        """Wait until a number is resolved, or until polling fails."""
        future = asyncio.get_running_loop().create_future()
        question = number, npartitions, max_failed
        self._waiting.setdefault(question, set()).add(future)
        if self._polling_task is None:
            self._polling_task = asyncio.create_task(self._poll(), name=f"poll {self.request_id}")
        try:
            await future
        finally:
            futures = self._waiting[question]
            futures.remove(future)
            if not futures:
                del self._waiting[question]
            if not self._waiting:
                await self._stop_polling()

    async def _stop_polling(self) -> None:
        task, self._polling_task = self._polling_task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _poll(self) -> None:
        try:
            async with self._rest.connected():
                for call in self._poller.calls():
                    await self._make(call)
        except Exception as error:  # noqa: BLE001  (all that wait raise it, whatever it is)
            self._polling_task = None
            self._wake(error)

    async def _make(self, call: Call) -> None:
        match call:
            case Pause(seconds):
                await self._clock.sleep(seconds)
            case FetchStatus():
                status = await self._fetch_status()
                listing, _ = await self._open(status)
                self._poller.receive_status(status, listing)
            case ListRows(since):
                assert self._urls is not None  # noqa: S101  (opened with the first status)
                rows = await self._urls.store.list_finished(since)
                before = len(self._ledger.order)
                self._ledger.add_rows(rows)
                self._hand_on_order(before)
            case Publish():
                self._publish()
                self._wake()

    async def _fetch_status(self) -> TransformStatus:
        try:
            return await self._rest.status(self.request_id)
        except UnknownRequestError:
            if self.status is None:
                raise
            raise UnknownRequestError(
                f"Request {self.request_id} was deleted from the ServiceX backend "
                f"{self._rest.backend.name} during the wait for its files; its last status was "
                f"{self.status}. Submit it again."
            ) from None

    async def _open(self, status: TransformStatus) -> tuple[Listing, UrlCache]:
        async with self._opening:
            if self._urls is None or self._listing is None:
                store = await open_store(self._rest, status, self.polling.retry_timeout)
                self._listing = open_listing(store)
                self._urls = UrlCache(store, f"Request {self.request_id}")
            return self._listing, self._urls

    def _hand_on_order(self, before: int) -> None:
        """Hand on what the order has grown by since it had a length in bytes."""
        order = self._ledger.order
        if len(order) > before:
            self._on_order(before // DIGEST_SIZE, bytes(order[before:]))

    def _publish(self) -> None:
        ledger, status, listing = self._ledger, self._poller.status, self._poller.listing
        assert status is not None  # noqa: S101  (a poll that is over has both)
        assert listing is not None  # noqa: S101
        self._snapshot = Snapshot(
            status=status,
            backend=self._rest.backend.name,
            files=tuple(ledger.files),
            failures=tuple(ledger.failures),
            repeated=tuple(ledger.repeated),
            withdrawn=tuple(ledger.withdrawn),
            rows=ledger.rows,
            succeeded=ledger.succeeded,
            expected_rows=listing.expected_rows(status),
            counted_only=listing.counted_only,
            ended=self._poller.phase is Phase.ENDED,
        )
        self.status = status

    def _wake(self, error: Exception | None = None) -> None:
        snapshot = self._snapshot
        for question, futures in self._waiting.items():
            if error is None and (snapshot is None or is_pending(snapshot, *question)):
                continue
            for future in futures:
                if future.done():
                    continue
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)
