from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from servicex_layer._model import ResultFile, ResultRow
from servicex_layer.feed._ledger import Ledger

TIME = datetime(2026, 11, 22, 19, 45, tzinfo=UTC)


def row(
    id: int,  # noqa: A002  (the row's own word)
    name: str,
    *,
    success: bool = True,
    size: int = 1,
    input: str = "in.root",  # noqa: A002
    second: int = 0,
) -> ResultRow:
    time = TIME + timedelta(seconds=second)
    return ResultRow(ResultFile(id, time, name, input, 1, size), success)


def ledger_of(*batches: list[ResultRow]) -> Ledger:
    ledger = Ledger()
    for rows in batches:
        ledger.add_rows(rows)
    return ledger


def names(ledger: Ledger) -> list[str]:
    return [file.name for file in ledger.files if file is not None]


def sizes(ledger: Ledger) -> dict[str, int]:
    return {file.name: file.size for file in ledger.files if file is not None}


def test_a_row_that_is_added_again_changes_nothing():
    rows = [row(1, "a.root"), row(2, "none", success=False)]
    ledger = ledger_of(rows, rows)
    assert (names(ledger), ledger.failures, ledger.rows) == (["a.root"], ["in.root"], 2)


def test_a_failure_that_turns_into_a_success_is_a_file_and_no_failure():
    ledger = ledger_of([row(1, "none", success=False), row(2, "b.root")], [row(1, "a.root")])
    assert (names(ledger), ledger.failures) == (["b.root", "a.root"], [])
    assert (ledger.rows, ledger.succeeded) == (2, 2)


def test_a_file_that_is_written_again_keeps_its_number_and_has_its_last_size():
    ledger = ledger_of([row(1, "a.root"), row(2, "b.root")], [row(1, "a.root", size=7)])
    assert [(file.name, file.size) for file in ledger.files if file] == [
        ("a.root", 7),
        ("b.root", 1),
    ]
    assert (ledger.rows, ledger.succeeded, ledger.withdrawn) == (2, 2, set())


def test_a_file_that_fails_after_it_was_finished_is_withdrawn_until_it_is_finished_again():
    ledger = ledger_of([row(1, "a.root")], [row(1, "none", success=False)])
    assert (ledger.withdrawn, ledger.failures, ledger.succeeded) == ({"a.root"}, ["in.root"], 0)
    ledger.add_rows([row(1, "a.root")])
    assert (names(ledger), ledger.withdrawn, ledger.failures) == (["a.root"], set(), [])


def test_a_row_that_names_another_object_withdraws_the_first_one():
    ledger = ledger_of([row(1, "a.root")], [row(1, "b.root")])
    assert ledger.withdrawn == {"a.root"}


def test_a_file_that_was_transformed_twice_is_numbered_once():
    ledger = ledger_of([row(1, "a.root"), row(2, "b.root")], [row(3, "a.root")])
    assert names(ledger) == ["a.root", "b.root"]
    assert ledger.rows == 3, "the server counts both rows"


def test_an_input_that_is_listed_twice_is_repeated_and_another_input_of_the_object_is_not():
    ledger = ledger_of([row(1, "a.root"), row(2, "a.root"), row(3, "a.root", input="other.root")])
    assert (names(ledger), ledger.repeated) == (["a.root"], ["in.root"])


def test_objects_without_ids_are_known_by_their_names():
    ledger = ledger_of([row(0, "a.root"), row(0, "b.root")], [row(0, "a.root", second=9)])
    assert names(ledger) == ["a.root", "b.root"]
    assert (ledger.rows, ledger.withdrawn, ledger.newest) == (2, set(), TIME + timedelta(seconds=9))


def test_failures_that_share_a_name_count_each():
    ledger = ledger_of([row(1, "none", success=False), row(2, "none", success=False)])
    assert len(ledger.failures) == 2


def test_neighbours_of_a_file():
    ledger = ledger_of([row(1, "a.root"), row(2, "b.root"), row(3, "c.root")])
    assert ledger.batch_names("b.root", 5) == ["b.root", "a.root", "c.root"]
    assert ledger.batch_names("b.root", 2) == ["b.root", "a.root"]
    assert ledger.batch_names("c.root", 2) == ["c.root"]
    assert ledger.batch_names("unknown.root", 2) == ["unknown.root"]


def test_a_seeded_number_is_only_for_its_file():
    other = ledger_of([row(1, "a.root"), row(2, "b.root")])
    ledger = Ledger()
    assert ledger.extend(other.order)
    ledger.add_rows([row(3, "c.root"), row(2, "b.root")])
    assert [file and file.name for file in ledger.files] == [None, "b.root"]
    assert ledger.order == other.order
    ledger.add_rows([row(1, "a.root")])
    assert names(ledger) == ["a.root", "b.root", "c.root"]


def test_a_seed_that_comes_later_extends_the_order_and_a_contradiction_changes_nothing():
    ledger, other = ledger_of([row(1, "a.root")]), ledger_of([row(1, "a.root"), row(2, "b.root")])
    assert ledger.extend(other.order)
    assert not ledger.extend(ledger_of([row(2, "b.root")]).order)
    ledger.add_rows([row(3, "c.root"), row(2, "b.root")])
    assert names(ledger) == ["a.root", "b.root", "c.root"]


def test_a_file_that_waits_for_a_seeded_one_can_still_be_updated():
    ledger = Ledger()
    ledger.extend(ledger_of([row(1, "a.root")]).order)
    ledger.add_rows([row(2, "b.root"), row(3, "c.root")])
    ledger.add_rows([row(2, "none", success=False), row(3, "c.root", size=7)])
    ledger.add_rows([row(1, "a.root")])
    assert [(file.name, file.size) for file in ledger.files if file] == [
        ("a.root", 1),
        ("c.root", 7),
    ]
    assert ledger.withdrawn == set()


SOME_ROWS = st.lists(
    st.builds(
        lambda id, success, size, second: row(  # noqa: A006
            id, f"{id}.root" if success else "none", success=success, size=size, second=second
        ),
        st.integers(1, 6),
        st.booleans(),
        st.integers(1, 3),
        st.integers(0, 3),
    ),
    max_size=6,
)


@given(st.lists(SOME_ROWS, max_size=8))
def test_numbers_never_change_hands_and_the_last_state_of_a_row_counts(
    batches: list[list[ResultRow]],
):
    ledger = Ledger()
    last: dict[int, ResultRow] = {}
    before: list[str] = []
    for rows in batches:
        ledger.add_rows(rows)
        last |= {row.file.id: row for row in rows}
        assert names(ledger)[: len(before)] == before
        before = names(ledger)
        successes = [row for row in last.values() if row.success]
        assert (ledger.rows, ledger.succeeded) == (len(last), len(successes))
        assert len(ledger.failures) == len(last) - len(successes)
        assert set(before) - ledger.withdrawn == {row.file.name for row in successes}
        assert len(set(before)) == len(before)
