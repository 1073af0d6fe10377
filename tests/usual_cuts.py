"""Usual cuts on events of NanoAOD, and which of them become part of a derived query.

``python tests/usual_cuts.py`` prints the table of docs/query.md.
"""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np

import servicex_layer as sxl

__all__ = ["CUTS", "rows"]

FORM = (
    "{MET_pt: float32, MET_phi: float32, MET_sumEt: float32, PuppiMET_pt: float32, "
    "PuppiMET_phi: float32, PV_npvs: int32, PV_z: float32, HLT_A: bool, HLT_B: bool, "
    "run: uint32, event: uint64, nMuon: uint32, Muon_pt: var * float32, Muon_eta: var * float32, "
    "Muon_charge: var * int32, Muon_tightId: var * bool, Jet_pt: var * float32, "
    "Jet_eta: var * float32, Electron_pt: var * float32}"
)
MUONS = 'ak.zip({"pt": e.Muon_pt, "tight": e.Muon_tightId})'
CUTS = (
    "e.MET_pt > 30",
    "30 < e.MET_pt",
    "(e.MET_pt > 30) & (e.MET_pt < 80)",
    "e.HLT_A",
    "e.HLT_A | e.HLT_B",
    "~e.HLT_A",
    "e.HLT_A == 1",
    "np.logical_and(e.MET_pt > 3, e.HLT_B)",
    "e.PV_npvs >= 1",
    "e.run == 1",
    "abs(e.PV_z) < 24",
    "np.abs(e.PV_z) < 24",
    "e.MET_pt / 1000 > 0.03",
    "e.MET_pt > e.PuppiMET_pt",
    "e.MET_pt / e.MET_sumEt > 0.1",
    "np.sqrt(e.MET_sumEt) > 10",
    "np.cos(e.MET_phi - e.PuppiMET_phi) > 0.5",
    "e.MET_pt > np.float64(30.1)",
    "ak.num(e.Muon_pt) >= 2",
    "ak.num(e.Muon_pt) == 2",
    "e.nMuon >= 2",
    "ak.any(e.Jet_pt > 50, axis=1)",
    "ak.all(e.Jet_pt > 5, axis=-1)",
    "ak.sum(e.Jet_pt > 30, axis=1) >= 4",
    "ak.count_nonzero(e.Jet_pt > 30, axis=1) >= 4",
    "ak.max(e.Jet_pt, axis=1) > 30",
    "ak.fill_none(ak.max(e.Jet_pt, axis=1), 0) > 30",
    "ak.fill_none(ak.max(e.Jet_pt, axis=1) > 30, False)",
    "ak.fill_none(ak.firsts(e.Jet_pt) > 30, False)",
    "e.Jet_pt[:, 0] > 30",
    "ak.sum(e.Jet_pt, axis=1) > 200",
    "ak.sum(e.Jet_pt[e.Jet_pt > 30], axis=1) > 200",
    "ak.num(e.Muon_pt[(e.Muon_pt > 20) & (abs(e.Muon_eta) < 2.4)]) >= 2",
    "ak.num(muons[(muons.pt > 20) & muons.tight]) >= 2",
    "ak.any(muons.pt > 20, axis=1)",
    "ak.sum(e.Muon_charge, axis=1) == 0",
    "ak.prod(e.Muon_charge, axis=1) < 0",
    "ak.num(e.Muon_pt) + ak.num(e.Electron_pt) == 2",
    "ak.fill_none(ak.firsts(ak.sort(e.Jet_pt, ascending=False)), 0) > 50",
    "ak.fill_none(ak.firsts(e.Jet_eta[ak.argmax(e.Jet_pt, axis=1, keepdims=True)]), 9) < 2",
    'ak.any(ak.combinations(muons, 2, fields=["a", "b"])["a"].pt > 30, axis=1)',
    "~ak.is_none(ak.firsts(e.Muon_pt))",
    "(e.PV_npvs & 2) > 0",
    "(e.run == 1) | (e.run == 3)",
    "ak.where(e.HLT_A, e.MET_pt, 0) > 3",
    "abs(e.MET_phi - e.PuppiMET_phi) < 1",
    "e.HLT_A ^ e.HLT_B",
    "np.maximum(e.MET_pt, e.PuppiMET_pt) > 50",
    "e.event % 2 == 0",
)


def rows() -> list[tuple[str, str]]:
    """Return each cut, and whether it is pushed: ``yes``, ``with slack`` or ``no``."""
    return [(source, _is_pushed(source)) for source in CUTS]


def _is_pushed(source: str) -> str:
    def analysis(e: Any) -> Any:
        scope = {"e": e, "ak": ak, "np": np}
        scope["muons"] = eval(MUONS, scope)  # noqa: S307 - written above
        return e.MET_pt[eval(source, scope)]  # noqa: S307 - written above

    if sxl.derive_query(analysis, FORM, "Events", cut="exact").cut is not None:
        return "yes"
    return "no" if sxl.derive_query(analysis, FORM, "Events").cut is None else "with slack"


def table() -> str:
    """Return the rows as a table of Markdown."""
    lines = [f"| `{source.replace('|', chr(92) + '|')}` | {pushed} |" for source, pushed in rows()]
    return "\n".join(["| cut | pushed |", "| --- | --- |", *lines])


if __name__ == "__main__":
    print(table())  # noqa: T201 - the output of this script
