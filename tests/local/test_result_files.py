from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from servicex_layer.local._result_files import discard, remove_directory, replace


def in_use(code: int) -> PermissionError:
    """Return the error with which Windows refuses to change an open file."""
    error = PermissionError("The process cannot access the file")
    vars(error)["winerror"] = code
    return error


class OpenFile(type(Path())):  # type: ignore[misc]
    """A file that others have open, as on Windows, for a number of attempts to change it."""

    attempts: int = 0
    code: int = 32

    def _attempt(self) -> None:
        if self.attempts:
            self.attempts -= 1
            raise in_use(self.code)

    def unlink(self, missing_ok: bool = False) -> None:
        self._attempt()
        super().unlink(missing_ok)

    def replace(self, target: Path) -> Path:
        self._attempt()
        return Path(super().replace(target))


@pytest.fixture
def open_file(tmp_path: Path) -> Callable[..., OpenFile]:
    def open_file(attempts: int, code: int = 32) -> OpenFile:
        path = OpenFile(tmp_path / "open")
        path.write_text("new")
        path.attempts, path.code = attempts, code
        return path

    return open_file


@pytest.mark.parametrize("code", [5, 32, 1224])
def test_an_open_file_stays_until_its_directory_is_removed(
    open_file: Callable[..., OpenFile], code: int
):
    path = open_file(1, code)
    discard(path)
    assert path.exists()
    remove_directory(path.parent)
    assert not path.parent.exists()


def test_discard_removes_a_file_and_ignores_a_missing_one(tmp_path: Path):
    path = tmp_path / "closed"
    path.touch()
    discard(path)
    assert not path.exists()
    discard(path)


def test_discard_raises_other_errors(tmp_path: Path):
    with pytest.raises(OSError, match=str(tmp_path.name)):
        discard(tmp_path)


def test_replace_waits_until_the_file_is_closed(open_file: Callable[..., OpenFile], tmp_path: Path):
    (tmp_path / "target").write_text("old")
    replace(open_file(2), tmp_path / "target")
    assert (tmp_path / "target").read_text() == "new"


def test_replace_gives_up_after_the_timeout(open_file: Callable[..., OpenFile], tmp_path: Path):
    with pytest.raises(PermissionError, match="cannot access"):
        replace(open_file(1_000_000), tmp_path / "target", timeout=0.1)


def test_replace_raises_other_errors_at_once(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        replace(tmp_path / "missing", tmp_path / "target", timeout=1_000_000)
