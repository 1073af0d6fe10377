"""Compare one benchmark of this checkout with the same one of another checkout.

It shows that a change is no slower: give it a checkout from before the change. For example::

    python tests/benchmarks/compare.py ../before graph --turns 5 --files 1000
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import click
from _scripts import THIS_CHECKOUT, run_script  # type: ignore[import-not-found]
from _table import print_table  # type: ignore[import-not-found]


def main() -> None:
    """Run both scripts in turns, and print the ratios of our own values."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Further options go to the script.",
        allow_abbrev=False,
    )
    parser.add_argument("other", type=Path, help="the directory of the other checkout")
    parser.add_argument("name", help="the benchmark, for example graph for bench_graph.py")
    parser.add_argument("--turns", type=int, default=3, help="runs of each; default: %(default)s")
    options, script_arguments = parser.parse_known_args()
    checkouts = {"this": THIS_CHECKOUT, "other": options.other.resolve()}
    values: dict[str, dict[tuple[str, str], list[float]]] = {name: {} for name in checkouts}
    for turn in range(1, options.turns + 1):
        for name, checkout in checkouts.items():
            click.echo(f"turn {turn} of {options.turns}: {name} checkout")
            for line in run_script(checkout, options.name, script_arguments, quiet=True):
                figure = line["name"], line["unit"]
                values[name].setdefault(figure, []).append(statistics.median(line["ours"]))
    rows = []
    for (label, unit), this in values["this"].items():
        other = values["other"].get((label, unit))
        if other is None:
            continue
        ratios = [mine / theirs for mine, theirs in zip(this, other, strict=True)]
        rows.append(
            (
                label,
                *(f"{statistics.median(each):.3g} {unit}" for each in (this, other)),
                f"{statistics.median(ratios):.3f}",
                f"{min(ratios):.3f} - {max(ratios):.3f}",
            )
        )
    print_table(
        f"bench_{options.name}.py of this checkout and of {checkouts['other']}, "
        f"medians of {options.turns}",
        ("measurement", "this", "other", "ratio", "range"),
        rows,
    )
    unmatched = values["this"].keys() ^ values["other"].keys()
    for label, unit in sorted(unmatched):
        click.echo(f"Only in one checkout: {label} ({unit})")


if __name__ == "__main__":
    main()
