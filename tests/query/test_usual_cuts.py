from __future__ import annotations

from pathlib import Path

import usual_cuts  # type: ignore[import-not-found]

PAGE = Path(__file__).parents[2] / "docs" / "query.md"


def test_most_usual_cuts_are_pushed():
    pushed = [answer for _, answer in usual_cuts.rows()]
    assert len(pushed) == 49
    assert len(pushed) - pushed.count("no") >= 42


def test_the_page_has_the_table():
    assert usual_cuts.table() in PAGE.read_text()
