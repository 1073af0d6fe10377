"""The placeholder for a sample that could not be delivered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from servicex_layer.errors import ServiceXLayerError

__all__ = ["FailedSample"]


class FailedSample:
    """Stands in for the array of a failed sample, and raises its error on use.

    Parameters
    ----------
    name : str
        The sample.
    error : ServiceXLayerError
        Why it failed.
    """

    error: ServiceXLayerError

    def __init__(self, name: str, error: ServiceXLayerError) -> None:
        self._name = name
        self.error = error

    def __repr__(self) -> str:
        return f"FailedSample<{self._name!r} {type(self.error).__name__}: {self.error}>"

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith(("_repr_", "__")):
            # Notebooks, copy and pickle probe for these and expect an AttributeError.
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
