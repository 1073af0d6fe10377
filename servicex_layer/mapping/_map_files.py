"""One function per finished file: from a request, or several, to one delayed result."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal, overload

import dask.base
from dask.delayed import Delayed

from servicex_layer.errors import InvalidArgumentError
from servicex_layer.graph import SXFileLayer, validate_failure_policy, validate_request_id
from servicex_layer.mapping._delayed import (
    Graph,
    prepare_backend,
    requests_by_sample,
    require_integer,
    statuses_of,
)
from servicex_layer.mapping._errors import describe
from servicex_layer.mapping._events import CallWithEvents
from servicex_layer.mapping._file_task import CallOnResult, FileTask
from servicex_layer.mapping._metadata import metadata_by_sample
from servicex_layer.mapping._partial import Finish, Merge

__all__ = ["delayed_over_files", "map_files"]


@overload
def map_files(
    func: Any,
    request: str | Mapping[str, str],
    *,
    backend: str | None = ...,
    schema: Callable[..., Any] | None = ...,
    tree: str | None = ...,
    metadata: Mapping[str, Any] | None = ...,
    reduce: Callable[[Any, Any], Any] | None = ...,
    split_every: int = ...,
    on_failed: str = ...,
    max_failed: float = ...,
    files_per_task: int = ...,
    report: Literal[False] = ...,
) -> Delayed: ...


@overload
def map_files(
    func: Any,
    request: str | Mapping[str, str],
    *,
    backend: str | None = ...,
    schema: Callable[..., Any] | None = ...,
    tree: str | None = ...,
    metadata: Mapping[str, Any] | None = ...,
    reduce: Callable[[Any, Any], Any] | None = ...,
    split_every: int = ...,
    on_failed: str = ...,
    max_failed: float = ...,
    files_per_task: int = ...,
    report: Literal[True],
) -> tuple[Delayed, Delayed]: ...


def map_files(
    func: Any,
    request: str | Mapping[str, str],
    *,
    backend: str | None = None,
    schema: Callable[..., Any] | None = None,
    tree: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    reduce: Callable[[Any, Any], Any] | None = operator.add,
    split_every: int = 8,
    on_failed: str = "skip",
    max_failed: float = 1.0,
    files_per_task: int = 1,
    report: bool = False,
) -> Delayed | tuple[Delayed, Delayed]:
    """Call a function with the events of each finished file, and reduce what it returns.

    Returns as soon as the number of files is known. The function is called with the N-th file as
    soon as ServiceX has finished it, on any of Dask's schedulers. If a Dask client is active, its
    cluster is registered; with an asynchronous client, await `register` first.

    Parameters
    ----------
    func : callable or coffea.processor.ProcessorABC
        Called with the events of one result file; what it returns is reduced. A processor's
        `process` is called instead, and its `postprocess` with the result.
    request : str or mapping of str to str
        The id of a request, or ids by the names of samples.
    backend : str, optional
        The backend's name in ``servicex.yaml``; by default its default.
    schema : type, optional
        A schema of coffea, such as ``NanoAODSchema``: then the events are coffea's NanoEvents. By
        default they are an awkward array with one field per column.
    tree : str, optional
        The name of the tree in the result files; by default their only one.
    metadata : mapping, optional
        Is added to ``events.metadata``; for several samples a mapping from their names to such
        mappings.
    reduce : callable or None
        Takes two results and returns one; must be associative. By default results are added, those
        of a processor as coffea does it. ``None`` returns a list, in the order of completion.
    split_every : int
        Number of results that one task reduces.
    on_failed : {"skip", "raise"}
        Whether failed files are left out, with a warning, or are an error.
    max_failed : float
        With ``"skip"``: the fraction (0 to 1) of the files beyond which they are an error as well.
    files_per_task : int
        Number of files that one task waits for and calls the function with, one after the other.
    report : bool
        Whether to return a report, too.

    Returns
    -------
    dask.delayed.Delayed
        The result; for several samples a dictionary of results in one graph. A request without
        files has the result ``None``, or an empty list with ``reduce=None``. With `report` a pair:
        the result, and an array of one record per file (`servicex_layer.report.record` has its
        fields; `interpreted` includes the time of the function). ``dask.compute(result, report)``
        computes both at once.

    Raises
    ------
    ConfigError
        If ``servicex.yaml`` or the backend in it can't be found.
    BackendError
        If the backend can't be reached, rejects the token or doesn't know the request.
    RequestError
        If the request ended without any result.
    InvalidArgumentError
        If an argument has an impossible value.

    See Also
    --------
    servicex_layer.from_servicex : makes a lazy array instead.
    servicex_layer.work_items : lets coffea's `Runner` follow a request.

    Notes
    -----
    The columns are virtual: each is read when the function touches it, and only its bytes. They can
    be read until the function returns. Arrays in its result (also in lists, tuples and
    dictionaries) are read then; whatever else holds events raises a `ResultError` when it touches
    a new column later.

    ``events.metadata`` has ``dataset`` (the sample's name, or the request's id), ``filename`` (the
    input file), ``number`` (of the file, in the order of completion), ``request_id``, ``treename``,
    ``entrystart`` and ``entrystop``. ``events.attrs["@file"]`` is the open ROOT file, as Uproot has
    it: ``events.attrs["@file"]["sumw"]`` is a histogram beside the tree.

    A result file without events and without a tree is left out. When the result is computed, it
    raises a `FunctionError` if the function or the reduction fails, a `SchemaMismatchError` if a
    file doesn't fit the schema, a `FailedFilesError` if every file failed.

    Examples
    --------
    >>> import awkward as ak
    >>> def sum_of_jet_pt(events):
    ...     return ak.sum(events.JetPt[events.JetPt > 100])
    >>> total = map_files(sum_of_jet_pt, "5f1c0d3e")  # doctest: +SKIP
    >>> total.compute()  # doctest: +SKIP
    4543328.78078125
    """
    is_processor = hasattr(func, "process")
    function = _process_of(func) if is_processor else func
    _check_takes_one_argument(function)
    _check_schema(schema)
    if is_processor and reduce is operator.add:
        from servicex_layer.mapping._coffea import merge_results

        reduce = merge_results
    token = dask.base.tokenize(func, tree, schema)
    delayed: Any = delayed_over_files(
        CallWithEvents(token, function, tree, schema),
        token,
        request,
        backend=backend,
        metadata=metadata,
        reduce=reduce,
        postprocess=getattr(func, "postprocess", None) if is_processor else None,
        split_every=split_every,
        on_failed=on_failed,
        max_failed=max_failed,
        files_per_task=files_per_task,
        report=report,
    )
    return (delayed[0], delayed[1]) if report else delayed


def delayed_over_files(
    call: CallOnResult,
    token: str,
    request: str | Mapping[str, str],
    *,
    backend: str | None,
    metadata: Mapping[str, Any] | None = None,
    reduce: Callable[[Any, Any], Any] | None = operator.add,
    postprocess: Callable[[Any], Any] | None = None,
    split_every: int = 8,
    on_failed: str = "skip",
    max_failed: float = 1.0,
    files_per_task: int = 1,
    report: bool = False,
) -> Delayed:
    """Call something with each finished result, and reduce what it returns.

    Parameters
    ----------
    call : callable
        Called with a result and its metadata; returns a list of at most one value.
    token : str
        Stands for `call`.
    request, backend, metadata, reduce, split_every, on_failed, max_failed, files_per_task, report
        As in `map_files`.
    postprocess : callable, optional
        Called with the result; if it returns something, that is the result.

    Returns
    -------
    dask.delayed.Delayed
        The result, or a pair of it and the report.
    """
    requests = requests_by_sample(request)
    metadata_of = metadata_by_sample(metadata, requests)
    if reduce is not None and not callable(reduce):
        raise InvalidArgumentError(
            f"reduce={reduce!r} must be a function of two results, or None for a list of all."
        )
    for request_id in requests.values():
        validate_request_id(request_id)
    validate_failure_policy(on_failed, max_failed)
    require_integer("files_per_task", files_per_task, least=1)
    graph = Graph(token, split_every=split_every)
    chosen = prepare_backend(backend)
    results: dict[str, str] = {}
    for sample, status in zip(requests, statuses_of(chosen, [*requests.values()]), strict=True):
        request_id = requests[sample]
        # A graph needs a task; one more than there are files is empty.
        file_count = max(status.files, 1)
        files = SXFileLayer(
            request_id,
            ceil(file_count / files_per_task),
            backend=chosen.name,
            on_failed=on_failed,
            max_failed=max_failed,
            files_per_partition=files_per_task,
            file_count=file_count,
        )
        merge = Merge(request_id, reduce)
        task = FileTask(call, files.request, metadata_of[sample], merge, report=report)
        finish = Finish(request_id, reduce is None, postprocess, report)
        results[sample] = graph.add_request(files, task, finish, sample)
    if "" in results:
        return graph.delayed(results[""])
    collect = _CollectSamples(tuple(results), report=report)
    token = dask.base.tokenize(results)
    return graph.delayed(graph.add_task(f"servicex-samples-{token}", collect, *results.values()))


@dataclass(frozen=True)
class _CollectSamples:
    """Makes a dictionary of the results of samples, or a pair of two."""

    samples: tuple[str, ...]
    report: bool

    def __call__(self, *results: Any) -> Any:
        if not self.report:
            return dict(zip(self.samples, results, strict=True))
        values, reports = zip(*results, strict=True)
        by_sample = [dict(zip(self.samples, each, strict=True)) for each in (values, reports)]
        return tuple(by_sample)


def _process_of(processor: Any) -> Callable[[Any], Any]:
    if inspect.isclass(processor):
        raise InvalidArgumentError(
            f"func={processor.__name__} is a class: give an instance, {processor.__name__}(…)."
        )
    if not callable(processor.process):
        raise InvalidArgumentError(
            f"func={processor!r} has a `process` that can't be called. A processor needs a method "
            "`process(self, events)`."
        )
    process: Callable[[Any], Any] = processor.process
    return process


def _check_takes_one_argument(function: Any) -> None:
    if not callable(function):
        raise InvalidArgumentError(
            f"func={function!r} must be a function of the events of one file, or a coffea "
            "processor: an object with a method `process`."
        )
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # some functions written in C have none
    try:
        signature.bind(None)
    except TypeError as error:
        raise InvalidArgumentError(
            f"func={describe(function)}{signature} must take one argument, the events of one file: "
            f"{error}. Bind others before, as in functools.partial({describe(function)}, cut=30)."
        ) from error


def _check_schema(schema: Any) -> None:
    if schema is not None and not (callable(schema) and hasattr(schema, "behavior")):
        raise InvalidArgumentError(
            f"schema={schema!r} must be a schema of coffea, such as "
            "coffea.nanoevents.NanoAODSchema."
        )
