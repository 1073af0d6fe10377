"""What coffea's events are made of. The only module that uses names that coffea keeps private."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import awkward as ak
from awkward.forms import RecordForm
from coffea.nanoevents import NanoEventsFactory
from coffea.nanoevents.mapping.base import BaseSourceMapping
from coffea.nanoevents.util import tuple_to_key

from servicex_layer.errors import SchemaMismatchError, ServiceXLayerError
from servicex_layer.mapping._columns import Columns
from servicex_layer.mapping._errors import sendable
from servicex_layer.reading import Table

__all__ = ["base_form_of", "form_mapping", "merge_results", "nanoevents_of"]


def form_mapping(schema: Any, metadata: Mapping[str, Any] | None) -> Any:
    """Return the form mapping of a schema, which lazy arrays are read through.

    coffea has no public name for it. If it moves, importing this fails.
    """
    from coffea.nanoevents.factory import _map_schema_uproot

    return _map_schema_uproot(
        schemaclass=schema,
        behavior=dict(schema.behavior()),
        metadata=None if metadata is None else dict(metadata),
        version="latest",
    )


def merge_results(one: Any, other: Any) -> Any:
    """Merge what a processor returned for two files, as coffea's `Runner` does."""
    from coffea.processor import accumulate

    return accumulate([one, other])


def nanoevents_of(
    table: Table, columns: Columns, schema: Callable[..., Any], metadata: Mapping[str, Any]
) -> Any:
    """Return coffea's events of an open result, read when they are touched.

    Raises
    ------
    SchemaMismatchError
        If the schema doesn't fit the file.
    """
    # A Parquet file has neither titles nor C++ types.
    annotated: Callable[[], RecordForm] | None = getattr(table, "annotated_form", None)
    form = columns.form if annotated is None else annotated()
    base_form = base_form_of(form)
    if "typenames" in form.parameters:
        base_form["typenames"] = form.parameters["typenames"]
    base_form["parameters"]["metadata"] = dict(metadata)
    key = tuple_to_key((str(metadata["number"]), "events", f"0-{columns.entries}"))
    try:
        mapping = _ColumnsMapping(columns)
        return NanoEventsFactory(schema(base_form), mapping, key, mode="virtual").events()
    except ServiceXLayerError:
        raise
    except Exception as error:  # noqa: BLE001  (each schema has its own)
        missing = f"it has no {error}" if isinstance(error, KeyError) else f"{error}"
        raise SchemaMismatchError(
            f"{columns.name} does not fit the schema {getattr(schema, '__name__', schema)} "
            f"({type(error).__name__}: {missing}). Its columns are {', '.join(base_form['fields'])}"
        ) from sendable(error)


def base_form_of(form: RecordForm) -> dict[str, Any]:
    """Return the form of columns as schemas take it: each buffer's key says how to load it.

    `_lazify_form` writes these keys, in a language that only coffea reads. If it changes its
    signature, tests of `nanoevents_of` fail.
    """
    from coffea.nanoevents.mapping.uproot import CannotBeNanoEvents, _lazify_form

    contents: dict[str, Any] = {}
    for name in form.fields:
        content = form.content(name)
        title = content.parameter("__doc__") or name
        typename = content.parameter("typename") or str(content.type)
        if "," in name or "!" in name:
            continue  # they have a meaning in the keys
        try:
            contents[name] = _lazify_form(
                _without_options(content).to_dict(verbose=True), f"{name},!load", title, typename
            )
        except CannotBeNanoEvents as error:
            warnings.warn(f"coffea can't show the column {name!r}: {error}", stacklevel=2)
    return {
        "class": "RecordArray",
        "fields": list(contents),
        "contents": list(contents.values()),
        "parameters": {"__doc__": form.parameter("__doc__") or ""},
        "form_key": None,
    }


class _ColumnsMapping(BaseSourceMapping):  # type: ignore[misc]
    """Loads the columns of a result for coffea, in any format."""

    def __init__(self, columns: Columns) -> None:
        super().__init__(None, 0, columns.entries, cache={}, virtual=True)
        self._columns = columns

    def _column_source(self, *_: str) -> Columns:
        return self._columns

    @classmethod
    def _extract_base_form(cls, source: Columns) -> dict[str, Any]:
        return base_form_of(source.form)

    def key_root(self) -> str:
        return "servicex_layer:"

    def get_column_handle(self, columnsource: Columns, name: str, allow_missing: bool) -> Any:
        del allow_missing
        return name if name in columnsource.form.fields else None

    def extract_column(
        self, columnhandle: Any, start: int, stop: int, allow_missing: bool, **_: Any
    ) -> Any:
        if columnhandle is None:
            missing = ak.Array([None] * (stop - start))
            return ak.values_astype(missing, bool)
        content = self._columns.content(columnhandle)
        content = _without_nulls(content, columnhandle, self._columns.name)
        if content.is_list and not content.is_regular:
            content = content.to_ListOffsetArray64(True)
        if allow_missing:
            content = ak.contents.UnmaskedArray(content).to_IndexedOptionArray64()
        return ak.Array(content)

    def __len__(self) -> int:
        return int(self._stop - self._start)

    def __iter__(self) -> Any:
        raise NotImplementedError


def _without_options(form: Any) -> Any:
    """Return a form in which nothing can be null: Parquet files often say so of every column."""
    if form.is_option:
        return _without_options(form.content)
    if form.is_record:
        return form.copy(contents=[_without_options(content) for content in form.contents])
    if form.is_list:
        return form.copy(content=_without_options(form.content))
    return form


def _without_nulls(content: Any, column: str, name: str) -> Any:
    if content.is_option:
        if content.mask_as_bool(valid_when=False).any():
            raise SchemaMismatchError(
                f"The column {column!r} of {name} has nulls, which coffea's schemas can't show."
            )
        return _without_nulls(content.project(), column, name)
    if content.is_record:
        return content.copy(
            contents=[_without_nulls(one, column, name) for one in content.contents]
        )
    if content.is_list:
        return content.copy(content=_without_nulls(content.content, column, name))
    return content
