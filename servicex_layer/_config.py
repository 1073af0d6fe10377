"""Settings, and the backends of the user's ``servicex.yaml``."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.config
import yaml
from dask.utils import parse_bytes, parse_timedelta

from servicex_layer._model import Backend, is_sendable
from servicex_layer.errors import ConfigError, UnknownBackendError

__all__ = ["Polling", "config_file", "find_backend", "n_bytes", "seconds"]

_FILE_NAMES = (".servicex", "servicex.yaml")

with (Path(__file__).parent / "servicex-layer.yaml").open() as _file:
    dask.config.update_defaults(yaml.safe_load(_file))


def seconds(setting: str) -> float | None:
    """Read a setting that is a time.

    Parameters
    ----------
    setting : str
        Its name below ``servicex-layer``, such as ``"poll-interval"``.

    Returns
    -------
    float or None
        Its value in seconds; ``None`` where the setting is null.

    Raises
    ------
    ConfigError
        Where the value is no time.

    Examples
    --------
    >>> with dask.config.set({"servicex-layer.poll-interval": "250ms"}):
    ...     seconds("poll-interval")
    0.25
    """
    value = dask.config.get(f"servicex-layer.{setting}")
    if value is None:
        return None
    try:
        parsed = float(parse_timedelta(value, default="seconds"))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        parsed = -1.0
        cause: Exception | None = error
    else:
        cause = None
    if not parsed >= 0:
        raise ConfigError(
            f"The setting servicex-layer.{setting} is {value!r}, which is no time. "
            "Give a number of seconds or a text such as '500ms'."
        ) from cause
    return parsed


def n_bytes(setting: str) -> int:
    """Read a setting that is a size, in bytes; parameters and errors are those of `seconds`.

    Examples
    --------
    >>> with dask.config.set({"servicex-layer.range-threshold": "1 MiB"}):
    ...     n_bytes("range-threshold")
    1048576
    """
    value = dask.config.get(f"servicex-layer.{setting}")
    try:
        return int(parse_bytes(value))
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"The setting servicex-layer.{setting} is {value!r}, which is no size. Give a number "
            "of bytes or a text such as '8 MiB'."
        ) from error


@dataclass(frozen=True, slots=True)
class Polling:
    """How a request is followed, all in seconds; from the settings of the same names.

    A client's settings go with its registration to the scheduler that polls for it.
    """

    interval: float
    interval_max: float
    overlap: float
    settle: float
    timeout: float | None
    retry_timeout: float

    @classmethod
    def configured(cls) -> Polling:
        """Read the settings.

        Raises
        ------
        ConfigError
            Where one is no time.
        """
        interval = seconds("poll-interval") or 0.0
        return cls(
            interval=interval,
            interval_max=max(interval, seconds("poll-interval-max") or 0.0),
            overlap=seconds("overlap") or 0.0,
            settle=seconds("settle") or 0.0,
            timeout=seconds("timeout"),
            retry_timeout=seconds("retry-timeout") or 0.0,
        )


def find_backend(name_or_url: str | None = None, config_path: str | Path | None = None) -> Backend:
    """Return a backend of the user's ``servicex.yaml``.

    The file is searched for as the official client does: ``.servicex`` or ``servicex.yaml`` in
    the working directory, then in its parents, then in the home directory. The first match is
    used.

    Parameters
    ----------
    name_or_url : str, optional
        The backend's name, or its URL. By default, the file's ``default_endpoint``, or else its
        first backend. If several backends have the same URL, the first is used.
    config_path : str or pathlib.Path, optional
        The path of the file. By default, the setting ``config-path``, or else the file is
        searched for.

    Returns
    -------
    Backend
        Name, URL and refresh token.

    Raises
    ------
    ConfigError
        If the file is missing or invalid.
    UnknownBackendError
        If the file has no backend of this name or URL.
    """
    path = config_file(config_path)
    config = _read_file(path, path.stat().st_mtime_ns)
    backends = list(_backends(path, config))
    default = config.get("default_endpoint") or config.get("default-endpoint")
    requested = name_or_url or default
    if not requested:
        return backends[0]
    by_name = {backend.name: backend for backend in backends}
    by_url = {backend.url: backend for backend in reversed(backends)}
    key = str(requested)
    backend = by_name.get(key) or by_url.get(key.rstrip("/"))
    if backend is None:
        subject = "The backend" if name_or_url else "The default_endpoint"
        raise UnknownBackendError(
            f"{subject} {requested!r} is not in {path}, which has {', '.join(by_name)}. "
            "Choose one of these, or add it to the file's api_endpoints."
        )
    return backend


def config_file(config_path: str | Path | None = None) -> Path:
    """Find the user's ``servicex.yaml``; parameters and errors are those of `find_backend`."""
    given = config_path or dask.config.get("servicex-layer.config-path")
    if given is not None:
        path = Path(given).expanduser()
        if not path.is_file():
            raise ConfigError(f"There is no ServiceX configuration at {path}.")
        return path
    candidates = list(_candidates())
    for path in candidates:
        if path.is_file():
            return path
    here, home = Path.cwd(), Path.home()
    raise ConfigError(
        f"No ServiceX configuration found: neither .servicex nor servicex.yaml is in {here}, in "
        f"the directories above it, or in {home}. Get one from your ServiceX backend's web page, "
        "or name it in the setting servicex-layer.config-path."
    )


def _candidates() -> Iterator[Path]:
    here = Path.cwd()
    for directory in (here, *here.parents, Path.home()):
        for name in _FILE_NAMES:
            yield directory / name


@functools.lru_cache(maxsize=8)
def _read_file(path: Path, changed: int) -> dict[str, Any]:
    del changed  # another file than the one that was read
    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The ServiceX configuration {path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        # The parser's own message quotes the line, which may hold a token.
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise ConfigError(f"The ServiceX configuration {path} is not valid YAML{where}.") from None
    if not isinstance(config, dict) or not config.get("api_endpoints"):
        raise ConfigError(
            f"The ServiceX configuration {path} has no api_endpoints: a list of backends, each "
            "with name, endpoint and, where it has authentication, token."
        )
    return config


def _backends(path: Path, config: dict[str, Any]) -> Iterator[Backend]:
    endpoints = config["api_endpoints"]
    for entry in endpoints if isinstance(endpoints, list) else [endpoints]:
        given = entry if isinstance(entry, dict) else {}
        missing = [key for key in ("endpoint", "name") if not given.get(key)]
        if missing:
            raise ConfigError(
                f"An entry of api_endpoints in {path} has no {' and no '.join(missing)}."
            )
        name, url, token = str(entry["name"]), str(entry["endpoint"]), entry.get("token") or None
        if "@" in url:
            raise ConfigError(
                f"The endpoint of {name} in {path} holds a user or a password; only a token can be "
                "sent. Leave out what is before the @."
            )
        if token is not None and not is_sendable(token):
            raise ConfigError(
                f"The token of {name} in {path} is no line of ASCII characters. Get it again from "
                "the backend's web page."
            )
        yield Backend(name, url.rstrip("/"), token)
