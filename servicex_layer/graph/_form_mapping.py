"""Another view of a result's columns, by Uproot's form mapping protocol; coffea's schemas are such.

A form mapping is called with the form of a tree. It gives the form of what the user wants to see,
and an object that makes the buffers of this form of the tree's columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from awkward.forms import Form, RecordForm
from awkward.typetracer import typetracer_from_form, typetracer_with_report
from dask_awkward.lib.utils import buffer_keys_required_to_compute_shapes, trace_form_structure

from servicex_layer.errors import InvalidArgumentError, ResultError, SchemaMismatchError
from servicex_layer.graph._await_file import AwaitFile
from servicex_layer.graph._read_task import ReadTask
from servicex_layer.reading import (
    datashape_of,
    missing_column_error,
    open_result,
    open_table,
    placeholder,
    select_columns,
)
from servicex_layer.transport import ResultSource

if TYPE_CHECKING:
    from uproot import ImplementsFormMapping

    from servicex_layer.reading import RootTree

__all__ = ["ReadWithFormMapping", "check_mappable", "described_form_of"]


class ReadWithFormMapping(ReadTask):
    """Reads columns of a file through a form mapping: one partition.

    Buffers that no column was read for are placeholders.

    Parameters
    ----------
    request_id, backend, form, tree, behavior, await_file, report
        Those of `ReadTask`; `behavior` adds to that of the mapping.
    form_mapping : uproot.ImplementsFormMapping
        What is called with the form.
    """

    columns: frozenset[str]

    def __init__(
        self,
        request_id: str,
        backend: str | None,
        form: RecordForm,
        tree: str | None,
        form_mapping: ImplementsFormMapping,
        *,
        behavior: Mapping[Any, Any] | None = None,
        await_file: AwaitFile | None = None,
        report: bool = False,
    ) -> None:
        if not callable(form_mapping):
            raise InvalidArgumentError(
                f"form_mapping={form_mapping!r} cannot be called with a form, as a form mapping is."
            )
        self.expected_form, self.info = form_mapping(_described(form))
        super().__init__(
            request_id,
            backend,
            form,
            tree,
            columns=frozenset(form.fields),
            behavior=_merged(self.info.behavior, behavior),
            await_file=await_file,
            report=report,
        )

    def read(self, source: ResultSource) -> ak.contents.Content:
        """Have the mapping make the buffers of what is wanted of a file."""
        check_mappable(source.file.format)
        opened = open_result(source, self.tree)
        if opened is None:
            return self.empty()
        with opened as table:
            root_tree: Any = table
            self._check(root_tree, source.description)
            buffers = self._buffers(root_tree, source.description)
            return ak.from_buffers(
                self.expected_form,
                table.entries,
                buffers,
                buffer_key=self.info.buffer_key,
                highlevel=False,
            )

    def empty(self) -> ak.contents.Content:
        """Give what the mapping shows of a file of no events."""
        return self.expected_form.length_zero_array(highlevel=False)

    # What dask-awkward asks of an input layer that can be projected.

    def mock(self) -> ak.Array:
        """Give the array without its data."""
        return typetracer_from_form(self.expected_form, behavior=self.behavior)

    def mock_empty(self, backend: str = "cpu") -> ak.Array:
        """Give the array with no events."""
        return ak.to_backend(ak.Array(self.empty(), behavior=self.behavior), backend)

    def prepare_for_projection(self) -> tuple[ak.Array, Any, Any]:
        """Give an array without data that tells in a report what is touched of it."""
        buffer_key = self.info.buffer_key
        meta, report = typetracer_with_report(
            self.expected_form, highlevel=True, behavior=self.behavior, buffer_key=buffer_key
        )
        return meta, report, trace_form_structure(self.expected_form, buffer_key=buffer_key)

    def necessary_columns(self, report: Any, state: Any) -> frozenset[str]:
        """Tell which of the tree's columns are needed for what was touched."""
        shapes = buffer_keys_required_to_compute_shapes(
            self.info.parse_buffer_key,
            report.shape_touched,
            state["form_key_to_parent_form_key"],
            state["form_key_to_buffer_keys"],
        )
        needed = self.info.keys_for_buffer_keys(frozenset({*report.data_touched, *shapes}))
        return self.columns.intersection(needed)

    def project(self, report: Any, state: Any) -> ReadWithFormMapping:
        """Give the same, reading only what is needed for what was touched."""
        return self.project_manually(self.necessary_columns(report, state))

    def project_manually(self, columns: frozenset[str]) -> ReadWithFormMapping:
        """Give the same, reading only these columns."""
        projected = self.project_columns(columns)
        # All that is left to do with it is to check what is read; it goes along with every task.
        projected.form = select_columns(self.form, columns).copy(parameters=None)
        return projected

    def _check(self, table: RootTree, what: str) -> None:
        """Mappings take bytes for what the form says of them: it must be true of this file."""
        there = table.form()
        for name in sorted(self.columns):
            wanted = self.form.content(name)
            if name not in there.fields:
                raise missing_column_error(name, what, there.fields)
            found = there.content(name)
            if _kinds(found) != _kinds(wanted):
                raise SchemaMismatchError(
                    f"The column {name!r} of {what} is {datashape_of(found)}, but the form says "
                    f"{datashape_of(wanted)}. With a form mapping they must be the same."
                )

    def _buffers(self, table: RootTree, what: str) -> dict[str, Any]:
        arguments = (0, table.entries, None, None, {"ak_add_doc": False})
        expected = self.expected_form.expected_from_buffers(buffer_key=self.info.buffer_key)
        sources = {key: self.info.keys_for_buffer_keys(frozenset({key})) for key in expected}
        unread = {key for key, needed in sources.items() if not needed <= self.columns}
        try:
            table.fetch(select_columns(self.form, self.columns))
            loaded = self.info.load_buffers(table.tree, self.columns, *arguments)
            buffers = {key: loaded[key] for key in expected if key not in unread}
        except ResultError:
            raise
        except Exception as error:
            raise ResultError(
                f"{what} cannot be read by {type(self.info).__name__}, the form mapping: "
                f"{type(error).__name__}: {error}"
            ) from error
        replace = getattr(self.info, "buffer_replacements", None)
        if unread and replace is not None:
            needed = frozenset().union(*(sources[key] for key in unread))
            replaced = replace(table.tree, needed, *arguments)
            return buffers | {key: replaced[key] for key in unread}
        return buffers | {key: placeholder(expected[key]) for key in unread}


