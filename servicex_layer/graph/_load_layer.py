"""The layer whose tasks read the files that another waits for."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import awkward as ak
import dask
from awkward.forms import Form
from dask._task_spec import Task, TaskRef
from dask.blockwise import Blockwise, BlockwiseDepDict, blockwise_token
from dask_awkward.layers import AwkwardInputLayer
from dask_awkward.layers.layers import AwkwardTokenizable
from dask_awkward.utils import LazyInputsDict

from servicex_layer.forms import as_form
from servicex_layer.graph._file_layer import SXFileLayer, request_info, shortened
from servicex_layer.graph._form_mapping import ReadWithFormMapping
from servicex_layer.graph._read_task import ReadFile
from servicex_layer.graph._record import record_meta

if TYPE_CHECKING:
    from uproot import ImplementsFormMapping

__all__ = ["UprootLoadLayer"]


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
        return told | request_info(self.files) | shortened(columns_told)

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
