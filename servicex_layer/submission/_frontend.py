"""The official client (the package ``servicex``), as far as this package uses it.

Its request objects, adapter and query cache are not documented: this module and `_spec` are the
only ones that touch them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from servicex_layer._model import Backend
from servicex_layer.errors import (
    AuthorizationError,
    BackendError,
    InvalidArgumentError,
    MissingExtraError,
)

if TYPE_CHECKING:
    from servicex import ServiceXSpec

__all__ = ["EarlierRequest", "Frontend", "frontend_installed"]


@dataclass(frozen=True)
class EarlierRequest:
    """A request of the local cache: its id, and the hash of its query and dataset."""

    request_id: str
    request_hash: str

    def has_dataset_of(self, request: Any, selection: str) -> bool:
        """Return whether this request, of this selection, has the dataset of another one."""
        same = request.model_copy(update={"selection": selection})
        return bool(same.compute_hash() == self.request_hash)


class Frontend:
    """The official client for one backend. Call `close` after use.

    Parameters
    ----------
    config_path : pathlib.Path
        The path of ``servicex.yaml``.
    backend : Backend
        A backend in it.

    Raises
    ------
    MissingExtraError
        If the official client is not installed.
    """

    config_path: Path
    backend: Backend

    def __init__(self, config_path: Path, backend: Backend) -> None:
        with frontend_installed():
            from servicex.servicex_client import ServiceXClient
        self.config_path = config_path
        self.backend = backend
        with self._own_errors():
            self._client = ServiceXClient(backend=backend.name, config_path=str(config_path))

    def close(self) -> None:
        """Close the file of the local cache."""
        self._client.query_cache.close()

    async def check_names(self, spec: ServiceXSpec) -> None:
        """Check that the samples have different names, none too long for the backend.

        For a backend that states no limit, the official client cuts names to 128 characters.

        Raises
        ------
        InvalidArgumentError
            If a name is too long, or two samples have the same.
        """
        with self._own_errors():
            limit = await self._client.servicex.get_servicex_sample_title_limit()
        try:
            for sample in spec.Sample:
                sample.validate_title(limit)
        except ValueError as error:
            raise InvalidArgumentError(f"{error}. Shorten it.") from error
        counts = Counter(sample.Name for sample in spec.Sample)
        repeated = [name for name, count in counts.items() if count > 1]
        if repeated:
            raise InvalidArgumentError(
                f"Several samples of the specification have the name {', '.join(repeated)}. "
                "Give each sample a different name."
            )

    def request(self, sample: Any, general: Any) -> Any:
        """Return the request of a sample, as the official client submits it.

        Raises
        ------
        InvalidArgumentError
            If the sample has no valid query.
        """
        try:
            return self._client.generic_query(
                sample.dataset_identifier,
                sample.Query,
                codegen=sample.Codegen or general.Codegen,
                title=sample.Name,
                result_format=general.OutputFormat.to_ResultFormat(),
            ).transform_request
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidArgumentError(
                f"The query of the sample {sample.Name!r} is not valid: {error}."
            ) from error

    def cached_request_id(self, request: Any) -> str | None:
        """Return the id of an equal request in the local cache, running or complete."""
        cache, request_hash = self._client.query_cache, request.compute_hash()
        with self._own_errors():
            if cache.is_transform_request_submitted(request_hash):
                return str(cache.get_transform_request_id(request_hash))
            record = cache.get_transform_by_hash(request_hash)
        return None if record is None else str(record.request_id)

    def earlier_requests(self, request: Any) -> list[EarlierRequest]:
        """Return the requests of the local cache with the same codegen and format, latest first.

        The cache holds neither their datasets nor their queries.
        """
        cache = self._client.query_cache
        with self._own_errors():
            ended = [dict(record) for record in cache.cached_queries()]
            running = cache.queries_in_state("SUBMITTED")
        records = [
            record
            for record in [*ended, *running]
            if record.get("codegen") == request.codegen
            and record.get("result_format") == request.result_format
        ]
        records.sort(key=lambda record: str(record.get("submit_time")), reverse=True)
        return [EarlierRequest(str(record["request_id"]), record["hash"]) for record in records]

    async def submit(self, request: Any) -> str:
        """Submit a request, add it to the local cache, and return its id.

        Raises
        ------
        InvalidArgumentError
            If the backend lacks the code generator, or refuses the request.
        BackendError
            If the backend cannot be reached, or rejects the token.
        """
        cache, request_hash = self._client.query_cache, request.compute_hash()
        with self._own_errors():
            codegens = await self._client.servicex.get_code_generators_async()
            if request.codegen not in codegens:
                raise InvalidArgumentError(
                    f"The ServiceX backend {self.backend.name} has no code generator "
                    f"{request.codegen!r}. It has {', '.join(sorted(codegens))}."
                )
            request_id = await self._client.servicex.submit_transform(request)
            cache.delete_record_by_hash(request_hash)
            cache.cache_submitted_transform(request, request_id)
        return str(request_id)

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        """Translate errors of the official client into those of this package."""
        from servicex.query_cache import CacheException
        from servicex.servicex_adapter import AuthorizationError as FrontendAuthorizationError

        context = f"The ServiceX backend {self.backend.name} at {self.backend.url}"
        try:
            yield
        except InvalidArgumentError:
            raise
        except FrontendAuthorizationError as error:
            raise AuthorizationError(
                f"{context}: {error}. Get a new token from its web page and put it into "
                f"{self.config_path}."
            ) from error
        except ValueError as error:
            raise InvalidArgumentError(f"{context}: {error}.") from error
        except (CacheException, OSError, RuntimeError, httpx.HTTPError) as error:
            raise BackendError(f"{context}: the official client failed: {error!r}.") from error


@contextmanager
def frontend_installed() -> Iterator[None]:
    """Turn a failed import of the official client into a `MissingExtraError`."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"deliver and submit need {error.name}, which is not installed: "
            'pip install "servicex_layer[servicex]"'
        ) from error
