"""dask-awkward's undocumented names behave as `servicex_layer.graph._dask_awkward` needs it."""

from __future__ import annotations

import awkward as ak
import pytest
from awkward.forms import form_with_unique_keys
from awkward.typetracer import typetracer_with_report
from dask.highlevelgraph import HighLevelGraph
from dask.local import get_sync
from optional_dask_awkward import dak  # type: ignore[import-not-found]

from servicex_layer.graph import _dask_awkward as names

pytestmark = pytest.mark.dask_awkward


def test_a_new_array_has_its_layer_meta_and_divisions():
    meta = ak.Array([1.5]).layout.to_typetracer(forget_length=True)
    graph = HighLevelGraph.from_collections(
        "two", {("two", 0): ak.Array([1.5]), ("two", 1): ak.Array([2.5])}
    )
    array = names.new_array(graph, "two", ak.Array(meta), [0, 1, 2])
    assert (array.npartitions, array.divisions) == (2, (0, 1, 2))
    assert array.compute(scheduler="sync").to_list() == [1.5, 2.5]
    assert names.meta_of(array).layout.form == meta.form


def test_a_stand_in_layer_returns_its_value_in_partition_0():
    layer = names.stand_in_layer("stand-in", 1000, "meta", "label")
    assert isinstance(layer, dak.layers.AwkwardInputLayer)
    assert list(layer) == [("stand-in", 0)]
    assert get_sync(dict(layer), ("stand-in", 0)) == "meta"
    assert not names.stand_in_layer("stand-in", 0, "meta", "label")


def test_touched_buffers_are_those_of_the_data_and_of_the_shapes_above():
    form = form_with_unique_keys(
        ak.forms.from_type(
            ak.types.from_datashape("{x: float64, v: var * {y: float64}}", highlevel=False)
        ),
        "@",
    )
    structure = names.form_structure(form, dak.lib.utils.render_buffer_key)
    meta, report = typetracer_with_report(
        form, highlevel=True, buffer_key=dak.lib.utils.render_buffer_key
    )
    ak.num(meta.v)
    buffers = names.touched_buffers(report, structure, names.parse_buffer_key)
    touched = {structure["form_key_to_path"][names.parse_buffer_key(key)[0]] for key in buffers}
    assert touched == {("v",)}
    assert {names.parse_buffer_key(key)[1] for key in buffers} == {"offsets"}
