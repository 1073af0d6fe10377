"""Forms of what a func_adl query makes: from the query alone, and from what its user adds."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping
from typing import Any, get_type_hints

from awkward.forms import Form, RecordForm

from servicex_layer.errors import FormError, MissingExtraError
from servicex_layer.forms._inference import Query
from servicex_layer.forms._values import (
    UNKNOWN,
    Many,
    Row,
    Value,
    described,
    filled,
    form_of,
    of_python,
)
from servicex_layer.forms._written import column_form

__all__ = ["from_func_adl", "is_func_adl"]


def from_func_adl(query: Any, types: Mapping[str, Any] | None = None) -> RecordForm:
    """Tell the form of what a func_adl query makes, without any file.

    Needs the extra ``func-adl``.

    Parameters
    ----------
    query : object
        The query, as it is given to ServiceX, or its qastle text. Queries over typed datasets, such
        as those of ``func_adl_servicex_xaodr22``, know the types of what they select.
    types : mapping, optional
        The types of columns of which the query does not know them: datashapes, NumPy dtypes, or
        awkward types or forms, by the columns' names.

    Returns
    -------
    awkward.forms.RecordForm
        The form of an event, or of one entry of what ``SelectMany`` gives.

    Raises
    ------
    FormError
        Where the query does not tell all; the text says what. Also where it is no such query.
    MissingExtraError
        Where the extra is not installed.

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
    tree, item_type, codegen = _taken_apart(query)
    try:
        parsed = Query(tree, None if codegen is None else codegen != "uproot")
        columns = parsed.columns()
    # queries are Python, of which any may be there that no code generator takes
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise FormError(
            f"The func_adl query cannot be understood ({type(error).__name__}: {error}). Give "
            "form='{pt: var * float64, ...}' instead."
        ) from error
    # For Uproot, func_adl takes a comparison for one of numbers, where it may be one of arrays.
    typed = _row(item_type) if parsed.cpp else UNKNOWN
    known = {
        name: filled(value, typed.get(name) if isinstance(typed, Row) else typed)
        for name, value in columns.items()
    }
    types = {} if types is None else types
    _check(types, known)
    forms = {
        name: column_form(types[name], name) if name in types else form_of(value)
        for name, value in known.items()
    }
    missing = {name: known[name] for name, form in forms.items() if form is None}
    if missing:
        raise _asking(missing)
    return RecordForm(list(forms.values()), list(forms))


def is_func_adl(query: Any) -> bool:
    """Tell whether something is a func_adl query: an object of one, or its qastle text."""
    if isinstance(query, str):
        return query.lstrip().startswith("(")
    return hasattr(query, "query_ast") or (
        hasattr(query, "generate_selection_string") and is_func_adl(_text(query))
    )


def _text(query: Any) -> str:
    return str(query.generate_selection_string())


def _taken_apart(query: Any) -> tuple[ast.AST, Any, str | None]:
    """Give the tree of a query, the Python type of its rows, and who makes code of it."""
    codegen = getattr(query, "default_codegen", None)
    if hasattr(query, "query_ast") and not getattr(query, "provided_qastle", None):
        return query.query_ast, query.item_type, codegen
    if not is_func_adl(query):
        raise FormError(
            f"{query!r} is no func_adl query. Give the query object or its qastle text, such as "
            '"(call Select (call EventDataset) (lambda (list e) ...))".'
        )
    try:
        import qastle
    except ImportError as error:
        raise MissingExtraError(
            'To read qastle takes the extra "func-adl": pip install "servicex_layer[func-adl]".'
        ) from error
    text = query if isinstance(query, str) else _text(query)
    try:
        return qastle.unwrap_ast(qastle.text_ast_to_python_ast(text)), Any, codegen
    # the parser has exceptions of its own, which have nothing in common
    except Exception as error:
        said = str(error).strip().splitlines()[-1]
        raise FormError(f"The query is no qastle text: {said}") from error


def _row(item_type: Any) -> Value:
    """Tell what func_adl's own types know of a row."""
    if item_type is Any:
        return UNKNOWN
    # where there is a type, there is func_adl
    from func_adl.util_types import is_iterable, unwrap_iterable

    def hints(kind: Any) -> Mapping[str, Any] | None:
        return get_type_hints(kind) if dataclasses.is_dataclass(kind) else None

    def unwrap(kind: Any) -> Any:
        return unwrap_iterable(kind) if kind is not Any and is_iterable(kind) else None

    return of_python(item_type, hints, unwrap)


def _check(types: Any, columns: Mapping[str, Value]) -> None:
    if not isinstance(types, Mapping):
        raise FormError(
            "To a func_adl query belong types of columns, as in {'pt': 'var * float64'}, and not "
            f"{types!r}."
        )
    for name, given in types.items():
        if name not in columns:
            raise FormError(f"The query makes no column {name!r}; it makes {', '.join(columns)}.")
        form: Form = column_form(given, name)
        if isinstance(columns[name], Many) and not form.is_list:
            raise FormError(
                f"The query makes sequences of the column {name!r}, and its type was said to be "
                f"{form.type}. Say 'var * {form.type}'."
            )


def _asking(columns: Mapping[str, Value]) -> FormError:
    told = ", ".join(f"{name} ({described(value)})" for name, value in columns.items())
    example = {name: described(value, "float64") for name, value in columns.items()}
    return FormError(
        f"The query does not tell the types of these columns: {told}. Say them, with the types "
        f"that they have: form=(query, {example})."
    )
