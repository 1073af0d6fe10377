"""`submit`: from one query to the id of its request."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from servicex_layer.errors import ServiceXLayerError
from servicex_layer.feed import loop_thread
from servicex_layer.submission._arguments import backend_name
from servicex_layer.submission._samples import frontend_of, submit_samples
from servicex_layer.submission._spec import parse_spec

__all__ = ["submit"]


def submit(
    query: Any,
    dataset: Any,
    *,
    title: str = "servicex_layer",
    output_format: str = "root-ttree",
    codegen: str | None = None,
    config_path: str | Path | None = None,
    backend: str | None = None,
    servicex_name: str | None = None,
    ignore_local_cache: bool = False,
) -> str:
    """Submit one query through the official client and return the request's id.

    As with `deliver`, a query that was submitted before is not submitted again. Needs the extra
    ``servicex``.

    Parameters
    ----------
    query : servicex.query_core.QueryStringGenerator or str
        A query of ``servicex.query``, or the selection itself, which needs `codegen`.
    dataset : servicex.dataset_identifier.DataSetIdentifier
        A dataset of ``servicex.dataset``.
    title : str
        The request's title.
    output_format : {"root-ttree", "root-rntuple", "parquet"}
        The format of the results, as in a specification.
    codegen : str, optional
        The code generator; by default the query's.
    config_path, backend, servicex_name, ignore_local_cache
        As in `deliver`.

    Returns
    -------
    str
        The request's id, for `from_servicex`.

    Raises
    ------
    MissingExtraError
        If the official client is not installed.
    InvalidArgumentError
        If the query, the dataset, the format or another argument is not valid.
    ConfigError
        If ``servicex.yaml`` is missing or invalid, or lacks the backend.
    BackendError
        If the backend cannot be reached, rejects the token or refuses the request.

    Examples
    --------
    >>> from servicex import dataset, query  # doctest: +SKIP
    >>> request_id = submit(  # doctest: +SKIP
    ...     query.UprootRaw({"treename": "events"}),
    ...     dataset.FileList(["root://host//ttbar.root"]),
    ... )
    """
    spec = parse_spec(
        {
            "General": {"OutputFormat": output_format},
            "Sample": [{"Name": title, "Dataset": dataset, "Query": query, "Codegen": codegen}],
        }
    )
    with closing(frontend_of(config_path, backend_name(backend, servicex_name))) as frontend:
        (outcome,) = loop_thread().run(
            submit_samples(
                frontend,
                spec,
                ignore_local_cache=ignore_local_cache,
                max_failed=1.0,
                wait=False,
            )
        )
    if isinstance(outcome, ServiceXLayerError):
        raise outcome
    return outcome.request_id
