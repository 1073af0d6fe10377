"""From a ServiceX specification to arrays: submitted through the official client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import dask.config

from servicex_layer._config import config_file, find_backend, seconds
from servicex_layer._model import TransformStatus
from servicex_layer.backend import RestClient
from servicex_layer.errors import ServiceXLayerError, UnknownRequestError
from servicex_layer.feed import loop_thread
from servicex_layer.graph import from_servicex, wait_for_file_count
from servicex_layer.submission._frontend import Official, parse_spec

if TYPE_CHECKING:
    from servicex import ServiceXSpec

__all__ = ["FailedSample", "deliver", "submit"]


def deliver(
    spec: ServiceXSpec | Mapping[str, Any] | str | Path,
    *,
    config_path: str | Path | None = None,
    servicex_name: str | None = None,
    ignore_local_cache: bool = False,
    fail_if_incomplete: bool = True,
    tree: str | None = None,
    form: Any = None,
    report: bool = False,
) -> dict[str, Any]:
    """Make a lazy array of each sample of a ServiceX specification.

    As ``servicex.deliver``, but it returns as soon as the numbers of files are known. All samples
    are submitted at once, through the official client and with its local cache: what was asked
    before is not submitted again, unless it failed or is gone. Needs the extra ``servicex``.

    Parameters
    ----------
    spec : servicex.ServiceXSpec, mapping, str or pathlib.Path
        The specification, or the path of a YAML file of one. ``Delivery``, ``OutputDirectory`` and
        ``OutFilesetName`` say nothing here, as no file is downloaded.
    config_path : str or pathlib.Path, optional
        The ``servicex.yaml``. Where it is given, it becomes the setting ``config-path`` of this
        process, as the arrays are computed with it later. By default that setting, or else it is
        looked for.
    servicex_name : str, optional
        The backend's name in it; by default its default.
    ignore_local_cache : bool
        Whether all samples are submitted anew.
    fail_if_incomplete : bool
        Whether files that failed are an error, or leave empty partitions: the ``on_failed`` of
        `from_servicex`.
    tree, form, report
        As in `from_servicex`, the same for all samples.

    Returns
    -------
    dict
        Each sample's name, with what `from_servicex` gives for it. For a sample that has failed
        already it is a `FailedSample`, which raises the error where it is used.

    Raises
    ------
    MissingExtraError
        Where the official client is not installed.
    InvalidArgumentError
        Where `spec` is no specification.
    ConfigError
        Where ``servicex.yaml`` or the backend in it is not found.
    BackendError
        Where the backend cannot be reached, or rejects the token.

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
    parsed = parse_spec(spec)
    with closing(_official(config_path, servicex_name)) as official:
        outcomes = loop_thread().run(
            _submit_all(official, parsed, ignore_local_cache, fail_if_incomplete)
        )
    if config_path is not None:
        dask.config.set({"servicex-layer.config-path": str(official.config_path)})
    make: Any = from_servicex  # its type depends on the value of `report`
    samples: dict[str, Any] = {}
    for sample, outcome in zip(parsed.Sample, outcomes, strict=True):
        if isinstance(outcome, ServiceXLayerError):
            samples[sample.Name] = FailedSample(sample.Name, outcome)
            continue
        try:
            samples[sample.Name] = make(
                outcome.request_id,
                official.backend.name,
                tree,
                form,
                "raise" if fail_if_incomplete else "skip",
                report=report,
            )
        except ServiceXLayerError as error:
            samples[sample.Name] = FailedSample(sample.Name, error)
    return samples


