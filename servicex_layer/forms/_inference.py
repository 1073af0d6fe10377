"""Infers the types of a func_adl query's columns, as the code generators of ServiceX do.

The code generators for C++ get the types of methods and collections from metadata in the query. The
one for Uproot has no types: its columns have those of the input.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from servicex_layer.errors import FormError
from servicex_layer.forms._values import (
    UNKNOWN,
    Collection,
    Object,
    Record,
    Scalar,
    Value,
    from_cpp_type,
)

__all__ = ["Query"]

_TO_SEQUENCE = {"Select", "SelectMany", "Where", "OrderBy", "OrderByDescending", "Choose", "Zip"}
_TO_ITEM = {"First", "Last", "ElementAt"}
_TO_SCALAR = {"Count", "Sum", "Max", "Min", "All", "Any", "Contains", "Aggregate"}
_OPERATORS = _TO_SEQUENCE | _TO_ITEM | _TO_SCALAR | {"Concat"}
_RESULTS = {"ResultTTree", "ResultParquet", "ResultAwkwardArray", "ResultPandasDF"}
# Functions that the code generators for C++ know; all return a double.
_DOUBLE_FUNCTIONS = {
    *("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "DeltaR"),
    *("sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
    *("exp", "exp2", "expm1", "ldexp", "log", "ln", "log10", "log1p", "log2", "ilogb"),
    *("pow", "sqrt", "cbrt", "hypot", "scalbn", "scalbln", "erf", "erfc", "tgamma", "lgamma"),
    *("ceil", "floor", "trunc", "round", "rint", "nearbyint", "fmod", "remainder", "remquo"),
    *("copysign", "nan", "nextafter", "nexttoward", "fdim", "fmax", "fmin", "fma", "fabs", "abs"),
}
# The result of two numbers has the type that comes later here; the code generators know no others.
_BY_ACCURACY = ("int32", "float32", "float64")

Names = Mapping[str, Value]


@dataclass(frozen=True)
class _Function:
    """A lambda, with the names in its scope."""

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
        Whether a code generator for C++ runs it, and not the one for Uproot. By default, the
        dataset decides: it names a tree for Uproot only.
    """

    cpp: bool

    def __init__(self, tree: ast.AST, cpp: bool | None = None) -> None:
        self._tree = tree
        self._collections: dict[str, Value] = {}
        self._methods: dict[tuple[str, str], Value] = {}
        self._functions: dict[str, Value] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _is_call(node, "MetaData"):
                self._add_metadata(ast.literal_eval(node.args[1]))
        self.cpp = not _names_tree(tree) if cpp is None else cpp

    def columns(self) -> dict[str, Value]:
        """Infer the values of the result's columns, by their names.

        Raises
        ------
        FormError
            If the result has no column with a name.
        """
        names: list[str] = []
        tree = self._tree
        while isinstance(tree, ast.Call) and _is_call(tree, "MetaData", *_RESULTS):
            if not _is_call(tree, "MetaData"):
                argument = ast.literal_eval(tree.args[1])
                names = [argument] if isinstance(argument, str) else list(argument)
            tree = tree.args[0]
        return self._name_columns(_item_of(self._value(tree, {})), names)

    def _name_columns(self, item: Value, names: list[str]) -> dict[str, Value]:
        match item:
            case Record(keys, values):
                default = keys or [self._default_name(index) for index in range(len(values))]
                return dict(zip(names or default, values, strict=False))
            case Collection(Record(keys, values)) if keys is not None:
                pairs = zip(names or keys, values, strict=False)
                return {name: Collection(value) for name, value in pairs}
        if not names and not self.cpp:
            raise FormError(
                "The column of the query has no name, and ServiceX cannot write it. End the query "
                "with a dictionary, as in .Select(lambda e: {'pt': e.pt})."
            )
        return {names[0] if names else "col1": item}

    def _default_name(self, index: int) -> str:
        return f"col{index}" if self.cpp else str(index)

    def _add_metadata(self, metadata: Mapping[str, Any]) -> None:
        kind = metadata.get("metadata_type", "")
        if kind == "add_method_type_info":
            self._methods[metadata["type_string"], metadata["method_name"]] = _returned(metadata)
        elif kind == "add_cpp_function":
            value = from_cpp_type(metadata["return_type"])
            is_sequence = metadata.get("return_is_collection")
            self._functions[metadata["name"]] = Collection(value) if is_sequence else value
        elif kind.endswith("_event_collection_info"):
            is_sequence = metadata.get("contains_collection")
            value = from_cpp_type(metadata["element_type" if is_sequence else "container_type"])
            self._collections[metadata["name"]] = Collection(value) if is_sequence else value

    def _value(self, node: Any, names: Names) -> Value:
        # A loop: hundreds of them can be around one dataset.
        while _is_call(node, "MetaData"):
            node = node.args[0]
        operation = _operation(node)
        if operation is not None:
            name, source, arguments = operation
            return self._apply_operator(name, self._value(source, names), arguments, names)
        match node:
            case ast.Constant(value=constant):
                return self._constant(constant)
            case ast.Name(id=name):
                return names.get(name, UNKNOWN)
            case ast.Dict(keys=keys, values=values):
                literals = (str(ast.literal_eval(key)) for key in keys if key is not None)
                return Record(tuple(literals), self._values(values, names))
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                return Record(None, self._values(elements, names))
            case ast.Subscript(value=of, slice=ast.Constant(value=key)):
                return _subscript(self._value(of, names), key)
            case ast.Attribute(value=of, attr=name):
                value = self._value(of, names)
                return value.get(name) if isinstance(value, Record) else self._member(value, name)
            case ast.Call():
                return self._call(node, names)
            case ast.UnaryOp(operand=operand):
                return self._value(operand, names)
            case ast.BinOp(left=left, right=right, op=op):
                if isinstance(op, ast.Div | ast.Pow):
                    return self._if_cpp("float64")
                return self._more_accurate(self._value(left, names), self._value(right, names))
            case ast.Compare() | ast.BoolOp():
                return self._if_cpp("bool")
            case ast.IfExp():
                return self._if_cpp("float64")
        return UNKNOWN

    def _values(self, nodes: Sequence[ast.expr], names: Names) -> tuple[Value, ...]:
        return tuple(self._value(node, names) for node in nodes)

    def _constant(self, constant: object) -> Value:
        dtypes = {bool: "bool", int: "int32", float: "float64", str: "string"}
        return self._if_cpp(dtypes[type(constant)]) if type(constant) in dtypes else UNKNOWN

    def _if_cpp(self, dtype: str) -> Value:
        # With Uproot, the result may be an array, of a type that depends on the operands.
        return Scalar(dtype) if self.cpp else UNKNOWN

    def _call(self, node: ast.Call, names: Names) -> Value:
        match node.func:
            case ast.Lambda():
                values = self._values(node.args, names)
                return self._apply(_function(node.func, names), *values)
            case ast.Attribute(value=of, attr=name):
                return self._member(self._value(of, names), name)
            case ast.Name(id="Range"):
                return Collection(self._if_cpp("int32"))
            case ast.Name(id=name) if name in self._functions:
                return self._functions[name]
            case ast.Name(id=name) if name in _DOUBLE_FUNCTIONS:
                return self._if_cpp("float64")
        return UNKNOWN

    def _member(self, of: Value, name: str) -> Value:
        """Infer the value of a method or an attribute."""
        if name in self._functions:
            return self._functions[name]
        if isinstance(of, Object) and of.class_name is not None:
            return self._methods.get((of.class_name, name), UNKNOWN)
        # Only the event itself is unknown and has collections.
        return self._collections.get(name, UNKNOWN) if of == UNKNOWN else UNKNOWN

    def _apply_operator(
        self, name: str, source: Value, arguments: Sequence[Any], names: Names
    ) -> Value:
        """Infer the value of an operator on a sequence."""
        item = _item_of(source)
        match name:
            case "Select":
                return Collection(self._apply(_function(arguments[0], names), item))
            case "SelectMany":
                return Collection(_item_of(self._apply(_function(arguments[0], names), item)))
            case "Where" | "OrderBy" | "OrderByDescending" | "Concat":
                return Collection(item)
            case "First" | "Last" | "ElementAt":
                return item
            case "Count":
                return Scalar("int32" if self.cpp else "int64")
            case "Sum":
                return self._more_accurate(Scalar("int32"), item)
            case "Max" | "Min":
                return self._if_cpp("float64")
            case "All" | "Any" | "Contains":
                return Scalar("bool")
            case "Aggregate":
                start = self._value(arguments[0], names)
                function = _function(arguments[1], names)
                return self._more_accurate(start, self._apply(function, start, item))
            case "Zip" if isinstance(source, Record):
                return Collection(Record(source.names, tuple(map(_item_of, source.values))))
            case "Choose":
                count = ast.literal_eval(arguments[0])
                return Collection(Record(None, (item,) * int(count)))
        return UNKNOWN

    def _apply(self, function: _Function | None, *values: Value) -> Value:
        if function is None:
            return UNKNOWN
        names = {**function.names, **dict(zip(function.parameters, values, strict=False))}
        return self._value(function.body, names)

    def _more_accurate(self, left: Value, right: Value) -> Value:
        dtypes = [value.dtype for value in (left, right) if isinstance(value, Scalar)]
        if not self.cpp or len(dtypes) < 2 or not all(dtype in _BY_ACCURACY for dtype in dtypes):
            return UNKNOWN
        return Scalar(max(dtypes, key=_BY_ACCURACY.index))


def _item_of(value: Value) -> Value:
    return value.item if isinstance(value, Collection) else UNKNOWN


def _subscript(value: Value, key: object) -> Value:
    if isinstance(value, Record):
        return value.get(key)
    return _item_of(value)


def _returned(metadata: Mapping[str, Any]) -> Value:
    """Return what a method returns, by its metadata."""
    if "tree_type" in metadata:
        return from_cpp_type(metadata["tree_type"])
    if "return_type" in metadata:
        return from_cpp_type(metadata["return_type"])
    return Collection(from_cpp_type(metadata["return_type_element"]))


def _function(node: Any, names: Names) -> _Function | None:
    if not isinstance(node, ast.Lambda):
        return None
    return _Function(tuple(parameter.arg for parameter in node.args.args), node.body, names)


def _operation(node: Any) -> tuple[str, Any, Sequence[Any]] | None:
    """Split an operator into its name, source and arguments; ``None`` for other nodes.

    func_adl writes ``Select(jets, f)`` and ``jets.Select(f)``; qastle has a node for each operator.
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
