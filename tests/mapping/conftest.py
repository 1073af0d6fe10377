"""Fixtures of the mapping tests: a real NanoAOD file under 12 names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

NANOAOD = [
    "run",
    "luminosityBlock",
    "event",
    "nMuon",
    "Muon_pt",
    "Muon_eta",
    "Muon_phi",
    "Muon_mass",
    "Muon_charge",
    "Muon_jetIdx",
    "nJet",
    "Jet_pt",
    "Jet_eta",
    "Jet_phi",
    "Jet_mass",
]


@pytest.fixture(scope="session")
def nano(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return a real NanoAOD file under 12 names."""
    directory = tmp_path_factory.mktemp("nano")
    links = [directory / f"nano-{number}.root" for number in range(12)]
    for link in links:
        link.symlink_to(data.absolute() / "nano_dimuon.root")
    return links


@pytest.fixture(scope="session")
def nanoaod_columns() -> list[str]:
    """Return the columns that NanoAODSchema needs for muons and the jets that they are in."""
    return NANOAOD


@pytest.fixture
def nanoaod(finished: Callable[..., str]) -> Callable[..., str]:
    """Submit NanoAOD files, some columns of muons and jets, and finish them in this order."""

    def nanoaod(files: list[Path], result_format: str = "root-file") -> str:
        return finished(files, "Events", result_format=result_format, columns=NANOAOD)

    return nanoaod
