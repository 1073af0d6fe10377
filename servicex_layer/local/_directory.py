"""The files of a running server: ``servicex.yaml`` and the results."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import yaml

from servicex_layer.errors import InvalidArgumentError
from servicex_layer.local._result_files import remove_directory


@dataclass(frozen=True)
class ServerDirectory:
    """The files of a running server.

    Parameters
    ----------
    servicex_yaml
        The configuration file for clients.
    results
        The directory of the result files.
    temporary
        The directory of both, if it must be removed as well.
    """

    servicex_yaml: Path
    results: Path
    temporary: Path | None

    @classmethod
    def create(cls, path: Path | None, configuration: object) -> Self:
        """Create the files in a directory, or in a temporary one if `path` is None.

        Raises
        ------
        InvalidArgumentError
            If the directory can't be used, or has a ``servicex.yaml``.
        """
        temporary = None
        if path is None:
            path = temporary = Path(tempfile.mkdtemp(prefix="servicex-local-"))
        servicex_yaml = path / "servicex.yaml"
        try:
            path.mkdir(parents=True, exist_ok=True)
            _write_private(servicex_yaml, yaml.safe_dump(configuration, sort_keys=False))
            results = Path(tempfile.mkdtemp(prefix="results-", dir=path))
        except FileExistsError as error:
            raise InvalidArgumentError(
                f"{error.filename} is there already: choose another directory, or remove the file "
                "if an embedded ServiceX has left it behind"
            ) from error
        except OSError as error:
            raise InvalidArgumentError(
                f"the directory {path} cannot be used: {error.strerror}"
            ) from error
        return cls(servicex_yaml, results, temporary)

    def remove(self) -> None:
        """Remove what `create` has made."""
        self.servicex_yaml.unlink(missing_ok=True)
        for directory in (self.results, self.temporary):
            if directory is not None and directory.exists():
                remove_directory(directory)


def _write_private(path: Path, text: str) -> None:
    # the file holds the refresh token
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
