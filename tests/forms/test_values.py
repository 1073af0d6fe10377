from __future__ import annotations

import pytest

from servicex_layer.forms._values import (
    UNKNOWN,
    Collection,
    Object,
    Record,
    Scalar,
    Value,
    fill_unknown,
    form_of,
    from_cpp_type,
    from_python_type,
    to_text,
)

FLOAT = Scalar("float64")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("double", FLOAT),
        ("const std::vector<std::vector<float>> &", Collection(Collection(Scalar("float32")))),
        ("uint8_t", Scalar("uint8")),
        ("std::string", Scalar("string")),
        ("const xAOD::Jet_v1 *", Object("xAOD::Jet_v1")),
        ("float *", UNKNOWN),
    ],
)
def test_cpp_types(name: str, value: Value):
    assert from_cpp_type(name) == value


def test_python_types():
    def fields(python_type: object) -> dict[str, type] | None:
        return {"pt": float, "hits": list} if python_type is dict else None

    def element(python_type: object) -> type | None:
        return int if python_type is list else None

    hits = Collection(Scalar("int64"))
    assert from_python_type(dict, fields, element) == Record(("pt", "hits"), (FLOAT, hits))
    assert from_python_type(object, fields, element) == UNKNOWN


def test_unknown_parts_have_no_form_and_are_filled():
    value = Record(("a", "b"), (UNKNOWN, Collection(UNKNOWN)))
    assert form_of(value) is None
    assert to_text(value) == "{a: ?, b: var * ?}"
    other = Record(("b", "a"), (Collection(FLOAT), Scalar("bool")))
    filled = fill_unknown(value, other)
    assert to_text(filled) == "{a: bool, b: var * float64}"
    form = form_of(filled)
    assert form is not None
    assert str(form.type) == "{a: bool, b: var * float64}"
