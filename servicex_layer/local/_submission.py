"""The body of a submission: written by `LocalServiceX.submit`, checked by the server."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from servicex_layer._model import is_url
from servicex_layer.errors import InvalidArgumentError
from servicex_layer.local._request import Submission
from servicex_layer.uproot_raw import CODEGEN, RESULT_FORMATS, parse_selection

_DESTINATIONS = ("object-store", "volume")


class RejectedError(Exception):
    """A submission that ServiceX rejects, with the status of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def absolute_paths(files: object) -> list[str]:
    """Make paths absolute, and leave URLs.

    Raises
    ------
    InvalidArgumentError
        If `files` is not an iterable of paths and URLs, or a path is not that of a file.
    """
    if isinstance(files, str | Path) or not isinstance(files, Iterable):
        raise InvalidArgumentError(f"files must be a list of paths or URLs, not {files!r}")
    absolute = [
        file if isinstance(file, str) and is_url(file) else str(Path(file).absolute())
        for file in files
    ]
    missing = [file for file in absolute if not is_url(file) and not Path(file).is_file()]
    if missing:
        raise InvalidArgumentError(
            f"{len(missing)} of the input files do not exist, the first is {missing[0]}: give "
            "paths of files on this machine, or URLs"
        )
    return absolute


def build_selection(
    tree: str | Sequence[str] | Mapping[str, str] | None,
    columns: Sequence[str] | None,
    cut: str | None,
    selection: str | Sequence[Mapping[str, Any]] | None,
) -> str:
    """Return the selection of ``uproot-raw`` as JSON.

    Raises
    ------
    InvalidArgumentError
        If not exactly one of `tree` and `selection` is set, or `selection` is set with others.
    """
    if (tree is None) == (selection is None):
        raise InvalidArgumentError("set exactly one of tree and selection")
    if selection is None:
        entry = {"treename": tree, "filter_name": columns, "cut": cut}
        return json.dumps([{key: value for key, value in entry.items() if value is not None}])
    if columns is not None or cut is not None:
        raise InvalidArgumentError("columns and cut need tree; write them into the selection")
    return selection if isinstance(selection, str) else json.dumps(selection)


def parse_submission(body: dict[str, Any], manual: bool) -> Submission:
    """Check the body of a submission.

    Raises
    ------
    RejectedError
        If the body is malformed (400), or its code generator is unknown (500).
    """
    codegen = body.get("codegen")
    if not isinstance(codegen, str):
        raise RejectedError(400, "codegen must be a string")
    selection = body.get("selection")
    if not isinstance(selection, str):
        raise RejectedError(400, "selection must be a string")
    title, did, files = body.get("title"), body.get("did"), body.get("file-list")
    if title is not None and not isinstance(title, str):
        raise RejectedError(400, "title must be a string")
    if (did is None) == (files is None):
        raise RejectedError(400, "Set exactly one of did and file-list")
    if did is not None and not isinstance(did, str):
        raise RejectedError(400, "did must be a string")
    if files is not None and not is_list_of_strings(files):
        raise RejectedError(400, "file-list must be a list of strings")
    if codegen != CODEGEN:
        raise RejectedError(500, f"There is no code generator {codegen!r}, only {CODEGEN}")
    try:
        parse_selection(selection)
    except InvalidArgumentError as error:
        raise RejectedError(400, str(error)) from error
    return Submission(
        inputs=tuple(files or ()),
        selection=selection,
        result_format=_choice(body, "result-format", RESULT_FORMATS),
        result_destination=_choice(body, "result-destination", _DESTINATIONS),
        title=title,
        did=did,
        manual=manual,
    )


def is_list_of_strings(value: object) -> TypeGuard[list[str]]:
    """Return whether a value from JSON is a list of encodable strings."""
    # JSON allows lone surrogates, which no encoding takes
    return isinstance(value, list) and all(
        isinstance(item, str) and _is_encodable(item) for item in value
    )


def _choice(body: dict[str, Any], key: str, choices: tuple[str, ...]) -> str:
    value = body.get(key, choices[0])
    if value not in choices:
        raise RejectedError(400, f"{key} must be one of {', '.join(choices)}, not {value!r}")
    return str(value)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
