"""The functions of NumPy that have a translation, by how exactly two computers agree on them."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = [
    "ARITHMETIC",
    "COMPARISONS",
    "EXACT",
    "INTEGER_ARITHMETIC",
    "LOGIC",
    "MIRRORED",
    "PREDICATES",
    "ROUGH",
    "ROUGH_NAMES",
]

COMPARISONS: dict[Any, str] = {
    np.greater: ">",
    np.greater_equal: ">=",
    np.less: "<",
    np.less_equal: "<=",
    np.equal: "==",
    np.not_equal: "!=",
}

MIRRORED = {">": "<", ">=": "<=", "<": ">", "<=": ">=", "==": "==", "!=": "!="}
"""The comparison that holds with its sides exchanged."""

ARITHMETIC: dict[Any, str] = {
    np.add: "+",
    np.subtract: "-",
    np.multiply: "*",
    np.true_divide: "/",
    np.power: "**",
}

INTEGER_ARITHMETIC: dict[Any, str] = {
    np.bitwise_and: "&",
    np.bitwise_or: "|",
    np.remainder: "%",
}

LOGIC: dict[Any, str] = {
    np.bitwise_and: "&",
    np.logical_and: "&",
    np.bitwise_or: "|",
    np.logical_or: "|",
}

EXACT: dict[Any, str] = {
    np.absolute: "absolute",
    np.ceil: "ceil",
    np.floor: "floor",
    np.negative: "neg",
    np.rint: "rint",
    np.sqrt: "sqrt",
    np.trunc: "trunc",
}
"""IEEE 754 defines their results to the last bit."""

PREDICATES: dict[Any, str] = {
    np.isfinite: "isfinite",
    np.isinf: "isinf",
    np.isnan: "isnan",
}

ROUGH: dict[Any, str] = {
    np.arctan: "arctan",
    np.arctan2: "arctan2",
    np.cos: "cos",
    np.cosh: "cosh",
    np.exp: "exp",
    np.hypot: "hypot",
    np.log: "log",
    np.log10: "log10",
    np.sin: "sin",
    np.sinh: "sinh",
    np.tan: "tan",
    np.tanh: "tanh",
}
"""Versions and processors may differ in their last bits."""

ROUGH_NAMES = frozenset(ROUGH.values())
