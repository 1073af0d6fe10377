"""From a request to a lazy array."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, Any, Literal, overload

from dask.highlevelgraph import HighLevelGraph

from servicex_layer._config import find_backend
from servicex_layer._model import Backend, TransformStatus
from servicex_layer.feed import (
    RequestRef,
    active_client,
    error_for_status,
    feed,
    interruptible_result,
    register,
)
from servicex_layer.forms import parse_form
from servicex_layer.graph._arguments import (
    validate_failure_policy,
    validate_files_per_partition,
    validate_request_id,
)
from servicex_layer.graph._dask_awkward import meta_of, new_array, require_dask_awkward
from servicex_layer.graph._file_count import status_with_file_count
from servicex_layer.graph._file_layer import SXFileLayer
from servicex_layer.graph._first_file import form_of_first_file
from servicex_layer.graph._form_mapping import (
    described_form_of,
    validate_form_mapping,
    validate_mappable,
)
from servicex_layer.graph._load_layer import UprootLoadLayer
from servicex_layer.graph._record import record_meta
from servicex_layer.reading import read_form

if TYPE_CHECKING:
    from dask_awkward.lib.core import Array
    from uproot import ImplementsFormMapping

__all__ = ["array_of", "from_servicex"]


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
    files_per_partition: int = ...,
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
    files_per_partition: int = ...,
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
    files_per_partition: int = 1,
    behavior: Mapping[Any, Any] | None = None,
    form_mapping: ImplementsFormMapping | None = None,
) -> Array | tuple[Array, Array]:
    """Make a lazy array of the results of a request, which may still be running.

    Returns as soon as the number of files is known. Partition N is the N-th file to be finished,
    and is computed once ServiceX has finished it. If a Dask client is active, its cluster is
    registered to follow the request; with an asynchronous client, await `register` yourself.

    Parameters
    ----------
    request_id : str
        The id that ServiceX gave the request when it was submitted.
    backend : str, optional
        Name of the backend in ``servicex.yaml``. Defaults to the default backend there.
    tree : str, optional
        Name of the tree in the result files. Defaults to their only tree.
    form : optional
        The columns and their types: a record form of awkward, a datashape such as
        ``"{JetPt: var * float64}"``, a dictionary of types, the path or URL of a sample of the
        results, or the query of the request if it defines the types. If the query defines only
        some, a pair of the query and the rest: for ``uproot-raw`` a sample of the input, as in
        ``(query, "input.root")``; for func_adl the types of columns, as in
        ``(query, {"pt": "var * float64"})``. By default the first finished file defines the form,
        and is waited for. See `servicex_layer.forms`.
    on_failed : {"skip", "raise"}
        ``"skip"``: failed files leave empty partitions at the end, with a warning. ``"raise"``: a
        failed file is an error.
    report : bool
        Whether to return a report, too.
    max_failed : float
        The fraction of failed files, from 0 to 1, above which ``"skip"`` is an error, too.
    files_per_partition : int
        The number of files of each partition. With 10, partition 0 holds the first 10 files to be
        finished, and is computed once ServiceX has finished all of them. They are read several at a
        time, and Dask has fewer tasks to schedule.
    behavior : mapping, optional
        The array's behavior, as in `awkward.Array`; for example that of `vector`.
    form_mapping : uproot.ImplementsFormMapping, optional
        Presents the columns in another form, as in `uproot.dask`. For results that are ROOT files.
        For a schema of coffea use `nanoevents`.

    Returns
    -------
    dask_awkward.Array
        One partition per file of the request's dataset, or per `files_per_partition` files. A
        request without files makes an array without events. With `report` a pair: this array, and
        one with a record of what happened to each file (`servicex_layer.report.record` lists the
        fields). Compute both together, as in ``dask.compute(array, report)``: alone, the report
        describes a run that read no columns.

    Raises
    ------
    MissingExtraError
        If dask-awkward is not installed.
    ConfigError
        If ``servicex.yaml`` is missing, or the backend is not in it.
    BackendError
        If the backend can't be reached, rejects the token or doesn't know the request.
    FailedFilesError
        If all files of the request failed, whatever `on_failed` is.
    RequestError
        If the request ended without a result.
    FormError
        If `form` is not a form, or there is no file to read it from.
    InvalidArgumentError
        If an argument has an impossible value.

    Examples
    --------
    >>> events = from_servicex("5f1c0d3e", form="{JetPt: var * float64}")  # doctest: +SKIP
    >>> events.JetPt[events.JetPt > 100].compute()  # doctest: +SKIP
    """
    require_dask_awkward("from_servicex")
    # Validate before anything is asked of the backend.
    validate_request_id(request_id)
    validate_failure_policy(on_failed, max_failed)
    validate_files_per_partition(files_per_partition)
    if form_mapping is not None:
        validate_form_mapping(form_mapping)
    form_for = None if form is None else parse_form(form, tree)
    server = find_backend(backend)
    client = active_client()
    if client is not None and not client.asynchronous:
        register(client, server.name)
    status = status_with_file_count(server, request_id)
    if status.is_terminal and not status.completed:
        _check_not_all_failed(server, status)
    if form_mapping is not None:
        validate_mappable(status.result_format)
    if form_for is None:
        read = read_form if form_mapping is None else described_form_of
        record_form = form_of_first_file(server, status, tree, read)
    else:
        record_form = form_for(status.result_format)
    # Dask has no arrays of 0 partitions: a request without files gets an empty one.
    file_count = max(status.files, 1)
    files = SXFileLayer(
        request_id,
        ceil(file_count / files_per_partition),
        backend=server.name,
        on_failed=on_failed,
        max_failed=max_failed,
        files_per_partition=files_per_partition,
        file_count=file_count,
    )
    load = UprootLoadLayer(
        files,
        form=record_form,
        tree=tree,
        behavior=behavior,
        form_mapping=form_mapping,
        fuse=status.is_terminal,
        report=report,
    )
    array = array_of(files, load)
    return _array_and_report(array, files) if report else array


def _check_not_all_failed(server: Backend, status: TransformStatus) -> None:
    """Raise if a request ended without a result, unless it has no files."""
    if status.status != "Complete":
        raise error_for_status(status)
    if status.files:
        # The feed raises an error that names the inputs, if they failed indeed: a file that failed
        # can be transformed again.
        request_feed = feed(RequestRef(status.request_id, server.url))
        interruptible_result(request_feed.submit(request_feed.get(0, status.files)))


def array_of(files: SXFileLayer, load: UprootLoadLayer) -> Array:
    """Return the lazy array of two layers."""
    layers: dict[str, Any] = {load.name: load}
    dependencies: dict[str, set[str]] = {load.name: set()}
    if not load.fuse:
        layers[files.name] = files
        dependencies = {files.name: set(), load.name: {files.name}}
    graph = HighLevelGraph(layers, dependencies)
    return new_array(graph, load.name, load.meta, [None] * (load.npartitions + 1))


def _array_and_report(pairs: Array, files: SXFileLayer) -> tuple[Array, Array]:
    from dask_awkward.lib.core import map_partitions
    from dask_awkward.utils import first, second

    array = map_partitions(first, pairs, meta=meta_of(pairs), label="servicex-array")
    meta = record_meta()
    report = map_partitions(second, pairs, meta=meta, label="servicex-report")
    # One record per file.
    divisions = [*range(0, files.file_count, files.files_per_partition), files.file_count]
    return array, new_array(report.dask, report.name, meta, divisions)
