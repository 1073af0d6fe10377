"""Submission of the samples of a specification, through the local cache of the official client."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servicex_layer._config import config_file, find_backend, seconds
from servicex_layer._model import TransformStatus
from servicex_layer.backend import RestClient
from servicex_layer.errors import ServiceXLayerError, UnknownRequestError
from servicex_layer.graph import wait_for_file_count
from servicex_layer.query import DerivedQuery
from servicex_layer.submission._earlier import holds
from servicex_layer.submission._frontend import Frontend

if TYPE_CHECKING:
    from servicex import ServiceXSpec

__all__ = ["frontend_of", "submit_samples"]

logger = logging.getLogger(__name__)

# Each costs a call to the backend.
_MOST_EARLIER_REQUESTS = 20


def frontend_of(config_path: str | Path | None, backend: str | None) -> Frontend:
    """Return the official client for a backend of ``servicex.yaml``."""
    path = config_file(config_path)
    return Frontend(path, find_backend(backend, path))


async def submit_samples(
    frontend: Frontend,
    spec: ServiceXSpec,
    *,
    ignore_local_cache: bool,
    max_failed: float,
    wait: bool = True,
    derived: Mapping[str, DerivedQuery] | None = None,
) -> list[TransformStatus | ServiceXLayerError]:
    """Submit the samples that the local cache lacks, all at the same time.

    Parameters
    ----------
    frontend : Frontend
        The official client.
    spec : servicex.ServiceXSpec
        The specification.
    ignore_local_cache : bool
        Whether to submit all samples again.
    max_failed : float
        The fraction (0 to 1) of failed files up to which a request of the cache is reused. If all
        files failed, it is not.
    wait : bool
        Whether to wait until the number of files is final.
    derived : mapping of str to DerivedQuery, optional
        The queries of samples, by name, that were derived from analyses: an earlier request that
        holds what such a query needs is used in its place.

    Returns
    -------
    list of TransformStatus or ServiceXLayerError
        The status of each sample's request, or why it could not be submitted.
    """
    ignore_local_cache = ignore_local_cache or spec.General.IgnoreLocalCache
    rest = RestClient(frontend.backend, seconds("retry-timeout") or 0.0)
    async with rest.connected():
        # Fail early: the official client retries for minutes if a backend can't be reached.
        await rest.capabilities()
        await frontend.check_names(spec)

        async def submit(sample: Any) -> TransformStatus:
            request = frontend.request(sample, spec.General)
            status = None
            if not (ignore_local_cache or sample.IgnoreLocalCache):
                status = await _cached_status(frontend, rest, request, max_failed)
                query = (derived or {}).get(sample.Name)
                if status is None and query is not None:
                    status = await _earlier_status(frontend, rest, request, query, max_failed)
            if status is None:
                status = await rest.status(await frontend.submit(request))
            return await wait_for_file_count(rest, status.request_id) if wait else status

        outcomes = await asyncio.gather(*map(submit, spec.Sample), return_exceptions=True)
    return [_status_or_own_error(outcome) for outcome in outcomes]


def _status_or_own_error(
    outcome: TransformStatus | BaseException,
) -> TransformStatus | ServiceXLayerError:
    if isinstance(outcome, BaseException) and not isinstance(outcome, ServiceXLayerError):
        raise outcome
    return outcome


async def _cached_status(
    frontend: Frontend, rest: RestClient, request: Any, max_failed: float
) -> TransformStatus | None:
    """Return the status of an equal request in the local cache if it can be reused."""
    request_id = frontend.cached_request_id(request)
    return None if request_id is None else await _usable_status(rest, request_id, max_failed)


async def _earlier_status(
    frontend: Frontend, rest: RestClient, request: Any, query: DerivedQuery, max_failed: float
) -> TransformStatus | None:
    """Return the status of an earlier request of the dataset that holds what a query needs."""
    for earlier in frontend.earlier_requests(request)[:_MOST_EARLIER_REQUESTS]:
        try:
            selection = await rest.selection(earlier.request_id)
        except UnknownRequestError:
            continue
        if not (earlier.has_dataset_of(request, selection) and holds(selection, query)):
            continue
        status = await _usable_status(rest, earlier.request_id, max_failed)
        if status is not None:
            logger.info(
                "Request %s of the same dataset holds all that %r needs: nothing is submitted.",
                earlier.request_id,
                request.title,
            )
            return status
    return None


async def _usable_status(
    rest: RestClient, request_id: str, max_failed: float
) -> TransformStatus | None:
    """Return the status of a request if its results can be used."""
    try:
        status = await rest.status(request_id)
    except UnknownRequestError:
        return None
    ended_without_success = status.is_terminal and status.status != "Complete"
    all_failed = status.is_terminal and 0 < status.files <= status.failed
    too_many_failed = status.failed > max_failed * status.files
    return None if ended_without_success or all_failed or too_many_failed else status
