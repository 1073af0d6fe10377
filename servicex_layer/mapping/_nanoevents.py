"""coffea's NanoEvents as a lazy array."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from servicex_layer.errors import InvalidArgumentError, MissingExtraError
from servicex_layer.graph import from_servicex, require_dask_awkward

if TYPE_CHECKING:
    from dask_awkward.lib.core import Array

__all__ = ["nanoevents"]


def nanoevents(
    request_id: str,
    schemaclass: Callable[..., Any] | None = None,
    *,
    backend: str | None = None,
    tree: str | None = None,
    form: Any = None,
    metadata: Mapping[str, Any] | None = None,
    on_failed: str = "skip",
    max_failed: float = 1.0,
    files_per_partition: int = 1,
    report: bool = False,
) -> Array | tuple[Array, Array]:
    """Make coffea's NanoEvents, as a lazy array, of a request that may still be running.

    Cross-references such as ``events.Muon.matched_jet`` work. The results must be ROOT files, as
    coffea makes lazy arrays of no others.

    Parameters
    ----------
    request_id : str
        The request, as ServiceX named it when it was submitted.
    schemaclass : type, optional
        A schema of coffea; by default ``NanoAODSchema``.
    backend, tree, form
        As in `from_servicex`.
    metadata : mapping, optional
        Becomes part of ``events.metadata``; must be representable in JSON.
    on_failed, max_failed, files_per_partition, report
        As in `from_servicex`.

    Returns
    -------
    dask_awkward.Array
        One partition per file, or per `files_per_partition` files; with `report` a pair of it and
        the report.

    Raises
    ------
    MissingExtraError
        If coffea or dask-awkward isn't installed.
    InvalidArgumentError
        If `schemaclass` isn't a schema, or the results are Parquet files.
    ConfigError, BackendError, RequestError, FormError
        As `from_servicex` raises them.

    See Also
    --------
    servicex_layer.map_files : calls a function with NanoEvents of one file at a time.

    Examples
    --------
    >>> events = nanoevents("5f1c0d3e")  # doctest: +SKIP
    >>> events.Muon.matched_jet.pt.compute()  # doctest: +SKIP
    """
    try:
        from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

        from servicex_layer.mapping._coffea import form_mapping
    except ImportError as error:
        raise MissingExtraError(
            "nanoevents needs coffea: pip install 'servicex_layer[coffea]'"
        ) from error
    require_dask_awkward("nanoevents")
    schema = schemaclass or NanoAODSchema
    if not hasattr(schema, "behavior"):
        raise InvalidArgumentError(
            f"schemaclass={schema!r} must be a schema of coffea, such as "
            "coffea.nanoevents.NanoAODSchema."
        )
    make_array: Callable[..., Any] = partial(
        from_servicex,
        request_id,
        backend,
        tree,
        form,
        on_failed,
        report,
        max_failed=max_failed,
        files_per_partition=files_per_partition,
    )
    # The factory calls it with form_mapping=…, and makes cross-references find the array.
    factory = NanoEventsFactory(form_mapping(schema, metadata), make_array, None, mode="dask")
    events: Array | tuple[Array, Array] = factory.events()
    return events