def check_mappable(result_format: str) -> None:
    """Check that a form mapping can be used on results of a format.

    Raises
    ------
    InvalidArgumentError
        Where it cannot.
    """
    if result_format == "parquet":
        raise InvalidArgumentError(
            "form_mapping is for ROOT files: a mapping reads from a tree, and the results of this "
            "request are Parquet. Ask ServiceX for root-file or root-rntuple."
        )


def described_form_of(source: ResultSource, tree: str | None) -> RecordForm:
    """Tell the form of a result as mappings want it: with titles and C++ types.

    Parameters are those of `servicex_layer.reading.read`, as are the errors.
    """
    check_mappable(source.file.format)
    with open_table(source, tree) as table:
        root_tree: Any = table
        described: RecordForm = root_tree.annotated_form()
        return described


def _described(form: RecordForm) -> RecordForm:
    """Say of each column at least its name and type, where nothing else is known of it."""
    contents = [
        form.content(name).copy(
            parameters={
                "__doc__": name,
                "typename": datashape_of(form.content(name)),
                **form.content(name).parameters,
            }
        )
        for name in form.fields
    ]
    return form.copy(contents=contents, parameters={"__doc__": "", **form.parameters})


def _merged(
    first: Mapping[Any, Any] | None, second: Mapping[Any, Any] | None
) -> Mapping[Any, Any] | None:
    return {**first, **second} if first and second else first or second


def _kinds(form: Form) -> tuple[str, list[np.dtype[Any]]]:
    """Tell what decides how the buffers of a form are understood."""
    return datashape_of(form), list(form.expected_from_buffers().values())
