"""The types of func_adl's expressions, as far as they are known."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import awkward as ak
from awkward.forms import Form, ListOffsetForm, NumpyForm, RecordForm

__all__ = [
    "UNKNOWN",
    "Collection",
    "Object",
    "Record",
    "Scalar",
    "Value",
    "fill_unknown",
    "form_of",
    "from_cpp_type",
    "from_python_type",
    "to_text",
]


@dataclass(frozen=True)
class Scalar:
    """A number, a truth value or a string; ``dtype`` is awkward's name for it."""

    dtype: str


@dataclass(frozen=True)
class Object:
    """An object of a C++ class; ``None`` if nothing is known about it."""

    class_name: str | None = None


@dataclass(frozen=True)
class Collection:
    """Any number of values of one type."""

    item: Value


@dataclass(frozen=True)
class Record:
    """A dictionary or, without names, a tuple."""

    names: tuple[str, ...] | None
    values: tuple[Value, ...]

    def get(self, key: object) -> Value:
        """Return the value of a name or an index; `UNKNOWN` if it is missing."""
        if self.names is not None and key in self.names:
            return self.values[self.names.index(str(key))]
        if isinstance(key, int) and -len(self.values) <= key < len(self.values):
            return self.values[key]
        return UNKNOWN


Value = Scalar | Object | Collection | Record
UNKNOWN = Object()


def form_of(value: Value) -> Form | None:
    """Return the awkward form of a value; ``None`` if a part of it is unknown."""
    match value:
        case Scalar("string"):
            return ak.forms.from_type(ak.types.from_datashape("string", highlevel=False))
        case Scalar(dtype):
            return NumpyForm(dtype)
        case Collection(item):
            content = form_of(item)
            return None if content is None else ListOffsetForm("i64", content)
        case Record(names, values):
            contents = [form_of(field) for field in values]
            is_known = all(content is not None for content in contents)
            return RecordForm(contents, names) if is_known else None
    return None


def to_text(value: Value, unknown: str = "?") -> str:
    """Write a value like a datashape, with `unknown` for the unknown parts."""
    match value:
        case Scalar(dtype):
            return dtype
        case Collection(item):
            return f"var * {to_text(item, unknown)}"
        case Record(None, values):
            return f"({', '.join(to_text(field, unknown) for field in values)})"
        case Record(names, values):
            pairs = zip(names or (), values, strict=True)
            return f"{{{', '.join(f'{name}: {to_text(field, unknown)}' for name, field in pairs)}}}"
    return unknown


def fill_unknown(value: Value, other: Value) -> Value:
    """Replace the unknown parts of a value by those of another."""
    match value, other:
        case Object(), _:
            return value if other == UNKNOWN else other
        case Collection(item), Collection(other_item):
            return Collection(fill_unknown(item, other_item))
        case Record(names, values), Record() if names is not None:
            pairs = zip(names, values, strict=True)
            return Record(
                names, tuple(fill_unknown(field, other.get(name)) for name, field in pairs)
            )
    return value


_CPP_SCALARS = {
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


def from_cpp_type(name: str) -> Value:
    """Return the value that a C++ type becomes when it is written to a tree.

    Examples
    --------
    >>> from_cpp_type("const std::vector<unsigned int> &")
    Collection(item=Scalar(dtype='uint32'))
    >>> from_cpp_type("const xAOD::Jet_v1 *")
    Object(class_name='xAOD::Jet_v1')
    """
    bare = re.sub(r"\bconst\b|&|\bstd::", "", name).strip()
    pointed = bare.rstrip("* ")
    if bare in _CPP_SCALARS:
        return Scalar(_CPP_SCALARS[bare])
    if pointed in _CPP_SCALARS:
        return UNKNOWN
    vector = re.fullmatch(r"vector\s*<(.*)>", pointed)
    return Collection(from_cpp_type(vector[1])) if vector else Object(pointed)


_PYTHON_SCALARS = {bool: "bool", int: "int64", float: "float64", str: "string"}


def from_python_type(
    python_type: Any,
    field_types: Callable[[Any], Mapping[str, Any] | None],
    element_type: Callable[[Any], Any],
) -> Value:
    """Return the value of a Python type that func_adl inferred for an expression.

    Parameters
    ----------
    python_type : type
        A scalar type, a sequence, or a dataclass for a dictionary.
    field_types : callable
        Returns the types of a dataclass's fields; ``None`` for other types.
    element_type : callable
        Returns the type of a sequence's items; ``None`` for other types.
    """
    if isinstance(python_type, type) and python_type in _PYTHON_SCALARS:
        return Scalar(_PYTHON_SCALARS[python_type])
    fields = field_types(python_type)
    if fields is not None:
        values = [from_python_type(field, field_types, element_type) for field in fields.values()]
        return Record(tuple(fields), tuple(values))
    element = element_type(python_type)
    if element is None:
        return UNKNOWN
    return Collection(from_python_type(element, field_types, element_type))
