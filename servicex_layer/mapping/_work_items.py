"""Work for coffea's `Runner`: files that need not be finished yet."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from servicex_layer._model import NoFile
from servicex_layer.errors import MissingExtraError, NoTreeError
from servicex_layer.feed import RequestRef, feed, interruptible_result
from servicex_layer.graph import result_source
from servicex_layer.mapping._delayed import prepare_backend, requests_by_sample, statuses_of
from servicex_layer.mapping._file_system import url_of
from servicex_layer.mapping._metadata import metadata_by_sample
from servicex_layer.reading import open_table

__all__ = ["work_items"]


def work_items(
    request: str | Mapping[str, str],
    *,
    backend: str | None = None,
    tree: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> list[Any]:
    """Return one work item of coffea per file of a request, which may still be running.

    coffea's `Runner` takes them in place of a fileset: it doesn't open a file before it processes
    it. For Parquet results it must be a ``Runner(format="parquet")``. Their URLs are
    ``servicex://backend@request/N-of-M``, the N-th of M files to be finished. Opening one waits
    until it is finished; that holds a thread of the worker. If a Dask client is active, its cluster
    is registered.

    Parameters
    ----------
    request : str or mapping of str to str
        The id of a request, or ids by the names of samples, which become the datasets.
    backend : str, optional
        The backend's name in ``servicex.yaml``; by default its default.
    tree : str, optional
        The name of the tree in the result files; by default the only one of the first finished
        file, which is waited for. Parquet files need none.
    metadata : mapping, optional
        Is added to ``events.metadata``; for several samples a mapping from their names to such
        mappings.

    Returns
    -------
    list of coffea.processor.WorkItem
        One for each file. How many events it has is not known beforehand: `entrystop` is larger
        than any file.

    Raises
    ------
    MissingExtraError
        If coffea isn't installed.
    InvalidArgumentError
        If an argument has an impossible value.
    BackendError
        If the backend can't be reached, rejects the token or doesn't know the request.
    RequestError
        If the request ended without any result.

    See Also
    --------
    servicex_layer.map_files : needs no thread to wait.

    Notes
    -----
    A file that failed is a `FileNotFoundError`; ``Runner(skipbadfiles=True)`` skips it.

    Examples
    --------
    >>> from coffea import processor  # doctest: +SKIP
    >>> run = processor.Runner(processor.DaskExecutor(client=client))  # doctest: +SKIP
    >>> run(work_items("5f1c0d3e"), MyProcessor())  # doctest: +SKIP
    """
    try:
        from coffea.processor.executor import WorkItem
    except ImportError as error:
        raise MissingExtraError(
            "work_items needs coffea: pip install 'servicex_layer[coffea]'"
        ) from error
    requests = requests_by_sample(request)
    given = metadata_by_sample(metadata, requests)
    chosen = prepare_backend(backend)
    items = []
    for sample, status in zip(requests, statuses_of(chosen, [*requests.values()]), strict=True):
        request_id = requests[sample]
        if not status.files:
            continue
        treename = tree or ""
        if not tree and status.result_format != "parquet":
            treename = _first_tree(RequestRef(request_id, chosen.name), status.files)
        dataset = given[sample].pop("dataset", request_id)
        items += [
            WorkItem(
                dataset=dataset,
                filename=url_of(chosen.name, request_id, number, status.files),
                treename=treename,
                entrystart=0,
                entrystop=sys.maxsize,
                fileuuid=b"",
                usermeta={"request_id": request_id, "number": number, **given[sample]},
            )
            for number in range(status.files)
        ]
    return items


def _first_tree(request: RequestRef, count: int) -> str:
    request_feed = feed(request)
    pending = request_feed.submit(request_feed.get(0, count))
    try:
        file = interruptible_result(pending)
    finally:
        pending.cancel()
    if isinstance(file, NoFile):
        raise NoTreeError(
            f"Request {request.request_id} has no finished file whose tree could be used. Pass its "
            "name, as in tree='Events'."
        )
    with open_table(result_source(file, request), None) as table:
        root_tree: Any = table
        name: str = root_tree.tree.name
        return name
