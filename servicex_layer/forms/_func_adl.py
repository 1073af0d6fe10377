"""The form of what a func_adl query selects: from the query, and from types that the user adds."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping
from typing import Any, get_type_hints

from awkward.forms import Form, RecordForm

from servicex_layer.errors import FormError, MissingExtraError
from servicex_layer.forms._datashape import column_form
from servicex_layer.forms._inference import Query
from servicex_layer.forms._values import (
    UNKNOWN,
    Collection,
    Record,
    Value,
    fill_unknown,
    form_of,
    from_python_type,
    to_text,
)

__all__ = ["from_func_adl", "is_func_adl"]


def from_func_adl(query: Any, types: Mapping[str, Any] | None = None) -> RecordForm:
    """Return the form of the results of a func_adl query, without any file.

    Needs the extra ``func-adl``.

    Parameters
    ----------
    query : object
        The query, or its qastle text. Queries over typed datasets, such as those of
        ``func_adl_servicex_xaodr22``, define the types of their columns.
    types : mapping, optional
        The types of columns that the query does not define, by the columns' names: as datashapes,
        NumPy dtypes, or awkward types or forms.

    Returns
    -------
    awkward.forms.RecordForm
        The form of an event or, after ``SelectMany``, of an item.

    Raises
    ------
    FormError
        If the query does not define all types, which the message lists, or is not a func_adl query.
    MissingExtraError
        If the extra is not installed.

    Examples
    --------
    >>> text = (
    ...     "(call Select (call EventDataset) (lambda (list e) (dict (list 'n' 'pt') (list"
    ...     " (call Count (attr e 'jets')) (call Select (attr e 'jets') (lambda (list j)"
    ...     " (/ (attr j 'pt') 1000)))))))"
    ... )
    >>> print(from_func_adl(text).type)
    {n: int32, pt: var * float64}
    """
    tree, item_type, codegen = _parse(query)
    try:
        parsed = Query(tree, None if codegen is None else codegen != "uproot")
        columns = parsed.columns()
    # A query can hold any Python, also what no code generator understands.
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise FormError(
            f"The func_adl query cannot be interpreted ({type(error).__name__}: {error}). Use "
            "form='{pt: var * float64, ...}' instead."
        ) from error
    # In a query for Uproot, func_adl types `e.x > 1` as a bool, but `e.x` may be an array.
    record = _item_type(item_type) if parsed.cpp else UNKNOWN
    columns = {
        name: fill_unknown(value, record.get(name) if isinstance(record, Record) else record)
        for name, value in columns.items()
    }
    types = {} if types is None else types
    _check_types(types, columns)
    forms = {
        name: column_form(types[name], name) if name in types else form_of(value)
        for name, value in columns.items()
    }
    untyped = {name: columns[name] for name, form in forms.items() if form is None}
    if untyped:
        raise _untyped_error(untyped)
    return RecordForm(list(forms.values()), list(forms))


def is_func_adl(query: Any) -> bool:
    """Return whether an object is a func_adl query, or the qastle text of one."""
    if isinstance(query, str):
        return query.lstrip().startswith("(")
    return hasattr(query, "query_ast") or (
        hasattr(query, "generate_selection_string") and is_func_adl(_qastle(query))
    )


def _qastle(query: Any) -> str:
    return str(query.generate_selection_string())


def _parse(query: Any) -> tuple[ast.AST, Any, str | None]:
    """Return the syntax tree of a query, the Python type of its items, and its code generator."""
    codegen = getattr(query, "default_codegen", None)
    if hasattr(query, "query_ast") and not getattr(query, "provided_qastle", None):
        return query.query_ast, query.item_type, codegen
    if not is_func_adl(query):
        raise FormError(
            f"{query!r} is not a func_adl query. Pass the query object or its qastle text, such as "
            '"(call Select (call EventDataset) (lambda (list e) ...))".'
        )
    try:
        import qastle
    except ImportError as error:
        raise MissingExtraError(
            'Reading qastle needs the extra "func-adl": pip install "servicex_layer[func-adl]".'
        ) from error
    text = query if isinstance(query, str) else _qastle(query)
    try:
        return qastle.unwrap_ast(qastle.text_ast_to_python_ast(text)), Any, codegen
    # The errors of qastle's parser have no common base class.
    except Exception as error:
        message = str(error).strip().splitlines()[-1]
        raise FormError(f"The query is not valid qastle: {message}") from error


def _item_type(item_type: Any) -> Value:
    """Return what func_adl's own types say about an item."""
    if item_type is Any:
        return UNKNOWN
    # A query with a type comes from func_adl, so that is installed.
    from func_adl.util_types import is_iterable, unwrap_iterable

    def field_types(python_type: Any) -> Mapping[str, Any] | None:
        return get_type_hints(python_type) if dataclasses.is_dataclass(python_type) else None

    def element_type(python_type: Any) -> Any:
        if python_type is Any or not is_iterable(python_type):
            return None
        return unwrap_iterable(python_type)

    return from_python_type(item_type, field_types, element_type)


def _check_types(types: Any, columns: Mapping[str, Value]) -> None:
    if not isinstance(types, Mapping):
        raise FormError(
            "The types beside a func_adl query must be a mapping such as "
            f"{{'pt': 'var * float64'}}, not {types!r}."
        )
    for name, column_type in types.items():
        if name not in columns:
            raise FormError(f"The query has no column {name!r}; it has {', '.join(columns)}.")
        form: Form = column_form(column_type, name)
        if isinstance(columns[name], Collection) and not form.is_list:
            raise FormError(
                f"The column {name!r} of the query holds sequences, but its type is {form.type}. "
                f"Use 'var * {form.type}'."
            )


def _untyped_error(columns: Mapping[str, Value]) -> FormError:
    names = ", ".join(f"{name} ({to_text(value)})" for name, value in columns.items())
    example = {name: to_text(value, "float64") for name, value in columns.items()}
    return FormError(
        f"The query does not define the types of these columns: {names}. Add the types that they "
        f"have, as in form=(query, {example})."
    )
