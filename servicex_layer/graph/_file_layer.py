"""The layer whose tasks wait for the files of a request."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, cast

import dask
from dask.base import clone_key
from dask.highlevelgraph import MaterializedLayer
from dask.typing import Key

from servicex_layer._model import FILE_LAYER
from servicex_layer.feed import RequestRef, register_callback
from servicex_layer.graph._arguments import (
    validate_failure_policy,
    validate_file_count,
    validate_files_per_partition,
    validate_npartitions,
    validate_request_id,
)
from servicex_layer.graph._await_file import AwaitFile
from servicex_layer.graph._dask_tasks import Task, reference, wait
from servicex_layer.graph._layer_info import as_html
from servicex_layer.graph._lazy_layer import LazyLayer

__all__ = ["SXFileLayer", "request_info"]


class SXFileLayer(LazyLayer):
    """Wait for the files of a request: task N returns the N-th file to be finished.

    With several files per partition, task N returns the N-th group of files. The layer holds the
    request's id and the number of partitions, nothing live and nothing secret. It makes its tasks
    on demand.

    Parameters
    ----------
    request_id : str
        The request.
    npartitions : int
        The number of partitions: that of the request's files, or of groups of `files_per_partition`
        files. If it is larger, the last partitions are empty.
    backend : str, optional
        Name of the backend in ``servicex.yaml``. Defaults to the default backend.
    on_failed : {"skip", "raise"}
        ``"skip"``: failed files leave empty partitions at the end. ``"raise"``: a failed file is
        an error.
    max_failed : float
        The fraction of failed files, from 0 to 1, above which ``"skip"`` is an error, too.
    files_per_partition : int
        The number of files of each partition. With 10, partition 0 holds files 0 to 9.
    file_count : int, optional
        The number of files of the request, if the last partition has fewer files than the others.
        By default that partition waits for the end of the request, in case there are more.

    Raises
    ------
    InvalidArgumentError
        If an argument has an impossible value.

    See Also
    --------
    UprootLoadLayer : Read the files.
    servicex_layer.from_servicex : Make an array from both.

    Examples
    --------
    >>> files = SXFileLayer("5f1c0d3e", 3)
    >>> len(files)
    3
    >>> files.name == SXFileLayer("5f1c0d3e", 3).name
    True

    25 files, in groups of ten:

    >>> SXFileLayer("5f1c0d3e", 3, files_per_partition=10, file_count=25)
    SXFileLayer<5f1c0d3e 3 of 3 partitions, 10 files each>
    """

    request_id: str
    npartitions: int
    backend: str | None
    on_failed: str
    max_failed: float
    files_per_partition: int
    file_count: int
    name: str
    request: RequestRef
    await_file: AwaitFile
    # The key of a task that must end before waits begin; see `dask.graph_manipulation.bind`.
    bound_to: Key | None
    # Sorted. A range pickles to the same size however long it is; lookups are quick in both.
    _numbers: range | dict[int, None]

    def __init__(
        self,
        request_id: str,
        npartitions: int,
        *,
        backend: str | None = None,
        on_failed: str = "skip",
        max_failed: float = 1.0,
        files_per_partition: int = 1,
        file_count: int | None = None,
    ) -> None:
        validate_request_id(request_id)
        validate_npartitions(npartitions)
        validate_failure_policy(on_failed, max_failed)
        validate_files_per_partition(files_per_partition)
        if file_count is None:
            file_count = npartitions * files_per_partition
        validate_file_count(file_count, npartitions, files_per_partition)
        super().__init__()
        self.request_id = request_id
        self.npartitions = npartitions
        self.backend = backend
        self.on_failed = on_failed
        self.max_failed = max_failed
        self.files_per_partition = files_per_partition
        self.file_count = file_count
        token = dask.base.tokenize(
            request_id,
            npartitions,
            backend,
            on_failed,
            max_failed,
            files_per_partition,
            file_count,
        )
        self.name = f"{FILE_LAYER}-{token}"
        self.bound_to = None
        self._numbers = range(npartitions)
        allowed = max_failed if on_failed == "skip" else 0.0
        self.request = RequestRef(request_id, backend)
        self.await_file = AwaitFile(
            self.name, self.request, file_count, allowed, files_per_partition
        )
        register_callback()

    def count_files(self, keys: Iterable[Key]) -> int:
        """Return the number of files in some partitions; the keys may be those of another layer."""
        return sum(len(self.await_file.numbers(_number(key))) for key in keys)

    def __repr__(self) -> str:
        counts = f"{len(self)} of {self.npartitions}"
        if self.files_per_partition == 1:
            return f"SXFileLayer<{self.request_id} {counts} files>"
        each = f"{self.files_per_partition} files each"
        return f"SXFileLayer<{self.request_id} {counts} partitions, {each}>"

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Key]:
        return ((self.name, number) for number in self._numbers)

    def __getitem__(self, key: Key) -> Task:
        if key not in self:
            raise KeyError(key)
        after = () if self.bound_to is None else (reference(self.bound_to),)
        return wait(key, self.await_file, _number(key), *after)

    def __contains__(self, key: object) -> bool:
        return (
            isinstance(key, tuple)
            and len(key) == 2
            and key[0] == self.name
            and key[1] in self._numbers
        )

    def get_dependencies(self, key: Key, all_hlg_keys: Any) -> set[Key]:
        """See `dask.highlevelgraph.Layer.get_dependencies`."""
        del key, all_hlg_keys
        return self._dependencies

    def cull(self, keys: set[Key], all_hlg_keys: Any) -> tuple[SXFileLayer, Mapping[Key, set[Key]]]:
        """See `dask.highlevelgraph.Layer.cull`."""
        del all_hlg_keys
        register_callback()
        kept = [key for key in keys if key in self]
        culled = self
        if len(kept) != len(self):
            culled = copy.copy(self)
            culled._numbers = _compact(sorted(map(_number, kept)))
        # One set for all keys, which Dask only reads: a set for each of many partitions costs more
        # than all else here.
        return culled, dict.fromkeys(kept, self._dependencies)

    def clone(
        self, keys: set[Key], seed: Hashable, bind_to: Key | None = None
    ) -> tuple[SXFileLayer, bool]:
        """See `dask.highlevelgraph.Layer.clone`."""
        if not keys.issuperset(self):
            return self, False
        bound_to = self.bound_to if bind_to is None else bind_to
        return self._copy(clone_key(self.name, seed), bound_to), bind_to is not None

    def renamed(self, rename: Callable[[Any], Any]) -> SXFileLayer:
        """Return a copy in which keys and names of layers are replaced by what `rename` returns."""
        return self._copy(rename(self.name), rename(self.bound_to))

    def _copy(self, name: str, bound_to: Key | None) -> SXFileLayer:
        layer = copy.copy(self)
        layer.name = name
        layer.await_file = self.await_file.renamed(name)
        layer.bound_to = bound_to
        return layer

    @property
    def _dependencies(self) -> set[Key]:
        return set() if self.bound_to is None else {self.bound_to}

    def layer_info_dict(self) -> dict[str, str]:
        """Return what a notebook's view of the graph shows."""
        info: dict[str, str] = super().layer_info_dict()  # type: ignore[no-untyped-call]
        return info | request_info(self)

    def mock(self) -> MaterializedLayer:
        """Return a layer that waits for nothing; dask-awkward traces columns with it."""
        return MaterializedLayer({(self.name, 0): None})


def request_info(files: SXFileLayer) -> dict[str, str]:
    """Return what a notebook's view shows about the request of a layer, as HTML."""
    return as_html(
        {
            "request": files.request_id,
            "backend": files.backend or "the default",
            "partitions": str(files.npartitions),
            "files per partition": str(files.files_per_partition),
        }
    )


def _number(key: Key) -> int:
    _, number = cast("tuple[str, int]", key)
    return number


def _compact(numbers: list[int]) -> range | dict[int, None]:
    if numbers and numbers[-1] - numbers[0] == len(numbers) - 1:
        return range(numbers[0], numbers[-1] + 1)
    return dict.fromkeys(numbers)
