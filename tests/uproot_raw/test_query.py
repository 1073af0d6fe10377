from __future__ import annotations

import json

import pytest

from servicex_layer.errors import InvalidArgumentError
from servicex_layer.uproot_raw import parse_selection


def test_nulls_of_the_official_client_are_ignored():
    entry = dict.fromkeys(["cut", "expressions", "aliases", "fail_on_missing_trees"])
    (query,) = parse_selection(json.dumps([{"treename": "t", **entry}]))
    assert query.trees == {"t": "t"}
    assert query.arguments == {}
    assert not query.may_be_missing


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ("", "not valid JSON"),
        ("{}", "list"),
        ("[]", "list"),
        ("[1]", "must be an object"),
        ("[{}]", "treename"),
        ('[{"treename": ""}]', "treename"),
        ('[{"treename": [1]}]', "treename"),
        ('[{"treename": {"a": 1}}]', "treename"),
        ('[{"treename": "t", "cut": 1}]', "cut"),
        ('[{"treename": "t", "expressions": 1}]', "expressions"),
        ('[{"treename": "t", "aliases": []}]', "aliases"),
        ('[{"treename": "t", "columns": []}]', "columns"),
        ('[{"copy_histograms": "h"}]', "copy_histograms"),
        ('[{"treename": "t"}, {"treename": "t"}]', "both named 't'"),
    ],
)
def test_malformed_selection_is_an_error(selection: str, message: str):
    with pytest.raises(InvalidArgumentError, match=message):
        parse_selection(selection)
