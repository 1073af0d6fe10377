"""The layer whose tasks read the files that an `SXFileLayer` waits for."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any

import awkward as ak
import dask
from awkward.forms import Form
from dask.base import clone_key
from dask.blockwise import Blockwise
from dask.typing import Key

from servicex_layer.forms import as_form
from servicex_layer.graph._dask_awkward import stand_in_layer
from servicex_layer.graph._dask_tasks import Numbers, call_with_blocks, forget_tasks, reference
from servicex_layer.graph._extensions import extend_dask_awkward
from servicex_layer.graph._file_layer import SXFileLayer, request_info
from servicex_layer.graph._form_mapping import ReadWithFormMapping
from servicex_layer.graph._input_layer import NamedProjection
from servicex_layer.graph._layer_info import as_html
from servicex_layer.graph._read_task import ReadFile
from servicex_layer.graph._record import record_meta

if TYPE_CHECKING:
    from dask_awkward.layers import AwkwardInputLayer
    from uproot import ImplementsFormMapping

__all__ = ["UprootLoadLayer"]

_LABEL = "servicex-load"


class UprootLoadLayer(NamedProjection):
    """Read the files that an `SXFileLayer` waits for: one partition each, or several to one.

    If dask-awkward is installed, this is an input layer of dask-awkward that has a dependency.
    Optimization replaces it by a layer that reads only the columns that a computation needs.
    Otherwise it reads all the columns of `form`.

    Parameters
    ----------
    files : SXFileLayer
        The layer that it depends on.
    form : awkward.forms.Form or str
        The form of an event: a record form, or a datashape such as ``"{JetPt: var * float64}"``.
    tree : str, optional
        Name of the tree. Defaults to the only tree of each file.
    behavior : mapping, optional
        The array's behavior, as in `awkward.Array`.
    form_mapping : uproot.ImplementsFormMapping, optional
        Called with the form of the tree; returns another form, and the object that makes its
        buffers. For ROOT files only.
    fuse : bool
        Whether the tasks of this layer also wait, so that the graph needs no `files` layer. This is
        quicker if the request is finished; if it is running, each waiting task needs a thread.
    report : bool
        Whether each task returns a pair: the partition, and a record of what happened to it
        (`servicex_layer.report.record`), or the records of its files.

    Raises
    ------
    FormError
        If `form` is not the form of a record.

    See Also
    --------
    servicex_layer.from_servicex : Make an array from both.

    Examples
    --------
    >>> files = SXFileLayer("5f1c0d3e", 3)
    >>> load = UprootLoadLayer(files, form="{JetPt: var * float64}", tree="treeme")
    >>> load.npartitions
    3
    >>> load.meta.fields
    ['JetPt']
    >>> from dask.highlevelgraph import HighLevelGraph
    >>> graph = HighLevelGraph(
    ...     {files.name: files, load.name: load}, {files.name: set(), load.name: {files.name}}
    ... )

    With dask-awkward, an array:

    >>> import dask_awkward as dak  # doctest: +SKIP
    >>> array = dak.lib.core.new_array_object(  # doctest: +SKIP
    ...     graph, load.name, meta=load.meta, npartitions=load.npartitions
    ... )

    Without, the partitions:

    >>> client.get(graph, [(load.name, n) for n in range(load.npartitions)])  # doctest: +SKIP
    """

    npartitions: int
    files: SXFileLayer
    fuse: bool
    # The key of a task that must end before files are read; see `dask.graph_manipulation.bind`.
    bound_to: Key | None
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
        record_form = as_form(form)
        source = (files.request, record_form, tree)
        await_file = files.await_file if fuse else None
        reader: ReadFile | ReadWithFormMapping
        if form_mapping is None:
            reader = ReadFile(*source, behavior=behavior, await_file=await_file, report=report)
        else:
            reader = ReadWithFormMapping(
                *source, form_mapping, behavior=behavior, await_file=await_file, report=report
            )
        token = dask.base.tokenize(
            files.name, record_form.to_json(), tree, behavior, form_mapping, fuse, report
        )
        self.fuse = fuse
        self._set_up(f"{_LABEL}-{token}", files, reader)
        extend_dask_awkward()

    def _set_up(
        self,
        name: str,
        files: SXFileLayer,
        reader: ReadFile | ReadWithFormMapping,
        *,
        bound_to: Key | None = None,
    ) -> None:
        # The attributes of an AwkwardInputLayer, whose own __init__ allows no dependency.
        self.name = name
        self.io_func = reader
        self.inputs = range(files.npartitions)
        self.label = _LABEL
        self.produces_tasks = False
        self.creation_info = None
        self._is_projectable = None
        self.npartitions = files.npartitions
        self.files = files
        self.bound_to = bound_to
        source: Any = Numbers(files.npartitions) if self.fuse else files.name
        indices: list[Any] = [(source, "i")]
        if bound_to is not None:
            indices.append((reference(bound_to), None))
        Blockwise.__init__(
            self,
            output=name,
            output_indices="i",
            task=call_with_blocks(name, reader, len(indices)),
            indices=indices,
            numblocks={} if self.fuse else {files.name: (files.npartitions,)},
        )

    def __getstate__(self) -> dict[str, Any]:
        # dask-awkward doesn't project a layer that was pickled, as it may have lost its typetracer.
        # This one has not, and from 2025.4 on Dask optimizes on the scheduler, after pickling.
        state: dict[str, Any] = dict(self.__dict__)
        state.pop("has_been_unpickled", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        extend_dask_awkward()

    def __repr__(self) -> str:
        per_partition = self.files.files_per_partition
        each = "" if per_partition == 1 else f", {per_partition} files each"
        return f"UprootLoadLayer<{self.files.request_id} {len(self)} partitions{each}>"

    def layer_info_dict(self) -> dict[str, str]:
        """Return what a notebook's view of the graph shows."""
        reader = self.io_func
        columns = reader.form.columns() if reader.columns is None else sorted(reader.columns)
        reading = {
            "tree": reader.tree or "the only one",
            "form": str(reader.form.type),
            "columns": ", ".join(columns) or "none",
        }
        info: dict[str, str] = super().layer_info_dict()  # type: ignore[no-untyped-call]
        return info | request_info(self.files) | as_html(reading)

    @property
    def meta(self) -> ak.Array:
        """The array without its data, as `new_array_object` takes it."""
        return self.io_func.mock()

    def mock(self) -> AwkwardInputLayer:
        """Return a layer that reads nothing; see `AwkwardInputLayer.mock`."""
        return self._stand_in(self.meta)

    def prepare_for_projection(self) -> tuple[AwkwardInputLayer, Any, Any]:
        """Return a layer that reports touched buffers; see the method of `AwkwardInputLayer`."""
        meta, report, state = self.io_func.prepare_for_projection()
        return self._stand_in(meta), report, state

    def _stand_in(self, meta: ak.Array) -> AwkwardInputLayer:
        value = (meta, record_meta()) if self.io_func.report else meta
        return stand_in_layer(self.name, self.npartitions, value, _LABEL)

    def project(self, report: Any, state: Any) -> UprootLoadLayer:
        """Return a layer that reads what was touched; see `AwkwardInputLayer.project`."""
        return self._with_reader(self.io_func.project(report=report, state=state))

    def project_manually(self, columns: frozenset[str]) -> UprootLoadLayer:
        """Return a layer that reads these columns; see `AwkwardInputLayer.project_manually`."""
        return self._with_reader(self.io_func.project_manually(columns))

    def projection(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the columns and the lists of which only lengths are read."""
        reader = self.io_func
        return tuple(sorted(reader.columns)), tuple(sorted(reader.offsets_only))

    def renamed(self, rename: Callable[[Any], Any]) -> UprootLoadLayer:
        """Return a copy in which keys and names of layers are replaced."""
        return self._copy(
            rename(self.name),
            self.io_func,
            files=self.files.renamed(rename),
            bound_to=rename(self.bound_to),
        )

    def clone(
        self, keys: set[Key], seed: Hashable, bind_to: Key | None = None
    ) -> tuple[UprootLoadLayer, bool]:
        """See `dask.highlevelgraph.Layer.clone`."""
        files, _ = self.files.clone(keys, seed, bind_to)
        # Without a layer of files before it, this one is a leaf of the graph, and is bound.
        is_bound = self.fuse and bind_to is not None
        cloned = self._copy(
            clone_key(self.name, seed),
            self.io_func,
            files=files,
            bound_to=bind_to if is_bound else self.bound_to,
        )
        return cloned, is_bound

    def _with_reader(self, reader: ReadFile | ReadWithFormMapping) -> UprootLoadLayer:
        return self._copy(self.name, reader, files=self.files, bound_to=self.bound_to)

    def _copy(
        self,
        name: str,
        reader: ReadFile | ReadWithFormMapping,
        *,
        files: SXFileLayer,
        bound_to: Key | None,
    ) -> UprootLoadLayer:
        layer = copy.copy(self)
        forget_tasks(layer)
        layer._set_up(name, files, reader, bound_to=bound_to)
        layer.output_blocks = self.output_blocks
        layer.annotations = self.annotations
        return layer
