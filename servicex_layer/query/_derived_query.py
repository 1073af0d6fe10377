"""A query that was derived from an analysis."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import Any

from servicex_layer.errors import MissingExtraError
from servicex_layer.query._columns import escape

__all__ = ["DerivedQuery"]


@dataclass(frozen=True, repr=False)
class DerivedQuery:
    """What an analysis needs of its input, as a query of ServiceX.

    Parameters
    ----------
    tree : str
        The tree of the input.
    columns : tuple of str
        The columns that the analysis needs.
    cut : str or None
        A cut in the language of ``uproot-raw`` that keeps at least the events that the analysis
        uses; ``None`` keeps all.
    notes : tuple of str
        What is not part of the query, and why.
    func_adl : object, optional
        The func_adl query, if the query was derived from one.
    """

    tree: str
    columns: tuple[str, ...]
    cut: str | None
    notes: tuple[str, ...] = ()
    func_adl: Any = field(default=None, compare=False)

    @property
    def query(self) -> Any:
        """The query for a specification: a ``servicex.query.UprootRaw``, or the func_adl query.

        Raises
        ------
        MissingExtraError
            If the official client is not installed.
        """
        if self.func_adl is not None:
            return self.func_adl
        try:
            from servicex import query
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"The query object needs {error.name}, which is not installed: "
                'pip install "servicex_layer[servicex]"'
            ) from error
        return query.UprootRaw([self.selection()])

    def selection(self) -> dict[str, Any]:
        """Return the entry of an ``uproot-raw`` selection."""
        entry: dict[str, Any] = {
            "treename": self.tree,
            "filter_name": [escape(name) for name in self.columns],
            # Otherwise a file without the tree counts as a file without events.
            "fail_on_missing_trees": True,
        }
        return entry if self.cut is None else {**entry, "cut": self.cut}

    def __repr__(self) -> str:
        rows = [f"{name + ':':9}{value}" for name, value in self._rows()]
        return "\n".join(["DerivedQuery", *rows])

    def _repr_html_(self) -> str:
        rows = (
            f"<tr><th>{name}</th><td><code>{html.escape(value)}</code></td></tr>"
            for name, value in self._rows()
        )
        return f"<table>{''.join(rows)}</table>"

    def _rows(self) -> list[tuple[str, str]]:
        return [
            ("tree", self.tree),
            ("columns", ", ".join(self.columns)),
            ("cut", self.cut or "none"),
            *(("note", note) for note in self.notes),
        ]
