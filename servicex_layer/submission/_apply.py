"""`apply_to_dataset`: submit the query of an analysis, and apply the analysis to its results."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from servicex_layer.errors import InvalidArgumentError, ServiceXLayerError
from servicex_layer.feed import loop_thread
from servicex_layer.graph import (
    from_servicex,
    require_dask_awkward,
    validate_failure_policy,
    validate_files_per_partition,
)
from servicex_layer.query import (
    Analysis,
    DerivedQuery,
    InputEvents,
    query_of_outputs,
    run_analysis,
)
from servicex_layer.submission._samples import frontend_of, submit_samples
from servicex_layer.submission._spec import parse_spec

if TYPE_CHECKING:
    from uproot import ImplementsFormMapping

__all__ = ["apply_to_dataset", "apply_to_results", "derive_twice"]

Cut = bool | Literal["exact"]


def apply_to_dataset(
    analysis: Analysis,
    dataset: Any,
    form: Any,
    tree: str,
    *,
    backend: str | None = None,
    cut: Cut = True,
    output_format: str | None = None,
    title: str = "servicex_layer",
    on_failed: Literal["skip", "raise"] = "skip",
    max_failed: float = 1.0,
    files_per_partition: int = 1,
    ignore_local_cache: bool = False,
    config_path: str | Path | None = None,
    behavior: Mapping[Any, Any] | None = None,
    form_mapping: ImplementsFormMapping | None = None,
) -> Any:
    """Submit the query that an analysis needs, and apply the analysis to the running request.

    Derives the query with `derive_query` and submits it through the official client and its local
    cache. An earlier request of the dataset is used instead if it has all columns and events that
    are needed. Needs the extras ``dask-awkward`` and ``servicex``.

    Parameters
    ----------
    analysis : callable or mapping of str to callable
        As in `derive_query`.
    dataset : servicex.dataset_identifier.DataSetIdentifier
        A dataset of ``servicex.dataset``.
    form, tree
        The form and the tree of the *input*, as in `derive_query`.
    backend : str, optional
        The backend's name in ``servicex.yaml``; by default the default backend.
    cut : bool or "exact"
        As in `derive_query`.
    output_format : {"parquet", "root-ttree", "root-rntuple"}, optional
        The format of the results. By default Parquet, which is read fastest; with `form_mapping`
        ``"root-ttree"``, as form mappings read ROOT files.
    title : str
        The request's title.
    on_failed, max_failed, files_per_partition
        As in `servicex_layer.from_servicex`.
    ignore_local_cache : bool
        Whether to submit the query even if an earlier request would do.
    config_path : str or pathlib.Path, optional
        The path of ``servicex.yaml``, as in `deliver`.
    behavior, form_mapping
        As in `servicex_layer.from_servicex`.

    Returns
    -------
    object
        What the analysis returns for the lazy array of events; with several functions, a
        dictionary. It never is the array of events itself, from which the cut took events.

    Raises
    ------
    InvalidArgumentError
        If the analysis is not the same each time it is called, or as in `derive_query`.
    MissingExtraError
        If dask-awkward or the official client is not installed.
    ConfigError
        If ``servicex.yaml`` is missing or invalid, or lacks the backend.
    BackendError
        If the backend cannot be reached, rejects the token or refuses the request.
    FormError
        If `form` is not a form.

    See Also
    --------
    servicex_layer.derive_query : Only the query, to look at or to use elsewhere.

    Examples
    --------
    >>> from servicex import dataset  # doctest: +SKIP
    >>> def analysis(events):
    ...     return events.Muon_pt[events.MET > 30]
    >>> muon_pt = apply_to_dataset(  # doctest: +SKIP
    ...     analysis, dataset.Rucio("user.me:ttbar"), form="ttbar.root", tree="Events"
    ... )
    >>> muon_pt.compute()  # doctest: +SKIP
    """
    require_dask_awkward("apply_to_dataset")
    # Validate as from_servicex does, before anything is submitted.
    validate_failure_policy(on_failed, max_failed)
    validate_files_per_partition(files_per_partition)
    events = InputEvents.of(form, tree, behavior, form_mapping)
    derived = derive_twice(analysis, events, cut)
    if output_format is None:
        output_format = "parquet" if form_mapping is None else "root-ttree"
    spec = parse_spec(
        {
            "General": {"OutputFormat": output_format},
            "Sample": [{"Name": title, "Dataset": dataset, "Query": derived.query}],
        }
    )
    with closing(frontend_of(config_path, backend)) as frontend:
        (outcome,) = loop_thread().run(
            submit_samples(
                frontend,
                spec,
                ignore_local_cache=ignore_local_cache,
                max_failed=max_failed if on_failed == "skip" else 0.0,
                derived={title: derived},
            )
        )
    if isinstance(outcome, ServiceXLayerError):
        raise outcome
    return apply_to_results(
        analysis,
        outcome.request_id,
        events,
        derived,
        cut=cut,
        backend=frontend.backend.name,
        on_failed=on_failed,
        max_failed=max_failed,
        files_per_partition=files_per_partition,
    )


def derive_twice(analysis: Analysis, events: InputEvents, cut: Cut) -> DerivedQuery:
    """Return the query of an analysis that is the same each time it is called.

    Raises
    ------
    InvalidArgumentError
        If it is not: a second call, with another number of partitions, needs another query.
    """
    first, second = (
        query_of_outputs(run_analysis(analysis, events.stand_in(npartitions)), events, cut=cut)
        for npartitions in (1, 2)
    )
    _require_same(first, second)
    return first


def apply_to_results(
    analysis: Analysis,
    request_id: str,
    events: InputEvents,
    derived: DerivedQuery,
    *,
    cut: Cut,
    backend: str,
    on_failed: str,
    max_failed: float,
    files_per_partition: int,
) -> Any:
    """Return what an analysis makes of the results of the request of its derived query.

    Raises
    ------
    InvalidArgumentError
        If the analysis needs another query than `derived`.
    """
    array = from_servicex(
        request_id,
        backend,
        events.tree,
        events.form,
        on_failed,
        max_failed=max_failed,
        files_per_partition=files_per_partition,
        behavior=events.behavior,
        form_mapping=events.form_mapping,
    )
    outputs = run_analysis(analysis, array)
    _require_same(derived, query_of_outputs(outputs, events, cut=cut))
    return outputs


def _require_same(first: DerivedQuery, second: DerivedQuery) -> None:
    if (first.columns, first.cut) != (second.columns, second.cut):
        raise InvalidArgumentError(
            "The analysis is not the same each time it is called, so its results could lack what "
            f"it needs.\nFirst it needs\n{first}\nand then\n{second}\nLeave out what changes from "
            "call to call: random numbers, the time, variables that it sets."
        )
