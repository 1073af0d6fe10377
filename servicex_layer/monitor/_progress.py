"""`progress`: show how far requests are while something is computed of them."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Any, Self

from servicex_layer.feed import progress_source
from servicex_layer.monitor._refresh import RefreshThread, RequestMonitor
from servicex_layer.monitor._requests import requests_of
from servicex_layer.monitor._views import View, notebook_view, terminal_view

__all__ = ["progress"]


class progress:  # noqa: N801  (called like a function)
    """Show how far requests are while something is computed of them.

    A context manager. For each request it shows the number of files that ServiceX has looked up,
    finished and failed, and since it was entered the partitions read, their bytes, the rate, and
    the time left. It writes to the standard error of a terminal, which needs the extra
    ``progress``, or below the cell of a notebook. Elsewhere, and if the environment variable
    ``CI`` is set, it shows nothing.

    It adds no polling of ServiceX: it reads the list of finished files that the scheduler of a
    Dask cluster keeps, or else the one of this process. Child processes, such as those of
    ``scheduler="processes"``, report to this one what they read.

    Parameters
    ----------
    *arrays_or_requests
        Arrays of `from_servicex`, results of `map_files`, collections made of these, ids of
        requests of the default backend, or mappings from names to these, such as the result of
        `deliver`.

    Raises
    ------
    InvalidArgumentError
        If an argument is none of these.
    ConfigError
        If ``servicex.yaml`` is missing or invalid, or lacks the backend.
    MissingExtraError
        In a terminal, if ``rich`` is not installed.

    Examples
    --------
    Around a computation:

    >>> with progress(events):  # doctest: +SKIP
    ...     result = events.JetPt.compute()

    Around futures:

    >>> with progress(events):  # doctest: +SKIP
    ...     futures = client.compute([events.JetPt, events.JetEta])
    ...     distributed.wait(futures)
    """

    _thread: RefreshThread | None

    def __init__(self, *arrays_or_requests: Any) -> None:
        selections = requests_of(arrays_or_requests)
        view = _available_view()
        self._thread = None
        if view is not None:
            monitors = [
                RequestMonitor(each, progress_source(each.request_id, each.backend))
                for each in selections
            ]
            self._thread = RefreshThread(view, monitors)

    def __enter__(self) -> Self:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._thread is not None:
            self._thread.stop()


def _available_view() -> View | None:
    if os.environ.get("CI"):
        return None
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(shell, "kernel"):
        return notebook_view()
    return terminal_view() if sys.stderr.isatty() else None
