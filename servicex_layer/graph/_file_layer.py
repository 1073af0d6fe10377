"""The layer whose tasks wait for the files of a request."""

from __future__ import annotations

import copy
import html
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import dask
from dask._task_spec import Task
from dask.highlevelgraph import Layer, MaterializedLayer
from dask.typing import Key

from servicex_layer._model import FILE_LAYER
from servicex_layer.errors import InvalidArgumentError
from servicex_layer.feed import register_callback
from servicex_layer.graph._await_file import AwaitFile

if TYPE_CHECKING:
    pass

__all__ = ["SXFileLayer", "request_info", "shortened"]


class SXFileLayer(Layer):
    """Waits for the files of a request: task N gives the N-th file to be finished.

    It holds the request's id and the number of partitions, nothing live and nothing secret, and
    makes its tasks when they are asked for.

    Parameters
    ----------
    request_id : str
        The request.
    npartitions : int
        The number of files of the request; with more, the last partitions are empty.
    backend : str, optional
        The backend's name in ``servicex.yaml``; by default its default.
    on_failed : {"skip", "raise"}
        Whether failed files leave empty partitions at the end, or are an error.
    max_failed : float
        With ``"skip"``: the fraction (0 to 1) of the files beyond which they are an error as well.

    Raises
    ------
    InvalidArgumentError
        Where an argument has an impossible value.

    See Also
    --------
    UprootLoadLayer : reads the files.
    servicex_layer.from_servicex : makes an array with both.

    Examples
    --------
    >>> files = SXFileLayer("5f1c0d3e", 3)
    >>> len(files)
    3
    >>> files.name == SXFileLayer("5f1c0d3e", 3).name
    True
    """

    request_id: str
    npartitions: int
    backend: str | None
    on_failed: str
    max_failed: float
    name: str
    await_file: AwaitFile
    # In order; of constant size where all are there, and quick to look up in any case.
    _numbers: range | dict[int, None]

    def __init__(
        self,
        request_id: str,
        npartitions: int,
        *,
        backend: str | None = None,
        on_failed: str = "skip",
        max_failed: float = 1.0,
    ) -> None:
        _check(request_id, npartitions, on_failed, max_failed)
        super().__init__()
        self.request_id = request_id
        self.npartitions = npartitions
        self.backend = backend
        self.on_failed = on_failed
        self.max_failed = max_failed
        token = dask.base.tokenize(request_id, npartitions, backend, on_failed, max_failed)
        self.name = f"{FILE_LAYER}-{token}"
        self._numbers = range(npartitions)
        most = max_failed if on_failed == "skip" else 0.0
        self.await_file = AwaitFile(self.name, request_id, backend, npartitions, most)
        register_callback()

    def __repr__(self) -> str:
        return f"SXFileLayer<{self.request_id} {len(self)} of {self.npartitions} files>"

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Key]:
        return ((self.name, number) for number in self._numbers)

    def __getitem__(self, key: Key) -> Task:
        if key not in self:
            raise KeyError(key)
        return Task(key, self.await_file, _number(key))

    def __contains__(self, key: object) -> bool:
        return (
            isinstance(key, tuple)
            and len(key) == 2
            and key[0] == self.name
            and key[1] in self._numbers
        )

    def items(self) -> Any:
        """Give keys with their tasks."""
        return {key: self[key] for key in self}.items()

    def is_materialized(self) -> bool:
        """See `dask.highlevelgraph.Layer.is_materialized`."""
        return False

    def get_output_keys(self) -> set[Key]:
        """See `dask.highlevelgraph.Layer.get_output_keys`."""
        return set(self)

    def get_dependencies(self, key: Key, all_hlg_keys: Any) -> set[Key]:
        """See `dask.highlevelgraph.Layer.get_dependencies`."""
        del key, all_hlg_keys
        return set()

    def cull(self, keys: set[Key], all_hlg_keys: Any) -> tuple[SXFileLayer, Mapping[Key, set[Key]]]:
        """See `dask.highlevelgraph.Layer.cull`."""
        del all_hlg_keys
        register_callback()
        numbers = sorted(_number(key) for key in keys if key in self)
        culled = self
        if len(numbers) != len(self):
            culled = copy.copy(self)
            culled._numbers = _compact(numbers)
        return culled, {(self.name, number): set() for number in numbers}

    def layer_info_dict(self) -> dict[str, str]:
        """Say what is in it, for the notebook's view of the graph."""
        told: dict[str, str] = super().layer_info_dict()  # type: ignore[no-untyped-call]
        return told | request_info(self)

    def mock(self) -> MaterializedLayer:
        """Give a stand-in that waits for nothing; dask-awkward traces columns with it."""
        return MaterializedLayer({(self.name, 0): None})


def request_info(files: SXFileLayer) -> dict[str, str]:
    told = {
        "request": files.request_id,
        "backend": files.backend or "the default",
        "partitions": str(files.npartitions),
    }
    return shortened(told)


def shortened(told: Mapping[str, str]) -> dict[str, str]:
    # A tree may have thousands of columns.
    return {
        name: html.escape(textwrap.shorten(text, 400, placeholder=" …"))
        for name, text in told.items()
    }


def _number(key: Key) -> int:
    _, number = cast("tuple[str, int]", key)
    return number


def _compact(numbers: list[int]) -> range | dict[int, None]:
    if numbers and numbers[-1] - numbers[0] == len(numbers) - 1:
        return range(numbers[0], numbers[-1] + 1)
    return dict.fromkeys(numbers)


def _check(request_id: object, npartitions: object, on_failed: object, max_failed: object) -> None:
    if not isinstance(request_id, str) or not request_id:
        raise InvalidArgumentError(
            f"request_id={request_id!r} is no request's id; ServiceX gives a text like "
            "'b5901cca-9858-42e7-a093-0929cf391f0e'."
        )
    if not isinstance(npartitions, int) or isinstance(npartitions, bool) or npartitions < 0:
        raise InvalidArgumentError(
            f"npartitions={npartitions!r} is no number of files; give an integer of at least 0."
        )
    if on_failed not in ("skip", "raise"):
        raise InvalidArgumentError(f"on_failed={on_failed!r} is neither 'skip' nor 'raise'.")
    if not isinstance(max_failed, int | float) or not 0 <= max_failed <= 1:
        raise InvalidArgumentError(
            f"max_failed={max_failed!r} is no fraction of the files; give a number from 0 to 1."
        )
    if on_failed == "raise" and max_failed != 1:
        raise InvalidArgumentError(
            f"max_failed={max_failed!r} goes with on_failed='skip'; 'raise' allows no failed file."
        )
