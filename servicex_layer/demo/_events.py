"""Generated input for the demo: ROOT files of Z bosons that decay to two muons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
import vector

__all__ = ["MUON_MASS", "TREE", "write_file"]

TREE = "events"

# In GeV.
_Z_MASS = 91.2
_Z_WIDTH = 2.5
MUON_MASS = 0.1057
_MASS_RANGE = 60.0, 120.0


def write_file(path: Path, events: int, seed: int) -> None:
    """Write a ROOT file of Z bosons that decay to two muons.

    Its tree has the jagged branches ``Muon_pt``, ``Muon_eta``, ``Muon_phi`` and ``Muon_charge``.
    Each event has the muons of one Z within the acceptance, and some unrelated ones.

    Parameters
    ----------
    path : pathlib.Path
        The file to write.
    events : int
        Number of events.
    seed : int
        The seed of the random numbers.
    """
    generator = np.random.default_rng(seed)
    muons = [*_muons_from_z(generator, events), _unrelated_muons(generator, events)]
    table = {name: np.concatenate([muon[name] for muon in muons]) for name in muons[0]}
    accepted = (np.abs(table["eta"]) < 2.4) & (table["pt"] > 3.0)
    order = np.argsort(table["event"][accepted], kind="stable")
    counts = np.bincount(table["event"][accepted], minlength=events)
    columns = {
        name: ak.unflatten(table[name][accepted][order].astype(dtype), counts)
        for name, dtype in {"pt": "f4", "eta": "f4", "phi": "f4", "charge": "i4"}.items()
    }
    with uproot.recreate(path) as file:
        muon_type = "{pt: float32, eta: float32, phi: float32, charge: int32}"
        tree = file.mktree(TREE, {"Muon": f"var * {muon_type}"})
        tree.extend({"Muon": ak.zip(columns)})


def _muons_from_z(generator: np.random.Generator, events: int) -> list[dict[str, np.ndarray]]:
    mass = _breit_wigner(generator, events)
    pt = generator.exponential(15.0, events)
    rapidity = generator.normal(0.0, 1.2, events)
    phi = generator.uniform(-np.pi, np.pi, events)
    z = _momenta(pt, phi, np.hypot(mass, pt) * np.sinh(rapidity), mass)
    energy = mass / 2
    momentum = np.sqrt(energy**2 - MUON_MASS**2)
    cosine = generator.uniform(-1.0, 1.0, events)
    pt = momentum * np.sqrt(1 - cosine**2)
    phi = generator.uniform(-np.pi, np.pi, events)
    muon = _momenta(pt, phi, momentum * cosine, MUON_MASS)
    other = _momenta(pt, phi + np.pi, -momentum * cosine, MUON_MASS)
    first = generator.choice([-1, 1], events)
    return [
        _measured(generator, muon.boost(z), first),
        _measured(generator, other.boost(z), -first),
    ]


def _breit_wigner(generator: np.random.Generator, events: int) -> np.ndarray:
    low, high = (np.arctan(2 * (mass - _Z_MASS) / _Z_WIDTH) for mass in _MASS_RANGE)
    return _Z_MASS + _Z_WIDTH / 2 * np.tan(generator.uniform(low, high, events))


def _momenta(pt: np.ndarray, phi: np.ndarray, pz: np.ndarray, mass: np.ndarray | float) -> Any:
    masses = np.broadcast_to(mass, pt.shape)
    return vector.array({"pt": pt, "phi": phi, "pz": pz, "mass": masses})


def _measured(
    generator: np.random.Generator, muon: Any, charge: np.ndarray
) -> dict[str, np.ndarray]:
    resolution = generator.normal(1.0, 0.01, len(charge))
    return {
        "event": np.arange(len(charge)),
        "pt": np.asarray(muon.pt) * resolution,
        "eta": np.asarray(muon.eta),
        "phi": np.asarray(muon.phi),
        "charge": charge,
    }


def _unrelated_muons(generator: np.random.Generator, events: int) -> dict[str, np.ndarray]:
    event = np.repeat(np.arange(events), generator.poisson(0.3, events))
    return {
        "event": event,
        "pt": 3.0 + generator.exponential(8.0, len(event)),
        "eta": generator.normal(0.0, 1.5, len(event)),
        "phi": generator.uniform(-np.pi, np.pi, len(event)),
        "charge": generator.choice([-1, 1], len(event)),
    }
