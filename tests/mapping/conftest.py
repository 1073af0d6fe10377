"""Fixtures of the mapping tests: a real NanoAOD file under 12 names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

NANOAOD = ["run", "luminosityBlock", "event", "nMuon", "nJet", "Muon_*", "Jet_*"]


@pytest.fixture
def nano(data: Path, tmp_path: Path) -> list[Path]:
    """Return a real NanoAOD file under 12 names."""
    links = [tmp_path / f"nano-{number}.root" for number in range(12)]
    for link in links:
        link.symlink_to(data.absolute() / "nano_dimuon.root")
    return links


@pytest.fixture
def nanoaod(finished: Callable[..., str]) -> Callable[..., str]:
    """Submit NanoAOD files, muons and jets only, and finish them in this order."""

    def nanoaod(files: list[Path], result_format: str = "root-file") -> str:
        return finished(files, "Events", result_format=result_format, columns=NANOAOD)

    return nanoaod
