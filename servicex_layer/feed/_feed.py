"""The feed of one request: its finished files, in order, and waiting for them."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from servicex_layer._config import Polling
from servicex_layer._model import Location, NoFile, ResultFile, TransformStatus
from servicex_layer.backend import RestClient
from servicex_layer.errors import (
    BadDatasetError,
    FailedFilesError,
    FailedFilesWarning,
    PartitionCountError,
    ProtocolError,
    RequestError,
    TransformCanceledError,
    TransformFatalError,
    UnknownRequestError,
    WaitTimeoutError,
)
from servicex_layer.feed._ledger import Ledger
from servicex_layer.feed._read_progress import ReadProgress
from servicex_layer.feed._url_cache import UrlCache
from servicex_layer.store import Store, open_store

__all__ = ["BATCH", "CompletionFeed", "error_for_status"]

# Looks grow rarer: the pause is this fraction of the time since the first one, and in a transform
# in which nothing happens this fraction of the time since something last happened.
_EASE = 0.02
_PATIENCE = 0.1
# While files come, this is the number of looks for one that asks for the status.
_FLOWING = 6
# From here on, a look reaches back to the beginning.
_LONGEST_OVERLAP = 3600.0
# How many failed files an error names.
_NAMED = 3
# No file has this number, so that it is decided only with the end.
_END = sys.maxsize
# How many locations are asked for in one call.
BATCH = 256


def _warn(text: str) -> None:
    warnings.warn(text, FailedFilesWarning, stacklevel=2)


class CompletionFeed:
    """The finished files of one request, in order of completion.

    It polls the backend while somebody waits, and only then. To be used from one event loop.

    Parameters
    ----------
    rest : RestClient
        The backend.
    request_id : str
        The request.
    polling : Polling
        How it is polled.
    settled : bool
        Whether other processes number the same files for themselves; see `Ledger`.
    warn : callable, optional
        Called once with a text where the request ended with failed files; by default it becomes
        a `FailedFilesWarning` here.
    """

    request_id: str
    polling: Polling
    status: TransformStatus | None
    read_progress: ReadProgress
    _rest: RestClient
    _urls: UrlCache | None
    _opening: asyncio.Lock
    _ledger: Ledger
    _warn: Callable[[str], None]
    _warning: threading.Lock
    _waiting: dict[tuple[int, int, float], set[asyncio.Future[None]]]
    _poller: asyncio.Task[None] | None
    _overlap: float
    _flowing: int
    _listed: int
    _began: float
    _looked: float | None
    _changed: float
    _settled_until: datetime

    def __init__(
        self,
        rest: RestClient,
        request_id: str,
        polling: Polling,
        *,
        settled: bool = False,
        warn: Callable[[str], None] = _warn,
    ) -> None:
        self.request_id = request_id
        self.polling = polling
        self.status = None
        self.read_progress = ReadProgress(self)
        self._rest = rest
        self._urls = None
        self._opening = asyncio.Lock()
        self._ledger = Ledger(request_id, settled=settled)
        self._warn = warn
        self._warning = threading.Lock()
        self._waiting = {}
        self._poller = None
        self._overlap = 0.0
        self._flowing = 0
        self._listed = 0
        self._began = 0.0
        self._looked = None
        self._changed = time.monotonic()
        self._settled_until = datetime.min.replace(tzinfo=UTC)

    def __repr__(self) -> str:
        return f"CompletionFeed<{self.request_id} {len(self._ledger.files)} files>"

    async def get(
        self, number: int, npartitions: int, max_failed: float = 1.0
    ) -> ResultFile | NoFile:
        """Wait for the file with this number.

        Parameters
        ----------
        number : int
            From 0, in order of completion.
        npartitions : int
            How many files will be asked for in all.
        max_failed : float
            The fraction of the request's files that may fail.

        Returns
        -------
        ResultFile or NoFile
            The file, or what there is of it where the transform ended with fewer files.

        Raises
        ------
        RequestError
            Where the file will not come, or there are more files than partitions.
        BackendError
            Where the backend cannot be asked.
        """
        while (file := self.get_nowait(number, npartitions, max_failed)) is None:
            await self._progress(number, npartitions, max_failed)
        return file

    def get_nowait(
        self, number: int, npartitions: int, max_failed: float = 1.0
    ) -> ResultFile | NoFile | None:
        """Tell what `get` would give at once; ``None`` where that has to be waited for.

        To be used from any thread. Parameters and errors are those of `get`.
        """
        if not self._is_decided(number, npartitions, max_failed):
            return None
        status = self.status
        # Decided only by a look, which sets them.
        assert status is not None  # noqa: S101
        assert self._urls is not None  # noqa: S101
        store = self._urls.store
        if status.files > npartitions or len(self._ledger.files) > npartitions:
            raise PartitionCountError(
                f"Request {self.request_id} has {max(status.files, len(self._ledger.files))} files "
                f"but the array has {npartitions} partitions: some would be lost. Make the array "
                "once the lookup is over, with the number of files as number of partitions."
            )
        if self._has_too_many_failed(status, max_failed):
            raise self._too_many_failed(status, max_failed)
        self._warn_of_failed(status)
        if number < self._numbered(status, store):
            file = self._ledger.files[number]
            on_volume = status.destination == "volume"
            return replace(file, format=status.result_format, volume=on_volume, number=number)
        if status.status != "Complete":
            raise error_for_status(status)
        self._check_whole(status, store)
        failures = self._ledger.failures
        place = number - len(self._ledger.files)
        return NoFile(number, failures[place] if place < len(failures) else None)

    async def end(self) -> None:
        """Wait until nothing more is to be expected, and have the request polled meanwhile.

        Raises
        ------
        BackendError
            Where the backend cannot be asked.
        """
        while not self._is_decided(_END, _END, 1.0):
            await self._progress(_END, _END, 1.0)

    def seen(self) -> tuple[int, int]:
        """Tell how many files are known to be finished, and to have failed."""
        # Rows come before they are counted, and the status is not asked for in every look.
        if self.status is None:
            return 0, 0
        completed = max(len(self._ledger.files), self.status.completed)
        return completed, self._failed(self.status)

    def _failed(self, status: TransformStatus) -> int:
        return max(len(self._ledger.failures), status.failed)

    def _has_too_many_failed(self, status: TransformStatus, max_failed: float) -> bool:
        failed = self._failed(status)
        if not max_failed:
            return failed > 0
        # Before the lookup is over, no fraction of the files is known.
        return (
            status.file_count_final
            and failed > 0
            and failed / max(status.files, failed) > max_failed
        )

    def _too_many_failed(self, status: TransformStatus, max_failed: float) -> FailedFilesError:
        bound = f"That is more than max_failed={max_failed:g} allows. " if max_failed else ""
        logs = f" Logs: {status.log_url}" if status.log_url else ""
        return FailedFilesError(
            f"{self._failed_files(status)} {bound}Leave their events out with on_failed='skip', or "
            f"submit the request again.{logs}"
        )

    def _warn_of_failed(self, status: TransformStatus) -> None:
        if status.status != "Complete" or not self._failed(status):
            return
        # Taken by the first of all threads, and never given back.
        if not self._warning.acquire(blocking=False):
            return
        self._warn(
            f"{self._failed_files(status)} As many partitions at the end are empty. To have an "
            "error instead, give on_failed='raise' or max_failed."
        )

    def _failed_files(self, status: TransformStatus) -> str:
        failures, failed = self._ledger.failures, self._failed(status)
        names = f": {', '.join(failures[:_NAMED])}" if failures else ""
        more = f" and {failed - _NAMED} more" if names and failed > _NAMED else ""
        return f"Request {self.request_id}: {failed} of {status.files} files failed{names}{more}."

    def _check_whole(self, status: TransformStatus, store: Store) -> None:
        """Check that no file of a request that is over was lost among its counters and rows."""
        who = f"Request {self.request_id}: the backend {self._rest.backend.name}"
        counted, rows = store.expected_rows(status), self._ledger.rows
        found = rows - len(self._ledger.failures)
        if (
            rows < counted
            or found < status.completed
            or (store.eventually_consistent and rows > counted)
        ):
            listed = (
                f"its store has {rows}"
                if store.eventually_consistent
                else f"lists {found} and {rows - found}"
            )
            raise ProtocolError(
                f"{who} counts {status.completed} finished and {status.failed} failed files but "
                f"{listed}. The result would not be right; ask the backend's operators."
            )
        if len(self._ledger.files) + self._failed(status) < status.files:
            raise ProtocolError(
                f"{who} says {status}, and lists {len(self._ledger.files)} results. Nothing is "
                "known of the others, and the result would not be whole; ask the backend's "
                "operators."
            )

    async def locate(self, name: str, rejected: str | None = None) -> Location:
        """Tell where the bytes of a file are that has been given out before.

        Parameters
        ----------
        name : str
            The file's name in the object store.
        rejected : str, optional
            A URL that was not accepted when it was used; it is not given again.
        """
        locations = self._urls
        if locations is None:
            async with self._rest.connected():
                status = self.status or await self._rest.status(self.request_id)
                locations = await self._opened(status)
        return await locations.locate(self._ledger.batch_names(name, BATCH), rejected)

    def locate_nowait(self, file: ResultFile, rejected: str | None = None) -> Location | None:
        """Tell what `locate` would give at once; ``None`` where that has to be waited for.

        To be used from any thread.
        """
        locations = self._urls
        return None if locations is None else locations.known(file.name, rejected)

    def resolved_batch(
        self, number: int, npartitions: int, max_failed: float
    ) -> list[ResultFile | NoFile]:
        """Give the files of a number and its neighbours: of a request that is over.

        Parameters and errors are those of `get`. Of one that ended badly, what was finished is
        given as well.
        """
        if self.status is None or not self.status.is_terminal or self._urls is None:
            return []
        first = number // BATCH * BATCH
        last = min(first + BATCH, self._numbered(self.status, self._urls.store))
        numbers = range(first, last)
        found = (self.get_nowait(near, npartitions, max_failed) for near in numbers)
        return [file for file in found if file is not None]

    async def _opened(self, status: TransformStatus) -> UrlCache:
        async with self._opening:
            if self._urls is None:
                store = await open_store(self._rest, status, self.polling.retry_timeout)
                self._urls = UrlCache(store, f"Request {self.request_id}")
            return self._urls

    def _is_decided(self, number: int, npartitions: int, max_failed: float) -> bool:
        status = self.status
        if status is None or self._urls is None:
            return False
        store = self._urls.store
        if self._is_ended(status, store) or self._has_too_many_failed(status, max_failed):
            return True
        # That there are no more files than partitions is known with the number of files: until
        # then one partition waits.
        can_be_last = number + 1 >= npartitions and not status.file_count_final
        return number < self._numbered(status, store) and not can_be_last

    def _numbered(self, status: TransformStatus, store: Store) -> int:
        """Tell how many files can be given out."""
        # Where only a listing tells of results, one that is never counted may be none.
        files = len(self._ledger.files)
        return min(files, store.expected_rows(status)) if store.eventually_consistent else files

    def _is_ended(self, status: TransformStatus, store: Store) -> bool:
        """Tell whether nothing more is to be expected."""
        if not store.eventually_consistent or status.status != "Complete":
            return status.is_terminal
        waited = (self._looked or 0.0) - self._changed
        return (
            self._ledger.rows >= store.expected_rows(status) or waited > self.polling.retry_timeout
        )

    async def _progress(self, number: int, npartitions: int, max_failed: float) -> None:
        """Wait until something is decided of this number, or until asking failed."""
        future = asyncio.get_running_loop().create_future()
        which = number, npartitions, max_failed
        self._waiting.setdefault(which, set()).add(future)
        if self._poller is None:
            self._changed = time.monotonic()
            self._poller = asyncio.create_task(self._poll(), name=f"poll {self.request_id}")
        try:
            await future
        finally:
            waiting = self._waiting[which]
            waiting.remove(future)
            if not waiting:
                del self._waiting[which]
            if not self._waiting:
                await self._stop_polling()

    async def _stop_polling(self) -> None:
        poller, self._poller = self._poller, None
        if poller is not None:
            poller.cancel()
            await asyncio.wait([poller])

    async def _poll(self) -> None:
        try:
            async with self._rest.connected():
                while True:
                    await asyncio.sleep(self._until_next_look())
                    await self._look()
                    self._wake()
                    self._check_timeout()
        except Exception as error:  # noqa: BLE001  (whoever waits gets it, whatever it is)
            self._poller = None
            self._wake(error)

    def _until_next_look(self) -> float:
        if self._looked is None:
            return 0.0
        idle, age = self._looked - self._changed, self._looked - self._began
        pause = max(_PATIENCE * idle, _EASE * age, self.polling.interval)
        pause = min(pause, self.polling.interval_max)
        return max(self._looked + pause - time.monotonic(), 0.0)

    def _check_timeout(self) -> None:
        timeout = self.polling.timeout
        idle = time.monotonic() - self._changed
        if timeout is not None and idle >= timeout:
            raise WaitTimeoutError(
                f"Request {self.request_id}: nothing has happened for {idle:.0f} s (setting "
                f"servicex-layer.timeout). {self.status}."
            )

    async def _look(self) -> None:
        before, rows = self._known(), self._ledger.rows
        status = self.status
        if status is None or not (status.is_terminal or self._flows(status)):
            status = await self._ask_status()
            self._flowing = 0
        await self._ask_rows(status, (await self._opened(status)).store)
        self._flowing = self._flowing + 1 if self._ledger.rows > rows else _FLOWING
        self.status = status
        now = time.monotonic()
        if self._looked is None:
            self._began = now
        self._looked = now
        if self._known() != before:
            self._changed = self._looked

    def _flows(self, status: TransformStatus) -> bool:
        """Tell whether files come and are to come still: then the status is no news."""
        alone = self._urls is not None and not self._urls.store.eventually_consistent
        few = self._flowing < _FLOWING and self._ledger.rows < status.files
        return alone and few and status.file_count_final and not self._ledger.settled

    async def _ask_status(self) -> TransformStatus:
        try:
            return await self._rest.status(self.request_id)
        except UnknownRequestError:
            if self.status is None:
                raise
            raise UnknownRequestError(
                f"Request {self.request_id} was deleted from the ServiceX backend "
                f"{self._rest.backend.name} while it was waited for; last it was {self.status}. "
                "Submit it again."
            ) from None

    async def _ask_rows(self, status: TransformStatus, store: Store) -> None:
        # Rows are committed before they are counted, and the counters were asked for first: so
        # every counted row is visible by now, and fewer rows than the counters say means that
        # some became visible behind the reach of the overlap, or are late.
        counted = store.expected_rows(status)
        overlap = max(self._overlap, self.polling.overlap)
        if self._has_no_news(status, counted):
            return
        if not status.is_terminal or store.eventually_consistent:
            settled_until = store.now() - timedelta(seconds=self.polling.settle)
            await self._ask(store, self._reach(overlap), settled_until)
            self._settled_until = settled_until
        elif self._ledger.rows != counted:
            await self._ask(store, self._reach(overlap), None)
            if self._ledger.rows != counted:
                await self._ask(store, None, None)
        self._listed = counted
        if status.is_terminal and self._ledger.rows >= counted:
            self._ledger.add_rows((), None)
        if self._flowing:
            # These counters are not those of now.
            return
        missing = self._ledger.rows < counted
        self._overlap = min(max(2 * overlap, 1.0), _LONGEST_OVERLAP) if missing else overlap / 2

    def _has_no_news(self, status: TransformStatus, counted: int) -> bool:
        """Tell whether counters of now say what they said at the last list, which had it all."""
        # Their sum alone does not tell: a row can be listed before it is counted, or without.
        known = self._ledger.rows >= counted == self._listed
        return known and not (self._ledger.settled or self._flowing or status.is_terminal)

    async def _ask(self, store: Store, since: datetime | None, until: datetime | None) -> None:
        self._ledger.add_rows(await store.list_finished(since), until)

    def _reach(self, overlap: float) -> datetime | None:
        newest = self._ledger.newest
        if newest is None or overlap >= _LONGEST_OVERLAP:
            return None
        reach = newest - timedelta(seconds=overlap)
        # What is about to be numbered for good must be seen whole.
        return min(reach, self._settled_until) if self._ledger.settled else reach

    def _known(self) -> tuple[TransformStatus | None, int]:
        return self.status, self._ledger.rows

    def _wake(self, error: Exception | None = None) -> None:
        for which, futures in self._waiting.items():
            if error is None and not self._is_decided(*which):
                continue
            for future in futures:
                if future.done():
                    continue
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)


def error_for_status(status: TransformStatus) -> RequestError:
    """Make the error that says how a request ended that did not end as ``Complete``."""
    kinds: dict[str, type[RequestError]] = {
        "Fatal": TransformFatalError,
        "Canceled": TransformCanceledError,
        "Bad Dataset": BadDatasetError,
    }
    said = f" The server says: {status.failure_info.rstrip('.')}." if status.failure_info else ""
    if status.lookup:
        said += f" The lookup of its dataset ended with {status.lookup}."
    logs = f" Logs: {status.log_url}" if status.log_url else ""
    return kinds.get(status.status, RequestError)(
        f"Request {status.request_id} ended as {status}.{said}{logs}"
    )
