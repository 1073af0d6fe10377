"""The two layers of a graph over a ServiceX request: which file, and what is in it."""

from __future__ import annotations

import copy
import copyreg
import html
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import awkward as ak
import dask
from awkward.forms import Form
from dask._task_spec import Task, TaskRef
from dask.blockwise import Blockwise, BlockwiseDepDict, blockwise_token
from dask.highlevelgraph import Layer, MaterializedLayer
from dask.typing import Key
from dask_awkward.layers import AwkwardInputLayer
from dask_awkward.layers.layers import AwkwardTokenizable
from dask_awkward.lib.core import Array, new_array_object
from dask_awkward.utils import LazyInputsDict

from servicex_layer._model import FILE_LAYER
from servicex_layer.errors import InvalidArgumentError
from servicex_layer.feed import register_callback
from servicex_layer.forms import as_form
from servicex_layer.graph._form_mapping import ReadWithFormMapping
from servicex_layer.graph._record import record_meta
from servicex_layer.graph._tasks import AwaitFile, ReadFile

if TYPE_CHECKING:
    from uproot import ImplementsFormMapping

__all__ = ["SXFileLayer", "UprootLoadLayer"]


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
        return told | _described(self)

    def mock(self) -> MaterializedLayer:
        """Give a stand-in that waits for nothing; dask-awkward traces columns with it."""
        return MaterializedLayer({(self.name, 0): None})


