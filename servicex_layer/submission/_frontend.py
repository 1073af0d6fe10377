"""The official client, as far as it is used: it reads specifications, submits, and remembers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
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

__all__ = ["Official", "parse_spec"]


def parse_spec(spec: ServiceXSpec | Mapping[str, Any] | str | Path) -> ServiceXSpec:
    """Read a specification, as ``servicex.deliver`` takes it.

    Raises
    ------
    MissingExtraError
        Where the official client is not installed.
    InvalidArgumentError
        Where it is none.
    """
    with _installed():
        from servicex import ServiceXSpec
    if isinstance(spec, ServiceXSpec):
        return spec.model_copy(deep=True)
    content = _read(Path(spec)) if isinstance(spec, str | Path) else spec
    if not isinstance(content, Mapping):
        raise InvalidArgumentError(
            f"A ServiceX specification is a mapping with the key Sample, not {content!r}."
        )
    try:
        return ServiceXSpec(**content)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidArgumentError(f"This is no ServiceX specification: {error}") from error


def _read(path: Path) -> Any:
    from ruamel.yaml.error import YAMLError
    from servicex.yaml_parser import YAML

    parser: Any = YAML()
    for group in ("servicex.query", "servicex.dataset"):
        for entry in entry_points(group=group):
            parser.register_class(entry.load())
    try:
        return parser.load(path)
    except OSError as error:
        raise InvalidArgumentError(
            f"The ServiceX specification {path} cannot be read: {error.strerror}."
        ) from error
    except (YAMLError, ValueError) as error:
        raise InvalidArgumentError(
            f"The ServiceX specification {path} is no good YAML: {error}"
        ) from error


class Official:
    """The official client for one backend; to be closed.

    Parameters
    ----------
    config_path : pathlib.Path
        The ``servicex.yaml``.
    backend : Backend
        The backend in it.

    Raises
    ------
    MissingExtraError
        Where the official client is not installed.
    """

    config_path: Path
    backend: Backend

    def __init__(self, config_path: Path, backend: Backend) -> None:
        with _installed():
            from servicex.servicex_client import ServiceXClient
        self.config_path = config_path
        self.backend = backend
        with self._explained():
            self._client = ServiceXClient(backend=backend.name, config_path=str(config_path))

    def close(self) -> None:
        """Close the file of the local cache."""
        self._client.query_cache.close()

    async def check_names(self, spec: ServiceXSpec) -> None:
        """Shorten names that are too long or refuse them, as the backend wants it; refuse twins."""
        with self._explained():
            limit = await self._client.servicex.get_servicex_sample_title_limit()
        try:
            for sample in spec.Sample:
                sample.validate_title(limit)
        except ValueError as error:
            raise InvalidArgumentError(f"{error}. Shorten it.") from error
        names = Counter(sample.Name for sample in spec.Sample)
        twice = [name for name, times in names.items() if times > 1]
        if twice:
            raise InvalidArgumentError(
                f"Several samples of the specification are called {', '.join(twice)}; give each a "
                "name of its own."
            )

    def request(self, sample: Any, general: Any) -> Any:
        """Make the request of a sample.

        Raises
        ------
        InvalidArgumentError
            Where that cannot be.
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
                f"The sample {sample.Name!r} has no good query: {error}."
            ) from error

    def cached(self, request: Any) -> str | None:
        """Find the id of the same request in the local cache, finished there or not."""
        cache, which = self._client.query_cache, request.compute_hash()
        with self._explained():
            if cache.is_transform_request_submitted(which):
                return str(cache.get_transform_request_id(which))
            record = cache.get_transform_by_hash(which)
        return None if record is None else str(record.request_id)

    async def submit(self, request: Any) -> str:
        """Submit a request, remember it in the local cache, and give its id."""
        cache, which = self._client.query_cache, request.compute_hash()
        with self._explained():
            known = await self._client.servicex.get_code_generators_async()
            if request.codegen not in known:
                raise InvalidArgumentError(
                    f"The ServiceX backend {self.backend.name} has no code generator "
                    f"{request.codegen!r}, but {', '.join(sorted(known))}."
                )
            request_id = await self._client.servicex.submit_transform(request)
            cache.delete_record_by_hash(which)
            cache.cache_submitted_transform(request, request_id)
        return str(request_id)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Make errors of this package of the client's."""
        from servicex.query_cache import CacheException
        from servicex.servicex_adapter import AuthorizationError as Unauthorized

        who = f"The ServiceX backend {self.backend.name} at {self.backend.url}"
        try:
            yield
        except InvalidArgumentError:
            raise
        except Unauthorized as error:
            raise AuthorizationError(
                f"{who}: {error}. Get a new token from its web page and put it into "
                f"{self.config_path}."
            ) from error
        except ValueError as error:
            raise InvalidArgumentError(f"{who}: {error}.") from error
        except (CacheException, OSError, RuntimeError, httpx.HTTPError) as error:
            raise BackendError(f"{who}: {error!r} in the official client.") from error


@contextmanager
def _installed() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"deliver and submit need {error.name}, which is not installed: "
            'pip install "servicex_layer[servicex]"'
        ) from error
