from __future__ import annotations

import hashlib
from pathlib import PureWindowsPath

import pytest
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


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (r"C:\data\a b.root", "C::data:a b.root"),
        (r"C:\data\..\..\a.root", "C::data:..:..:a.root"),
        ("D:/data\\a.root", "D::data:a.root"),
        (r"\\server\share\a.root", "::server:share:a.root"),
        ("file:///C:/data/a.root", "file::::C::data:a.root"),
    ],
)
def test_a_path_of_windows_has_no_backslash_in_its_name(path: str, name: str):
    assert object_name(path) == name
    # A client that saves it on Windows has to replace the colons.
    saved = PureWindowsPath(r"C:\results") / name.replace(":", "_")
    assert saved.parent == PureWindowsPath(r"C:\results")


def test_a_backslash_in_a_path_of_posix_stays():
    assert object_name(r"/data/a\b.root") == r":data:a\b.root"
