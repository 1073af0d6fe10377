"""Finds out what a func_adl query gives, as the code generators of ServiceX do.

Those for C++ know the types of methods and collections from the metadata in the query. That for
Uproot knows of none: its types are those of the input.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from servicex_layer.errors import FormError
from servicex_layer.forms._values import UNKNOWN, Many, Row, Scalar, Thing, Value, of_cpp

__all__ = ["Query"]

_SEQUENCES = {"Select", "SelectMany", "Where", "OrderBy", "OrderByDescending", "Choose", "Zip"}
_ELEMENTS = {"First", "Last", "ElementAt"}
_SUMMARIES = {"Count", "Sum", "Max", "Min", "All", "Any", "Contains", "Aggregate"}
_OPERATORS = _SEQUENCES | _ELEMENTS | _SUMMARIES | {"Concat"}
_RESULTS = {"ResultTTree", "ResultParquet", "ResultAwkwardArray", "ResultPandasDF"}
# Functions that the code generators for C++ know; all give a double.
_FUNCTIONS = {
    *("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "DeltaR"),
    *("sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
    *("exp", "exp2", "expm1", "ldexp", "log", "ln", "log10", "log1p", "log2", "ilogb"),
    *("pow", "sqrt", "cbrt", "hypot", "scalbn", "scalbln", "erf", "erfc", "tgamma", "lgamma"),
    *("ceil", "floor", "trunc", "round", "rint", "nearbyint", "fmod", "remainder", "remquo"),
    *("copysign", "nan", "nextafter", "nexttoward", "fdim", "fmax", "fmin", "fma", "fabs", "abs"),
}
# Of two numbers the code generators take the type that comes later here; they know no others.
_ACCURACY = ("int32", "float32", "float64")

Names = Mapping[str, Value]


@dataclass(frozen=True)
class _Function:
    """A lambda, with the names that it sees."""

    parameters: tuple[str, ...]
    body: ast.AST
    names: Names


class Query:
    """A func_adl query.

    Parameters
    ----------
    tree : ast.AST
        The query.
    cpp : bool, optional
        Whether C++ is made of it, and not a call of Uproot; by default told by the query's
        dataset, which names a tree for Uproot.
    """

    cpp: bool

    def __init__(self, tree: ast.AST, cpp: bool | None = None) -> None:
        self._tree = tree
        self._collections: dict[str, Value] = {}
        self._methods: dict[tuple[str, str], Value] = {}
        self._functions: dict[str, Value] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _is_call(node, "MetaData"):
                self._note(ast.literal_eval(node.args[1]))
        self.cpp = not _names_tree(tree) if cpp is None else cpp

    def columns(self) -> dict[str, Value]:
        """Tell the columns of the result.

        Raises
        ------
        FormError
            Where it has none with a name.
        """
        names: list[str] = []
        tree = self._tree
        while isinstance(tree, ast.Call) and _is_call(tree, "MetaData", *_RESULTS):
            if not _is_call(tree, "MetaData"):
                given = ast.literal_eval(tree.args[1])
                names = [given] if isinstance(given, str) else list(given)
            tree = tree.args[0]
        return self._columns(_each(self._value(tree, {})), names)

    def _columns(self, row: Value, names: Sequence[str]) -> dict[str, Value]:
        match row:
            case Row(told, values):
                default = told or [self._name(number) for number in range(len(values))]
                return dict(zip(names or default, values, strict=False))
            case Many(Row(told, values)) if told is not None:
                pairs = zip(names or told, values, strict=False)
                return {name: Many(value) for name, value in pairs}
        if not names and not self.cpp:
            raise FormError(
                "What the query makes has no name, so that it cannot be written. End the query "
                "with a dictionary, as in .Select(lambda e: {'pt': e.pt})."
            )
        return {names[0] if names else "col1": row}

    def _name(self, number: int) -> str:
        return f"col{number}" if self.cpp else str(number)

    def _note(self, said: Mapping[str, Any]) -> None:
        """Learn from metadata."""
        kind = said.get("metadata_type", "")
        if kind == "add_method_type_info":
            self._methods[said["type_string"], said["method_name"]] = _returned(said)
        elif kind == "add_cpp_function":
            value = of_cpp(said["return_type"])
            many = said.get("return_is_collection")
            self._functions[said["name"]] = Many(value) if many else value
        elif kind.endswith("_event_collection_info"):
            many = said.get("contains_collection")
            value = of_cpp(said["element_type" if many else "container_type"])
            self._collections[said["name"]] = Many(value) if many else value

    def _value(self, node: Any, names: Names) -> Value:
        # hundreds of them are around one dataset
        while _is_call(node, "MetaData"):
            node = node.args[0]
        operation = _operation(node)
        if operation is not None:
            name, source, arguments = operation
            return self._operated(name, self._value(source, names), arguments, names)
        match node:
            case ast.Constant(value=constant):
                return self._constant(constant)
            case ast.Name(id=name):
                return names.get(name, UNKNOWN)
            case ast.Dict(keys=keys, values=values):
                told = tuple(str(ast.literal_eval(key)) for key in keys if key is not None)
                return Row(told, self._values(values, names))
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                return Row(None, self._values(elements, names))
            case ast.Subscript(value=of, slice=ast.Constant(value=key)):
                return _item(self._value(of, names), key)
            case ast.Attribute(value=of, attr=name):
                found = self._value(of, names)
                return found.get(name) if isinstance(found, Row) else self._member(found, name)
            case ast.Call():
                return self._called(node, names)
            case ast.UnaryOp(operand=operand):
                return self._value(operand, names)
            case ast.BinOp(left=left, right=right, op=op):
                if isinstance(op, ast.Div | ast.Pow):
                    return self._if_cpp("float64")
                return self._accurate(self._value(left, names), self._value(right, names))
            case ast.Compare() | ast.BoolOp():
                return self._if_cpp("bool")
            case ast.IfExp():
                return self._if_cpp("float64")
        return UNKNOWN

    def _values(self, nodes: Sequence[ast.expr], names: Names) -> tuple[Value, ...]:
        return tuple(self._value(node, names) for node in nodes)

    def _constant(self, constant: object) -> Value:
        kinds = {bool: "bool", int: "int32", float: "float64", str: "string"}
        return self._if_cpp(kinds[type(constant)]) if type(constant) in kinds else UNKNOWN

    def _if_cpp(self, dtype: str) -> Value:
        # Uproot's would be an array where an operand is one, of a type that depends on it.
        return Scalar(dtype) if self.cpp else UNKNOWN

    def _called(self, node: ast.Call, names: Names) -> Value:
        match node.func:
            case ast.Lambda():
                values = self._values(node.args, names)
                return self._applied(_function(node.func, names), *values)
            case ast.Attribute(value=of, attr=name):
                return self._member(self._value(of, names), name)
            case ast.Name(id="Range"):
                return Many(self._if_cpp("int32"))
            case ast.Name(id=name) if name in self._functions:
                return self._functions[name]
            case ast.Name(id=name) if name in _FUNCTIONS:
                return self._if_cpp("float64")
        return UNKNOWN

    def _member(self, of: Value, name: str) -> Value:
        """Tell what a method or an attribute gives."""
        if name in self._functions:
            return self._functions[name]
        if isinstance(of, Thing) and of.kind is not None:
            return self._methods.get((of.kind, name), UNKNOWN)
        # Of the event nothing is known but its collections.
        return self._collections.get(name, UNKNOWN) if of == UNKNOWN else UNKNOWN

    def _operated(self, name: str, source: Value, arguments: Sequence[Any], names: Names) -> Value:
        """Tell what an operator makes of a sequence."""
        each = _each(source)
        match name:
            case "Select":
                return Many(self._applied(_function(arguments[0], names), each))
            case "SelectMany":
                return Many(_each(self._applied(_function(arguments[0], names), each)))
            case "Where" | "OrderBy" | "OrderByDescending" | "Concat":
                return Many(each)
            case "First" | "Last" | "ElementAt":
                return each
            case "Count":
                return Scalar("int32" if self.cpp else "int64")
            case "Sum":
                return self._accurate(Scalar("int32"), each)
            case "Max" | "Min":
                return self._if_cpp("float64")
            case "All" | "Any" | "Contains":
                return Scalar("bool")
            case "Aggregate":
                start = self._value(arguments[0], names)
                function = _function(arguments[1], names)
                return self._accurate(start, self._applied(function, start, each))
            case "Zip" if isinstance(source, Row):
                return Many(Row(source.names, tuple(map(_each, source.values))))
            case "Choose":
                count = ast.literal_eval(arguments[0])
                return Many(Row(None, (each,) * int(count)))
        return UNKNOWN

    def _applied(self, function: _Function | None, *values: Value) -> Value:
        if function is None:
            return UNKNOWN
        names = {**function.names, **dict(zip(function.parameters, values, strict=False))}
        return self._value(function.body, names)

    def _accurate(self, one: Value, other: Value) -> Value:
        kinds = [value.dtype for value in (one, other) if isinstance(value, Scalar)]
        if not self.cpp or len(kinds) < 2 or not all(kind in _ACCURACY for kind in kinds):
            return UNKNOWN
        return Scalar(max(kinds, key=_ACCURACY.index))


def _each(value: Value) -> Value:
    return value.each if isinstance(value, Many) else UNKNOWN


def _item(value: Value, key: object) -> Value:
    if isinstance(value, Row):
        return value.get(key)
    return _each(value)


def _returned(said: Mapping[str, Any]) -> Value:
    if "tree_type" in said:
        return of_cpp(said["tree_type"])
    if "return_type" in said:
        return of_cpp(said["return_type"])
    return Many(of_cpp(said["return_type_element"]))


def _function(node: Any, names: Names) -> _Function | None:
    if not isinstance(node, ast.Lambda):
        return None
    return _Function(tuple(one.arg for one in node.args.args), node.body, names)


def _operation(node: Any) -> tuple[str, Any, Sequence[Any]] | None:
    """Take an operator apart, in each of the ways in which it is written: name, source, arguments.

    ``Select(jets, f)`` and ``jets.Select(f)`` by func_adl, and nodes of its own by qastle.
    """
    match node:
        case ast.Call(func=ast.Attribute(value=source, attr=name), args=arguments):
            return (name, source, arguments) if name in _OPERATORS else None
        case ast.Call(func=ast.Name(id="len"), args=[source]):
            return "Count", source, []
        case ast.Call(func=ast.Name(id=name), args=[source, *arguments]):
            return (name, source, arguments) if name in _OPERATORS else None
    if type(node).__name__ in _OPERATORS:
        source, *arguments = (getattr(node, field) for field in node._fields)
        return type(node).__name__, source, arguments
    return None


def _is_call(node: ast.AST, *names: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names


def _names_tree(tree: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Call) and _is_call(node, "EventDataset") and len(node.args) > 1
        for node in ast.walk(tree)
    )
