"""What the expressions of a func_adl query give: numbers, sequences, rows, or things unknown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import awkward as ak
from awkward.forms import Form, ListOffsetForm, NumpyForm, RecordForm

__all__ = [
    "UNKNOWN",
    "Many",
    "Row",
    "Scalar",
    "Thing",
    "Value",
    "described",
    "filled",
    "form_of",
    "of_cpp",
    "of_python",
]


@dataclass(frozen=True)
class Scalar:
    """A number, a truth value or a text: ``dtype`` is what awkward calls it."""

    dtype: str


@dataclass(frozen=True)
class Thing:
    """An object: of a C++ class, or nothing is known of it."""

    kind: str | None = None


@dataclass(frozen=True)
class Many:
    """A sequence."""

    each: Value


@dataclass(frozen=True)
class Row:
    """A dictionary; a tuple where it has no names."""

    names: tuple[str, ...] | None
    values: tuple[Value, ...]

    def get(self, key: object) -> Value:
        """Give the value with a name or an index; what is not there is unknown."""
        if self.names is not None and key in self.names:
            return self.values[self.names.index(str(key))]
        if isinstance(key, int) and -len(self.values) <= key < len(self.values):
            return self.values[key]
        return UNKNOWN


Value = Scalar | Thing | Many | Row
UNKNOWN = Thing()


def form_of(value: Value) -> Form | None:
    """Give the form of a value; ``None`` where something of it is unknown."""
    match value:
        case Scalar("string"):
            return ak.forms.from_type(ak.types.from_datashape("string", highlevel=False))
        case Scalar(dtype):
            return NumpyForm(dtype)
        case Many(each):
            content = form_of(each)
            return None if content is None else ListOffsetForm("i64", content)
        case Row(names, values):
            contents = [form_of(one) for one in values]
            known = all(one is not None for one in contents)
            return RecordForm(contents, names) if known else None
    return None


def described(value: Value, unknown: str = "?") -> str:
    """Write what is known of a value like a datashape."""
    match value:
        case Scalar(dtype):
            return dtype
        case Many(each):
            return f"var * {described(each, unknown)}"
        case Row(None, values):
            return f"({', '.join(described(one, unknown) for one in values)})"
        case Row(names, values):
            pairs = zip(names or (), values, strict=True)
            return f"{{{', '.join(f'{name}: {described(one, unknown)}' for name, one in pairs)}}}"
    return unknown


def filled(value: Value, other: Value) -> Value:
    """Take from another value what is unknown of this one."""
    match value, other:
        case Thing(), _:
            return value if other == UNKNOWN else other
        case Many(each), Many(more):
            return Many(filled(each, more))
        case Row(names, values), Row() if names is not None:
            pairs = zip(names, values, strict=True)
            return Row(names, tuple(filled(one, other.get(name)) for name, one in pairs))
    return value


_CPP = {
    "bool": "bool",
    "char": "int8",
    "signed char": "int8",
    "unsigned char": "uint8",
    "short": "int16",
    "unsigned short": "uint16",
    "int": "int32",
    "uint": "uint32",
    "unsigned": "uint32",
    "unsigned int": "uint32",
    "long": "int64",
    "unsigned long": "uint64",
    "long long": "int64",
    "unsigned long long": "uint64",
    "size_t": "uint64",
    "float": "float32",
    "double": "float64",
    "string": "string",
    **{f"{sign}int{bits}_t": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


def of_cpp(name: str) -> Value:
    """Tell what a C++ type is when it is written to a tree.

    Examples
    --------
    >>> of_cpp("const std::vector<unsigned int> &")
    Many(each=Scalar(dtype='uint32'))
    >>> of_cpp("const xAOD::Jet_v1 *")
    Thing(kind='xAOD::Jet_v1')
    """
    bare = re.sub(r"\bconst\b|&|\bstd::", "", name).strip()
    pointed = bare.rstrip("* ")
    if bare in _CPP:
        return Scalar(_CPP[bare])
    if pointed in _CPP:
        return UNKNOWN
    vector = re.fullmatch(r"vector\s*<(.*)>", pointed)
    return Many(of_cpp(vector[1])) if vector else Thing(pointed)


_PYTHON = {bool: "bool", int: "int64", float: "float64", str: "string"}


def of_python(kind: Any, hints: Any, unwrap: Any) -> Value:
    """Tell what a Python type is that func_adl found for an expression.

    Parameters
    ----------
    kind : type
        The type: of a value, of a sequence, or a dataclass for a dictionary.
    hints : callable
        Gives the types of the fields of a dataclass, ``None`` for all else.
    unwrap : callable
        Gives the type of what is in a sequence, ``None`` for all else.
    """
    if isinstance(kind, type) and kind in _PYTHON:
        return Scalar(_PYTHON[kind])
    fields: Mapping[str, Any] | None = hints(kind)
    if fields is not None:
        values = tuple(of_python(one, hints, unwrap) for one in fields.values())
        return Row(tuple(fields), values)
    content = unwrap(kind)
    return UNKNOWN if content is None else Many(of_python(content, hints, unwrap))
