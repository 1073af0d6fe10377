from __future__ import annotations

from datetime import UTC, datetime

from servicex_layer._model import ResultFile, ResultRow
from servicex_layer.feed._ledger import Ledger

TIME = datetime(2026, 11, 22, 19, 45, tzinfo=UTC)


def row(number, name, *, success=True):
    return ResultRow(ResultFile(number, TIME, name, "in.root", 1, 1), success)


def test_a_row_that_is_shown_again_changes_nothing():
    ledger = Ledger("a-request")
    rows = [row(1, "a.root"), row(2, "none", success=False)]
    ledger.add_rows(rows)
    ledger.add_rows(rows)
    assert (len(ledger.files), ledger.failures, ledger.rows) == (1, ["in.root"], 2)


def test_a_file_that_was_transformed_twice_is_numbered_once():
    ledger = Ledger("a-request")
    ledger.add_rows([row(1, "a.root"), row(2, "b.root")])
    ledger.add_rows([row(3, "a.root")])
    assert [file.name for file in ledger.files] == ["a.root", "b.root"]
    assert ledger.rows == 3, "the server counts both rows"


def test_failures_that_share_a_name_are_counted_each():
    ledger = Ledger("a-request")
    ledger.add_rows([row(1, "none", success=False), row(2, "none", success=False)])
    assert len(ledger.failures) == 2


def test_neighbours_of_a_file():
    ledger = Ledger("a-request")
    ledger.add_rows([row(1, "a.root"), row(2, "b.root"), row(3, "c.root")])
    assert ledger.batch_names("b.root", 5) == ["b.root", "a.root", "c.root"]
    assert ledger.batch_names("b.root", 2) == ["b.root", "a.root"]
    assert ledger.batch_names("c.root", 2) == ["c.root"]
    assert ledger.batch_names("never-shown.root", 2) == ["never-shown.root"]
