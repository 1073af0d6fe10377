from __future__ import annotations

from servicex_layer.backend import text_table


def test_columns_of_numbers_are_aligned_to_the_right():
    rows = [("name", "files", "title"), ("ttbar", "12", ""), ("a", "3", "x")]
    assert text_table(rows, numbers={1}).splitlines() == [
        "name   files  title",
        "ttbar     12",
        "a          3  x",
    ]


def test_a_table_may_have_one_row():
    assert text_table([("a", "b")]) == "a  b"
