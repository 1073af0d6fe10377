from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from servicex_layer.local._object_name import MAX_LENGTH, object_name


def test_slashes_become_colons():
    name = object_name("root://eospublic.cern.ch//store/a b%20.root.1")
    assert name == "root:::eospublic.cern.ch::store:a b%20.root.1"


def test_long_names_are_the_sha_1_of_the_whole_and_the_tail():
    colons = f":{'x' * 300}:a.root"
    name = object_name(colons.replace(":", "/"))
    digest = hashlib.sha1(colons.encode(), usedforsecurity=False).hexdigest()
    assert name == f"_{digest}{colons[-(255 - 41) :]}"


@given(
    st.text(alphabet="a/:.1none%", max_size=5)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
)
def test_names_can_be_parts_of_a_path(path):
    name = object_name(path)
    assert name == object_name(path)
    assert "/" not in name
    assert name not in {"", ".", "..", "none"}
    assert len(name.encode()) <= MAX_LENGTH
