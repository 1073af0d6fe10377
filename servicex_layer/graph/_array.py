"""From a request to a lazy array."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

from awkward.forms import RecordForm
from dask.highlevelgraph import HighLevelGraph
from dask_awkward.lib.core import Array, map_partitions, new_array_object
from dask_awkward.utils import first, second

from servicex_layer._config import find_backend, seconds
from servicex_layer._model import Backend, Location, NoFile, TransformStatus
from servicex_layer.backend import RestClient
from servicex_layer.errors import FormError, WaitTimeoutError
from servicex_layer.feed import active_client, error_for_status, loop_thread, process_feed, register
from servicex_layer.forms import parse_form
from servicex_layer.graph._file_layer import SXFileLayer
from servicex_layer.graph._first_file import first_file
from servicex_layer.graph._form_mapping import check_mappable, described_form_of
from servicex_layer.graph._load_layer import UprootLoadLayer
from servicex_layer.graph._record import record_meta
from servicex_layer.reading import read_form
from servicex_layer.transport import ResultSource

if TYPE_CHECKING:
    from uproot import ImplementsFormMapping

__all__ = ["from_servicex", "wait_for_file_count"]


@overload
def from_servicex(
    request_id: str,
    backend: str | None = ...,
    tree: str | None = ...,
    form: Any = ...,
    on_failed: str = ...,
    report: Literal[False] = ...,
    *,
    max_failed: float = ...,
    behavior: Mapping[Any, Any] | None = ...,
    form_mapping: ImplementsFormMapping | None = ...,
) -> Array: ...


@overload
def from_servicex(
    request_id: str,
    backend: str | None = ...,
    tree: str | None = ...,
    form: Any = ...,
    on_failed: str = ...,
    *,
    report: Literal[True],
    max_failed: float = ...,
    behavior: Mapping[Any, Any] | None = ...,
    form_mapping: ImplementsFormMapping | None = ...,
) -> tuple[Array, Array]: ...


def from_servicex(
    request_id: str,
    backend: str | None = None,
    tree: str | None = None,
    form: Any = None,
    on_failed: str = "skip",
    report: bool = False,
    *,
    max_failed: float = 1.0,
    behavior: Mapping[Any, Any] | None = None,
    form_mapping: ImplementsFormMapping | None = None,
) -> Array | tuple[Array, Array]:
    """Make a lazy array of the results of a request, which may still be running.

    Returns as soon as the number of files is known. Partition N is the N-th file to be finished;
    it is computed as soon as ServiceX has finished it. Where a Dask client is active, its cluster
    is told how to follow the request; with an asynchronous client, await `register` for that.

    Parameters
    ----------
    request_id : str
        The request, as ServiceX named it when it was submitted.
    backend : str, optional
        The backend's name in ``servicex.yaml``; by default its default.
    tree : str, optional
        The name of the tree in the result files; by default their only one.
    form : optional
        What an event looks like: a record form of awkward, a datashape such as
        ``"{JetPt: var * float64}"``, a dictionary of the columns' types, the path or URL of a
        sample of the results, or the query of the request where that tells it. Where it does not
        tell all, a pair of the query and the rest: for ``uproot-raw`` a sample of the input, as in
        ``(query, "input.root")``, for func_adl the types of columns, as in
        ``(query, {"pt": "var * float64"})``. By default the first finished file tells, and is
        waited for. See `servicex_layer.forms`.
    on_failed : {"skip", "raise"}
        Whether files that failed leave empty partitions at the end and are warned of, or are an
        error.
    report : bool
        Whether to give a report, too.
    max_failed : float
        With ``"skip"``: the fraction (0 to 1) of the files beyond which they are an error as well.
    behavior : mapping, optional
        The array's behavior, as in `awkward.Array`; that of `vector`, for example.
    form_mapping : uproot.ImplementsFormMapping, optional
        Shows the columns in another form, as in `uproot.dask`; a schema of coffea, for example.
        For results that are ROOT files.

    Returns
    -------
    dask_awkward.Array
        One partition per file of the request's dataset. A request of no files gives an array of
        no events. With `report` a pair: of this array, and of one with a record of what happened
        to each partition (`servicex_layer.report.record` has its fields). It is lazy as well:
        ``dask.compute(array, report)`` computes both at once. Of a computation by itself it tells
        what it took to read no column.

    Raises
    ------
    ConfigError
        Where ``servicex.yaml`` or the backend in it is not found.
    BackendError
        Where the backend cannot be reached, rejects the token or does not know the request.
    RequestError
        Where the request ended without any result.
    FormError
        Where no form can be made of `form`, or no file is there to tell it.
    InvalidArgumentError
        Where `form_mapping` cannot be used.

    Examples
    --------
    >>> events = from_servicex("5f1c0d3e", form="{JetPt: var * float64}")  # doctest: +SKIP
    >>> events.JetPt[events.JetPt > 100].compute()  # doctest: +SKIP
    """
    SXFileLayer(request_id, 0, on_failed=on_failed, max_failed=max_failed)
    given = None if form is None else parse_form(form, tree)
    chosen = find_backend(backend)
    client = active_client()
    if client is not None and not client.asynchronous:
        register(client, chosen.name)
    rest = RestClient(chosen, seconds("retry-timeout") or 0.0, seconds("timeout"))
    status = loop_thread().run(wait_for_file_count(rest, request_id))
    if status.is_terminal and status.status != "Complete" and not status.completed:
        raise error_for_status(status)
    if form_mapping is not None:
        check_mappable(status.result_format)
    # Dask has no array of no partitions: one more than there are files is empty.
    npartitions = max(status.files, 1)
    if given is None:
        tell = read_form if form_mapping is None else described_form_of
        told = _form_of_first(chosen, status, npartitions, tree, tell)
    else:
        told = given(status.result_format)
    files = SXFileLayer(
        request_id, npartitions, backend=chosen.name, on_failed=on_failed, max_failed=max_failed
    )
    load = UprootLoadLayer(
        files,
        form=told,
        tree=tree,
        behavior=behavior,
        form_mapping=form_mapping,
        fuse=status.is_terminal,
        report=report,
    )
    array = _array(files, load)
    return _array_and_report(array) if report else array


def _array(files: SXFileLayer, load: UprootLoadLayer) -> Array:
    layers: dict[str, Any] = {load.name: load}
    dependencies: dict[str, set[str]] = {load.name: set()}
    if not load.fuse:
        layers[files.name] = files
        dependencies |= {files.name: set(), load.name: {files.name}}
    return new_array_object(
        HighLevelGraph(layers, dependencies),
        load.name,
        meta=load.meta,
        npartitions=load.npartitions,
    )


def _array_and_report(pairs: Array) -> tuple[Array, Array]:
    array = map_partitions(first, pairs, meta=pairs._meta, label="servicex-array")
    meta = record_meta()
    report = map_partitions(second, pairs, meta=meta, label="servicex-report")
    divisions = tuple(range(pairs.npartitions + 1))
    return array, new_array_object(report.dask, report.name, meta=meta, divisions=divisions)


async def wait_for_file_count(rest: RestClient, request_id: str) -> TransformStatus:
    """Wait until the number of files is known."""
    timeout = seconds("timeout")
    try:
        async with asyncio.timeout(timeout), rest.connected():
            status = await rest.status(request_id)
            while not status.file_count_final:
                await asyncio.sleep(seconds("poll-interval") or 0.0)
                status = await rest.status(request_id)
    except TimeoutError:
        raise WaitTimeoutError(
            f"Request {request_id}: its dataset was not looked up within {timeout} s (setting "
            "servicex-layer.timeout)."
        ) from None
    return status


def _form_of_first(
    backend: Backend,
    status: TransformStatus,
    npartitions: int,
    tree: str | None,
    tell: Callable[[ResultSource, str | None], RecordForm],
) -> RecordForm:
    if status.is_terminal and status.files == 0:
        return RecordForm([], [])
    feed = process_feed(status.request_id, backend)
    file = first_file(feed, status, feed.submit(feed.get(0, npartitions)))
    if isinstance(file, NoFile):
        raise FormError(
            f"Request {status.request_id} has no finished file to tell the form. Give it, as in "
            "form='{JetPt: var * float64}'."
        )
    what = f"Result {file.name!r} of request {status.request_id}"
    found = file

    def locate(rejected: str | None) -> Location:
        return loop_thread().run(feed.locate(found.name, rejected))

    return tell(ResultSource(found, locate, what), tree)
