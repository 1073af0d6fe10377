from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from servicex_layer.demo._analysis import dimuon_mass
from servicex_layer.demo._events import TREE, write_file


def test_generated_events_have_the_z_peak(tmp_path: Path):
    path = tmp_path / "z.root"
    write_file(path, 20_000, seed=1)
    mass = dimuon_mass(TREE).fill_plainly([str(path)])
    edges = mass.axes[0].edges
    assert edges[np.argmax(mass.values())] == pytest.approx(91.2, abs=1.0)
    above_half = np.flatnonzero(mass.values() > mass.values().max() / 2)
    assert 2.0 < edges[above_half[-1] + 1] - edges[above_half[0]] < 6.0


def test_generated_events_are_jagged_and_depend_only_on_the_seed(tmp_path: Path):
    for name, seed in {"a": 1, "b": 1, "c": 2}.items():
        write_file(tmp_path / name, 1000, seed)
    muons = {name: uproot.open({tmp_path / name: TREE})["Muon_pt"].array() for name in "abc"}
    assert {0, 1, 2, 3} <= set(ak.num(muons["a"]).tolist())
    assert ak.array_equal(muons["a"], muons["b"])
    assert not ak.array_equal(muons["a"], muons["c"])
