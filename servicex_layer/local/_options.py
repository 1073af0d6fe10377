"""The options of a `LocalServiceX`, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from starlette.types import ASGIApp

from servicex_layer.errors import InvalidArgumentError
from servicex_layer.local._faults import Faults
from servicex_layer.local._s3 import S3


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options, as `LocalServiceX` documents them.

    Raises
    ------
    InvalidArgumentError
        If an option is out of range.
    """

    directory: Path | None
    name: str
    port: int
    parallelism: int
    delay: float
    lookup_time: float
    seed: int
    authentication: bool
    token_lifetime: float
    url_lifetime: float
    file_headers: Mapping[str, str]
    faults: Faults
    store: S3 | Literal["s3"] | None
    version: Literal[2024] | None
    middleware: Callable[[ASGIApp], ASGIApp] | None

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidArgumentError("name must be a non-empty string")
        if not 0 <= self.port <= 65535:
            raise InvalidArgumentError(f"port must be between 0 and 65535, not {self.port}")
        if self.parallelism < 1:
            raise InvalidArgumentError(f"parallelism must be at least 1, not {self.parallelism}")
        if self.store not in {None, "s3"} and not isinstance(self.store, S3):
            raise InvalidArgumentError(f"store must be 's3', an S3 or None, not {self.store!r}")
        if self.version not in {None, 2024}:
            raise InvalidArgumentError(f"version must be 2024 or None, not {self.version!r}")
        for name in ("delay", "lookup_time", "token_lifetime", "url_lifetime"):
            seconds = getattr(self, name)
            if not 0 <= seconds < float("inf"):
                raise InvalidArgumentError(f"{name} must be at least 0 seconds, not {seconds}")
