"""The demo: an analysis of a running request from start to end, on this machine.

It needs the extras ``dask-awkward``, ``local``, ``plot`` and ``progress``, which are imported only
when it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from servicex_layer.demo._extras import require_extras

__all__ = ["run_on_files", "run_on_muons", "write_muons"]


def run_on_muons(output: Path, *, derive: bool = False) -> None:
    """Fill the dimuon mass of generated events while ServiceX transforms them.

    Parameters
    ----------
    output : pathlib.Path
        The PNG file to write.
    derive : bool
        Whether to derive the query from the analysis, and to print it.

    Raises
    ------
    MissingExtraError
        If an extra is not installed.
    """
    require_extras()
    from servicex_layer.demo import _run

    _run.run_on_muons(output, derive=derive)


def run_on_files(
    output: Path, files: Sequence[str], tree: str, column: str, *, derive: bool = False
) -> None:
    """Fill a histogram of one column of the given files while ServiceX transforms them.

    Parameters
    ----------
    output : pathlib.Path
        The PNG file to write.
    files : sequence of str
        Paths or URLs of ROOT files.
    tree, column : str
        The column to fill, and its tree.
    derive : bool
        Whether to derive the query from the analysis, and to print it.

    Raises
    ------
    MissingExtraError
        If an extra is not installed.
    InvalidArgumentError
        If a file cannot be read, has no such column, or the column holds no numbers.
    """
    require_extras()
    from servicex_layer.demo import _run

    _run.run_on_files(output, files, tree, column, derive=derive)


def write_muons(path: Path, events: int, seed: int) -> None:
    """Write a ROOT file of Z bosons that decay to two muons, the demo's input.

    Parameters
    ----------
    path : pathlib.Path
        The file to write.
    events : int
        Number of events.
    seed : int
        Seed of the random numbers.

    Raises
    ------
    MissingExtraError
        If an extra is not installed.
    """
    require_extras()
    from servicex_layer.demo import _events

    _events.write_file(path, events, seed)