def submit(
    query: Any,
    dataset: Any,
    *,
    title: str = "servicex_layer",
    output_format: str = "root-ttree",
    codegen: str | None = None,
    config_path: str | Path | None = None,
    servicex_name: str | None = None,
    ignore_local_cache: bool = False,
) -> str:
    """Submit one query through the official client and give the request's id.

    What was asked before is not submitted again, as with `deliver`. Needs the extra ``servicex``.

    Parameters
    ----------
    query : servicex.query_core.QueryStringGenerator or str
        One of ``servicex.query``, or the selection itself: then `codegen` is needed.
    dataset : servicex.dataset_identifier.DataSetIdentifier
        One of ``servicex.dataset``.
    title : str
        The request's title.
    output_format : {"root-ttree", "root-rntuple", "parquet"}
        The format of the results, as a specification has it.
    codegen : str, optional
        The code generator; by default the query's.
    config_path, servicex_name, ignore_local_cache
        As in `deliver`.

    Returns
    -------
    str
        The request's id, for `from_servicex`.

    Raises
    ------
    MissingExtraError
        Where the official client is not installed.
    InvalidArgumentError
        Where the query, the dataset or the format is none.
    ConfigError
        Where ``servicex.yaml`` or the backend in it is not found.
    BackendError
        Where the backend cannot be reached, rejects the token or does not take the request.
    """
    parsed = parse_spec(
        {
            "General": {"OutputFormat": output_format},
            "Sample": [{"Name": title, "Dataset": dataset, "Query": query, "Codegen": codegen}],
        }
    )
    with closing(_official(config_path, servicex_name)) as official:
        (outcome,) = loop_thread().run(
            _submit_all(official, parsed, ignore_local_cache, fail_if_incomplete=False, wait=False)
        )
    if isinstance(outcome, ServiceXLayerError):
        raise outcome
    return outcome.request_id


class FailedSample:
    """Stands for the array of a sample that has failed, and raises the error where it is used.

    Parameters
    ----------
    name : str
        The sample.
    error : ServiceXLayerError
        What went wrong.
    """

    error: ServiceXLayerError

    def __init__(self, name: str, error: ServiceXLayerError) -> None:
        self._name = name
        self.error = error

    def __repr__(self) -> str:
        return f"FailedSample<{self._name!r} {type(self.error).__name__}: {self.error}>"

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith(("_repr_", "__")):
            # What displays, copies and pickles things asks for these.
            raise AttributeError(name)
        raise self.error

    def __getitem__(self, _: object) -> NoReturn:
        raise self.error

    def __iter__(self) -> Iterator[Any]:
        raise self.error

    def __len__(self) -> NoReturn:
        raise self.error

    def __dask_graph__(self) -> NoReturn:
        raise self.error


def _official(config_path: str | Path | None, servicex_name: str | None) -> Official:
    path = config_file(config_path)
    return Official(path, find_backend(servicex_name, path))


async def _submit_all(
    official: Official,
    spec: ServiceXSpec,
    ignore_local_cache: bool,
    fail_if_incomplete: bool,
    *,
    wait: bool = True,
) -> list[TransformStatus | ServiceXLayerError]:
    """Submit what is not known, and wait until the numbers of files are."""
    ignored = ignore_local_cache or spec.General.IgnoreLocalCache
    rest = RestClient(official.backend, seconds("retry-timeout") or 0.0)
    async with rest.connected():
        # Before the official client, which takes minutes to tell that a backend is not there.
        await rest.capabilities()
        await official.check_names(spec)

        async def submit(sample: Any) -> TransformStatus | ServiceXLayerError:
            asked = official.request(sample, spec.General)
            status = None
            if not (ignored or sample.IgnoreLocalCache):
                status = await _known(official, rest, asked, fail_if_incomplete)
            if status is None:
                status = await rest.status(await official.submit(asked))
            return await wait_for_file_count(rest, status.request_id) if wait else status

        outcomes = await asyncio.gather(*map(submit, spec.Sample), return_exceptions=True)
    return [_checked(outcome) for outcome in outcomes]


def _checked(outcome: Any) -> TransformStatus | ServiceXLayerError:
    if isinstance(outcome, BaseException) and not isinstance(outcome, ServiceXLayerError):
        raise outcome
    checked: TransformStatus | ServiceXLayerError = outcome
    return checked


async def _known(
    official: Official, rest: RestClient, asked: Any, fail_if_incomplete: bool
) -> TransformStatus | None:
    """Find the request of the same query in the local cache, if it is still of use."""
    request_id = official.cached(asked)
    if request_id is None:
        return None
    try:
        status = await rest.status(request_id)
    except UnknownRequestError:
        return None
    failed = status.is_terminal and status.status != "Complete"
    return None if failed or (fail_if_incomplete and status.failed) else status
