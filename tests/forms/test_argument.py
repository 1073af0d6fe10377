from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from servicex_layer import from_servicex
from servicex_layer.errors import FormError
from servicex_layer.forms import as_form, parse_form
from servicex_layer.local import LocalServiceX

pytestmark = pytest.mark.dask_awkward

QASTLE = "(call Select (call EventDataset) (lambda (list e) (dict (list 'n') (list 1))))"
COLUMNS = {"x": np.float64, "n": "int32", "v": "var * float64"}
FORM = "{x: float64, n: int32, v: var * float64}"


@pytest.fixture
def spellings(inputs: list[Path]) -> list[Any]:
    query = [{"treename": "events", "filter_name": ["x", "n", "v"]}]
    return [FORM, as_form(FORM), COLUMNS, inputs[0], str(inputs[0]), (query, inputs[0])]


def test_a_form_saves_all_requests_but_one_for_the_status(
    service: LocalServiceX, submit: Callable[..., str], inputs: list[Path], spellings: list[Any]
):
    request_id = submit(inputs)
    for form in [*spellings, QASTLE]:
        service.traffic.reset()
        events = from_servicex(request_id, form=form)
        assert events.npartitions == 4
        calls = service.traffic.calls
        assert calls.pop("token", 0) <= 1
        assert dict(calls) == {"status": 1}


def test_every_spelling_computes_the_same(
    finished: Callable[..., str], inputs: list[Path], spellings: list[Any]
):
    request_id = finished(inputs)
    expected = from_servicex(request_id).compute()
    for form in spellings:
        events = from_servicex(request_id, form=form).compute()
        assert ak.array_equal(events, expected[events.fields])


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (
            "nowhere.root",
            "'nowhere.root' is neither a datashape .* nor the path of an existing file",
        ),
        ("a\0b", "neither a datashape .* nor the path of an existing file"),
        ("{x: quux}", "not a valid datashape"),
        ("var * float64", "must be a record"),
        ("[{}]", "Pass a sample"),
        ([{"treename": "events"}], r"Pass a sample .* form=\(query, 'input.root'\)"),
        ("(call", "not valid qastle"),
        (5, "must be an awkward form, .* not of type int"),
        ((5, "a.root"), "5 is not a valid uproot-raw query"),
        (
            ([{"treename": "t"}], "nowhere.root"),
            "sample 'nowhere.root' to run the query on does not exist",
        ),
        (
            ([{"treename": "t"}], {"x": "float64"}),
            "must be the path or URL of an input file, not {'x'",
        ),
        ((QASTLE, "a.root"), "must be a mapping .*, not 'a.root'"),
        (("x", "y", "z"), "must be an awkward form, .* not of type tuple"),
        (object(), "must be an awkward form, .* not of type object"),
    ],
)
def test_invalid_argument_is_an_error_at_once(form: Any, words: str):
    with pytest.raises(FormError, match=words):
        parse_form(form)
    # Before the configuration is read.
    with pytest.raises(FormError, match=words):
        from_servicex("R", form=form)
