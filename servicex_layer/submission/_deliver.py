"""`deliver`: from a ServiceX specification to lazy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import dask.config

from servicex_layer.errors import ServiceXLayerError
from servicex_layer.feed import loop_thread
from servicex_layer.graph import (
    from_servicex,
    require_dask_awkward,
    validate_failure_policy,
    validate_files_per_partition,
)
from servicex_layer.submission._analyses import derive_queries
from servicex_layer.submission._arguments import backend_name, failure_policy
from servicex_layer.submission._failed_sample import FailedSample
from servicex_layer.submission._samples import frontend_of, submit_samples
from servicex_layer.submission._spec import parse_spec

if TYPE_CHECKING:
    from servicex import ServiceXSpec

__all__ = ["deliver"]


def deliver(
    spec: ServiceXSpec | Mapping[str, Any] | str | Path,
    *,
    config_path: str | Path | None = None,
    backend: str | None = None,
    on_failed: Literal["skip", "raise"] | None = None,
    max_failed: float = 1.0,
    ignore_local_cache: bool = False,
    servicex_name: str | None = None,
    fail_if_incomplete: bool | None = None,
    tree: str | None = None,
    form: Any = None,
    files_per_partition: int = 1,
    report: bool = False,
) -> dict[str, Any]:
    """Return a lazy array for each sample of a ServiceX specification.

    Takes what ``servicex.deliver`` takes, but returns as soon as the numbers of files are known.
    It submits all samples at the same time through the official client and its local cache: a
    query that was submitted before is not submitted again, unless it failed or was deleted.
    Needs the extras ``dask-awkward`` and ``servicex``.

    Parameters
    ----------
    spec : servicex.ServiceXSpec, mapping, str or pathlib.Path
        The specification, or the path of a YAML file that holds one. ``Delivery``,
        ``OutputDirectory`` and ``OutFilesetName`` are ignored, as no file is downloaded. In place
        of ``Query`` a sample may have ``Analysis``, a function of events: its query is derived, as
        in `apply_to_dataset`. Then `form` and `tree` must be those of the input.
    config_path : str or pathlib.Path, optional
        The path of ``servicex.yaml``. It becomes the setting ``config-path`` of this process,
        which computes the arrays later. By default that setting, or else the first
        ``servicex.yaml`` in the usual places.
    backend : str, optional
        The backend's name in ``servicex.yaml``; by default the default backend.
    on_failed : {"skip", "raise"}, default "skip"
        Whether failed files leave empty partitions, with a warning that counts and names them, or
        are an error. If all files of a sample failed, that is an error in any case.
    max_failed : float
        With ``"skip"``: the fraction (0 to 1) of failed files of a sample above which they are an
        error as well.
    ignore_local_cache : bool
        Whether to submit all samples again.
    servicex_name : str, optional
        The official client's name for `backend`.
    fail_if_incomplete : bool, optional
        The official client's name for `on_failed`: ``True`` is ``"raise"``, ``False`` is
        ``"skip"``.
    tree, form, files_per_partition, report
        As in `from_servicex`, the same for all samples. Samples with ``Analysis`` have no report.

    Returns
    -------
    dict
        The name of each sample and what `from_servicex` returns for it; for a sample with
        ``Analysis``, what that returns. A sample that has already failed is a placeholder that
        raises the error on use.

    Raises
    ------
    MissingExtraError
        If dask-awkward or the official client is not installed.
    InvalidArgumentError
        If `spec` or another argument is not valid, or an argument is passed under both names.
    ConfigError
        If ``servicex.yaml`` is missing or invalid, or lacks the backend.
    BackendError
        If the backend cannot be reached, or rejects the token.

    Examples
    --------
    >>> from servicex import dataset, query  # doctest: +SKIP
    >>> samples = deliver(  # doctest: +SKIP
    ...     {
    ...         "Sample": [
    ...             {
    ...                 "Name": "ttbar",
    ...                 "Dataset": dataset.FileList(["root://host//ttbar.root"]),
    ...                 "Query": query.UprootRaw({"treename": "events"}),
    ...             }
    ...         ]
    ...     }
    ... )
    >>> samples["ttbar"].JetPt.compute()  # doctest: +SKIP
    """
    require_dask_awkward("deliver")
    policy = failure_policy(on_failed, fail_if_incomplete)
    # Validate as from_servicex does, before anything is submitted.
    validate_failure_policy(policy, max_failed)
    validate_files_per_partition(files_per_partition)
    spec, analyses = derive_queries(spec, form, tree)
    parsed = parse_spec(spec)
    with closing(frontend_of(config_path, backend_name(backend, servicex_name))) as frontend:
        outcomes = loop_thread().run(
            submit_samples(
                frontend,
                parsed,
                ignore_local_cache=ignore_local_cache,
                max_failed=max_failed if policy == "skip" else 0.0,
                derived={name: sample.query for name, sample in analyses.items()},
            )
        )
    if config_path is not None:
        dask.config.set({"servicex-layer.config-path": str(frontend.config_path)})
    array_of: Any = from_servicex  # its return type depends on the value of `report`
    samples: dict[str, Any] = {}
    for sample, outcome in zip(parsed.Sample, outcomes, strict=True):
        if isinstance(outcome, ServiceXLayerError):
            samples[sample.Name] = FailedSample(sample.Name, outcome)
            continue
        try:
            if sample.Name in analyses:
                samples[sample.Name] = analyses[sample.Name].apply(
                    outcome.request_id,
                    frontend.backend.name,
                    policy,
                    max_failed,
                    files_per_partition,
                )
                continue
            samples[sample.Name] = array_of(
                outcome.request_id,
                frontend.backend.name,
                tree,
                form,
                policy,
                report=report,
                max_failed=max_failed,
                files_per_partition=files_per_partition,
            )
        except ServiceXLayerError as error:
            samples[sample.Name] = FailedSample(sample.Name, error)
    return samples
