from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from servicex_layer import from_servicex
from servicex_layer.errors import FormError
from servicex_layer.forms import as_form, given_form
from servicex_layer.local import LocalServiceX

QASTLE = "(call Select (call EventDataset) (lambda (list e) (dict (list 'n') (list 1))))"
COLUMNS = {"x": np.float64, "n": "int32", "v": "var * float64"}
FORM = "{x: float64, n: int32, v: var * float64}"


@pytest.fixture
def ways(inputs: list[Path]) -> list[Any]:
    query = [{"treename": "events", "filter_name": ["x", "n", "v"]}]
    return [FORM, as_form(FORM), COLUMNS, inputs[0], str(inputs[0]), (query, inputs[0])]


def test_running_request_is_asked_for_its_status_only(
    service: LocalServiceX, submit: Callable[..., str], inputs: list[Path], ways: list[Any]
):
    request_id = submit(inputs)
    for form in [*ways, QASTLE]:
        service.traffic.reset()
        events = from_servicex(request_id, form=form)
        assert events.npartitions == 4
        calls = service.traffic.calls
        assert calls.pop("token", 0) <= 1
        assert dict(calls) == {"status": 1}


def test_every_way_computes_the_same(
    finished: Callable[..., str], inputs: list[Path], ways: list[Any]
):
    request_id = finished(inputs)
    expected = from_servicex(request_id).compute()
    for form in ways:
        found = from_servicex(request_id, form=form).compute()
        assert ak.array_equal(found, expected[found.fields])


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("nowhere.root", "'nowhere.root' is neither a datashape .* nor the path of a file"),
        ("a\0b", "neither a datashape .* nor the path of a file"),
        ("{x: quux}", "no datashape"),
        ("var * float64", "not one of records"),
        ("[{}]", "needs a sample"),
        ([{"treename": "events"}], r"needs a sample: give form=\(query, 'input.root'\)"),
        ("(call", "no qastle text"),
        (5, "neither an awkward form nor .* but a int"),
        ((5, "a.root"), "5 is no uproot-raw query"),
        (([{"treename": "t"}], "nowhere.root"), "no sample 'nowhere.root' to run the query on"),
        (([{"treename": "t"}], {"x": "float64"}), "belongs the path or URL of a sample .* {'x'"),
        ((QASTLE, "a.root"), "belong types of columns, .* and not 'a.root'"),
        (("x", "y", "z"), "neither an awkward form nor .* but a tuple"),
        (object(), "neither an awkward form nor .* but a object"),
    ],
)
def test_what_tells_no_form_is_known_at_once(form: Any, words: str):
    with pytest.raises(FormError, match=words):
        given_form(form)
    # before any configuration is looked for
    with pytest.raises(FormError, match=words):
        from_servicex("R", form=form)
