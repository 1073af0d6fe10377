"""The events of one file, as the user's function gets them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import awkward as ak

from servicex_layer.errors import FunctionError, ServiceXLayerError
from servicex_layer.mapping._columns import Columns
from servicex_layer.mapping._errors import describe, place_of, sendable
from servicex_layer.reading import open_result
from servicex_layer.transport import ResultSource

__all__ = ["CallWithEvents"]

_BEHAVIOR: dict[Any, Any] = {}


@ak.mixin_class(_BEHAVIOR)
class FileEvents:
    """Events of one result file."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Dataset, file and what the user gave."""
        metadata: Mapping[str, Any] = self.attrs["metadata"]  # type: ignore[attr-defined]
        return metadata


# The columns that a function touched in the last file that this process read with it. The next file
# fetches them at once.
_touched: dict[str, frozenset[str]] = {}


class CallWithEvents:
    """Calls a function with the events of a file.

    Parameters
    ----------
    token : str
        Stands for the function, the tree and the schema.
    function : callable
        The user's function, or the method of a processor.
    tree : str or None
        The tree's name; ``None`` for the file's only one.
    schema : type or None
        A schema of coffea.
    """

    def __init__(
        self,
        token: str,
        function: Callable[[Any], Any],
        tree: str | None,
        schema: Callable[..., Any] | None,
    ) -> None:
        self.token = token
        self.function = function
        self.tree = tree
        self.schema = schema

    def __call__(self, source: ResultSource, metadata: Mapping[str, Any]) -> list[Any]:
        """Return the function's value; nothing if the file has no events and no tree.

        Raises
        ------
        ResultError
            If the file can't be read, or the schema doesn't fit it.
        FunctionError
            If the function raises.
        """
        opened = open_result(source, self.tree)
        if opened is None:
            return []
        with opened as table:
            columns = Columns(table, source.description)
            columns.prefetch(_touched.get(self.token, ()))
            try:
                events = self._events(table, columns, metadata)
                return [_materialized(self._called(events, source.description))]
            finally:
                _touched[self.token] = frozenset(columns.touched)
                columns.close()

    def _events(self, table: Any, columns: Columns, metadata: Mapping[str, Any]) -> Any:
        root_tree = getattr(table, "tree", None)
        metadata = {
            **metadata,
            "treename": self.tree if root_tree is None else root_tree.name,
            "entrystart": 0,
            "entrystop": columns.entries,
        }
        if self.schema is None:
            content = columns.virtual().copy(parameters={"__record__": FileEvents.__name__})
            events = ak.Array(content, behavior=_BEHAVIOR, attrs={"metadata": metadata})
        else:
            from servicex_layer.mapping._coffea import nanoevents_of

            events = nanoevents_of(table, columns, self.schema, metadata)
        # Awkward neither pickles nor compares attributes whose names begin with "@".
        events.attrs["@file"] = None if root_tree is None else root_tree.file.root_directory
        return events

    def _called(self, events: Any, name: str) -> Any:
        try:
            return self.function(events)
        except ServiceXLayerError:
            raise
        except Exception as error:  # noqa: BLE001  (whatever the user's function raises)
            raise FunctionError(
                f"{name}: {describe(self.function)} failed: {type(error).__name__}: {error} "
                f"({place_of(error)})."
            ) from sendable(error)


def _materialized(value: Any) -> Any:
    """Read what the arrays in a result still have to read: they leave the file's task."""
    if isinstance(value, ak.Array | ak.Record):
        array = ak.materialize(value)
        kept = {name: it for name, it in array.attrs.items() if not name.startswith("@")}
        return type(array)(array.layout, behavior=array.behavior, attrs=kept)
    if isinstance(value, dict):
        for key in value:
            value[key] = _materialized(value[key])
    elif type(value) in (list, tuple):
        return type(value)(map(_materialized, value))
    return value