class UprootLoadLayer(AwkwardInputLayer):
    """Reads the files that an `SXFileLayer` waits for: one partition each.

    An input layer of dask-awkward that has a dependency: its optimization tells the layer which
    columns a computation needs, and only these are read.

    Parameters
    ----------
    files : SXFileLayer
        The layer that it depends on.
    form : awkward.forms.Form or str
        What an event looks like: a record form, or a datashape such as
        ``"{JetPt: var * float64}"``.
    tree : str, optional
        The tree's name; by default the only tree of each file.
    behavior : mapping, optional
        The array's behavior, as in `awkward.Array`.
    form_mapping : uproot.ImplementsFormMapping, optional
        Shows the columns in another form, as in `uproot.dask`: called with the form of the tree, it
        gives that form, and what makes its buffers. For ROOT files.
    fuse : bool
        Whether the tasks of this layer wait by themselves, so that the graph needs no `files`
        layer. Quicker where the request is over; where it is not, a wait keeps its thread.
    report : bool
        Whether the tasks give pairs: of the partition, and of a record of what happened to it
        (`servicex_layer.report.record`).

    Raises
    ------
    FormError
        Where no form can be made of `form`.

    See Also
    --------
    servicex_layer.from_servicex : makes an array with both.

    Examples
    --------
    >>> files = SXFileLayer("5f1c0d3e", 3)
    >>> load = UprootLoadLayer(files, form="{JetPt: var * float64}", tree="treeme")
    >>> load.npartitions
    3
    >>> from dask.highlevelgraph import HighLevelGraph
    >>> graph = HighLevelGraph(
    ...     {files.name: files, load.name: load}, {files.name: set(), load.name: {files.name}}
    ... )
    >>> import dask_awkward as dak
    >>> array = dak.lib.core.new_array_object(
    ...     graph, load.name, meta=load.meta, npartitions=load.npartitions
    ... )
    >>> array.fields
    ['JetPt']
    """

    npartitions: int
    files: SXFileLayer
    fuse: bool
    io_func: Any

    def __init__(
        self,
        files: SXFileLayer,
        *,
        form: Form | str,
        tree: str | None = None,
        behavior: Mapping[Any, Any] | None = None,
        form_mapping: ImplementsFormMapping | None = None,
        fuse: bool = False,
        report: bool = False,
    ) -> None:
        record = as_form(form)
        what = (files.request_id, files.backend, record, tree)
        await_file = files.await_file if fuse else None
        reader: ReadFile | ReadWithFormMapping
        if form_mapping is None:
            reader = ReadFile(*what, behavior=behavior, await_file=await_file, report=report)
        else:
            reader = ReadWithFormMapping(
                *what, form_mapping, behavior=behavior, await_file=await_file, report=report
            )
        token = dask.base.tokenize(
            files.name, record.to_json(), tree, behavior, form_mapping, fuse, report
        )
        self._set_up(f"servicex-load-{token}", files, reader, fuse=fuse)

    def _set_up(
        self, name: str, files: SXFileLayer, reader: ReadFile | ReadWithFormMapping, *, fuse: bool
    ) -> None:
        self.name = name
        self.io_func = reader
        self.npartitions = files.npartitions
        self.fuse = fuse
        self.files = files
        # What dask-awkward asks of an input layer.
        self.inputs = range(files.npartitions)
        self.label = "servicex-load"
        self.produces_tasks = False
        self.creation_info = None
        self._is_projectable = None
        source: Any = files.name
        first: Any = blockwise_token(0)  # type: ignore[no-untyped-call]
        if fuse:
            numbers: Any = LazyInputsDict(self.inputs)
            source = BlockwiseDepDict(numbers, numblocks=(files.npartitions,))
        Blockwise.__init__(
            self,
            output=name,
            output_indices="i",
            task=Task(name, reader, TaskRef(first)),
            indices=[(source, "i")],
            numblocks={} if fuse else {files.name: (files.npartitions,)},
        )

    def __repr__(self) -> str:
        return f"UprootLoadLayer<{self.files.request_id} {len(self)} partitions>"

    def layer_info_dict(self) -> dict[str, str]:
        """Say what is in it, for the notebook's view of the graph."""
        reader = self.io_func
        columns = reader.form.columns() if reader.columns is None else sorted(reader.columns)
        columns_told = {
            "tree": reader.tree or "the only one",
            "form": str(reader.form.type),
            "columns": ", ".join(columns) or "none",
        }
        told: dict[str, str] = super().layer_info_dict()  # type: ignore[no-untyped-call]
        return told | _described(self.files) | _shown(columns_told)

    @property
    def meta(self) -> ak.Array:
        """The array without its data: what `new_array_object` wants to know."""
        return self.io_func.mock()

    def mock(self) -> AwkwardInputLayer:
        """Give a stand-in that reads nothing; see `AwkwardInputLayer.mock`."""
        return self._standing_in(self.meta)

    def prepare_for_projection(self) -> tuple[AwkwardInputLayer, Any, Any]:
        """Give a stand-in that tells what is touched; see the method of `AwkwardInputLayer`."""
        meta, report, state = self.io_func.prepare_for_projection()
        return self._standing_in(meta), report, state

    def _standing_in(self, meta: ak.Array) -> AwkwardInputLayer:
        given = (meta, record_meta()) if self.io_func.report else meta
        tokenizable: Any = AwkwardTokenizable
        return AwkwardInputLayer(
            name=self.name,
            inputs=[None][: self.npartitions],
            io_func=tokenizable(given, self.name),
            label=self.label,
        )

    def project(self, report: Any, state: Any) -> UprootLoadLayer:
        """Read only what a computation touches; see `AwkwardInputLayer.project`."""
        return self._reading(self.io_func.project(report=report, state=state))

    def project_manually(self, columns: frozenset[str]) -> UprootLoadLayer:
        """Read only these columns; see `AwkwardInputLayer.project_manually`."""
        return self._reading(self.io_func.project_manually(columns))

    def _reading(self, reader: ReadFile | ReadWithFormMapping) -> UprootLoadLayer:
        layer = copy.copy(self)
        layer._set_up(self.name, self.files, reader, fuse=self.fuse)
        layer.output_blocks = self.output_blocks
        return layer


def _described(files: SXFileLayer) -> dict[str, str]:
    told = {
        "request": files.request_id,
        "backend": files.backend or "the default",
        "partitions": str(files.npartitions),
    }
    return _shown(told)


def _shown(told: Mapping[str, str]) -> dict[str, str]:
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


def _array(
    graph: Any, name: str, form: Form, behavior: Mapping[Any, Any] | None, divisions: Any
) -> Array:
    meta = ak.typetracer.typetracer_from_form(form, behavior=behavior)
    return new_array_object(graph, name, meta=meta, divisions=divisions)


def _reduce(array: Array) -> Any:
    meta = array._meta
    return _array, (array.dask, array.name, meta.layout.form, meta.behavior, array.divisions)


# dask-awkward 2026.2 cannot pickle its arrays: it hands over their metas, in which awkward looks
# for buffers. Their forms are all that is in them.
copyreg.pickle(Array, _reduce)
