from __future__ import annotations

import awkward as ak
from awkward.forms import ListOffsetForm, NumpyForm, RecordForm

from servicex_layer.reading import datashape_of
from servicex_layer.reading._canonical_form import canonical_form


def test_datashape_has_no_documentation():
    list_of = ListOffsetForm("i64", NumpyForm("float32", parameters={"__doc__": "pT in GeV"}))
    assert datashape_of(RecordForm([list_of], ["pt"])) == "{pt: var * float32}"


def test_datashape_has_the_shape_of_numbers():
    form = RecordForm([NumpyForm("float32", inner_shape=(2, 3))], ["m"])
    assert datashape_of(form) == "{m: 2 * 3 * float32}"


def test_equal_types_have_equal_canonical_forms():
    pairs = [
        (NumpyForm("int32", inner_shape=(2,)), ak.to_regular(ak.Array([[1, 2]])).layout.form),
        (ak.Array([[1.5]]).layout.form, ListOffsetForm("i32", NumpyForm("float64"))),
    ]
    shaped, regular = map(canonical_form, pairs[0])
    assert shaped.copy(content=regular.content) == regular
    assert canonical_form(pairs[1][0]).type == canonical_form(pairs[1][1]).type


def test_strings_keep_the_parameter_that_makes_their_type():
    form = ak.Array(["a", "b"]).layout.form
    assert canonical_form(form).type == form.type
