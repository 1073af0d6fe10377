from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servicex_layer.local._object_names import MAX_LENGTH, object_names


def test_slashes_become_colons():
    assert object_names(["root://eospublic.cern.ch//store/a b%20.root.1"]) == [
        "root:::eospublic.cern.ch::store:a b%20.root.1"
    ]


def test_long_names_keep_their_tail_behind_a_hash():
    paths = [f"/{'x' * 300}/{n}/µµ.root" for n in range(2)]
    names = object_names(paths)
    assert len(set(names)) == 2
    for n, name in enumerate(names):
        assert len(name.encode()) == MAX_LENGTH
        assert name.endswith(f"x:{n}:µµ.root")


@given(
    st.lists(
        st.text(alphabet="a/:.1none%", max_size=5)
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
    )
)
def test_names_are_unique_and_can_be_parts_of_a_path(paths):
    names = object_names(paths)
    assert len(set(names)) == len(paths)
    for name in names:
        assert "/" not in name
        assert name not in {"", ".", "..", "none"}
        assert len(name.encode()) <= MAX_LENGTH


def test_ten_thousand_times_the_same_path():
    assert len(set(object_names(["/data/a.root"] * 10_000))) == 10_000
