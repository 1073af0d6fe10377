"""The settings, and the backends in the user's ``servicex.yaml``."""

from __future__ import annotations

import difflib
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

_defaults = (Path(__file__).parent / "servicex-layer.yaml").read_bytes()
dask.config.update_defaults(yaml.safe_load(_defaults))


def seconds(setting: str) -> float | None:
    """Return a duration from the settings.

    Parameters
    ----------
    setting : str
        Its name below ``servicex-layer``, such as ``"poll-interval"``.

    Returns
    -------
    float or None
        Its value in seconds; ``None`` if the setting is null.

    Raises
    ------
    ConfigError
        If the value is not a valid duration.

    Examples
    --------
    >>> with dask.config.set({"servicex-layer.poll-interval": "250ms"}):
    ...     seconds("poll-interval")
    0.25
    """
    value = dask.config.get(f"servicex-layer.{setting}")
    if value is None:
        return None
    cause: Exception | None = None
    try:
        duration = float(parse_timedelta(value, default="seconds"))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        duration, cause = -1.0, error
    # `not >=` also refuses NaN.
    if not duration >= 0:
        raise ConfigError(
            f"The setting servicex-layer.{setting} is {value!r}, which is not a valid duration. "
            "It must be a number of seconds or a string such as '500ms'."
        ) from cause
    return duration


def n_bytes(setting: str) -> int:
    """Return a size from the settings, in bytes; parameters and errors are those of `seconds`.

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
            f"The setting servicex-layer.{setting} is {value!r}, which is not a valid size. It "
            "must be a number of bytes or a string such as '8 MiB'."
        ) from error


@dataclass(frozen=True, slots=True)
class Polling:
    """How a request is polled: the settings of the same names, in seconds.

    A client sends its settings to the scheduler that polls for it.
    """

    interval: float
    interval_max: float
    overlap: float
    forget_after: float
    timeout: float | None
    retry_timeout: float

    @classmethod
    def configured(cls) -> Polling:
        """Read the settings.

        Raises
        ------
        ConfigError
            If a setting is not a valid duration.
        """
        interval = seconds("poll-interval") or 0.0
        return cls(
            interval=interval,
            interval_max=max(interval, seconds("poll-interval-max") or 0.0),
            overlap=seconds("overlap") or 0.0,
            forget_after=seconds("forget-after") or 0.0,
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
        close = difflib.get_close_matches(key, by_name, n=1)
        suggestion = f"Did you mean {close[0]!r}? " if close else ""
        raise UnknownBackendError(
            f"{subject} {requested!r} is not in {path}, which has {', '.join(by_name)}. "
            f"{suggestion}Choose one of these, or add it to the file's api_endpoints."
        )
    return backend


def config_file(config_path: str | Path | None = None) -> Path:
    """Return the path of ``servicex.yaml``; parameters and errors are those of `find_backend`."""
    configured_path = config_path or dask.config.get("servicex-layer.config-path")
    if configured_path is not None:
        path = Path(configured_path).expanduser()
        if not path.is_file():
            raise ConfigError(f"The ServiceX configuration {path} does not exist.")
        return path
    for path in _candidates():
        if path.is_file():
            return path
    raise ConfigError(
        f"No ServiceX configuration found: neither .servicex nor servicex.yaml is in {Path.cwd()}, "
        f"in its parent directories, or in {Path.home()}. Get the file from the web page of your "
        "ServiceX backend, or set servicex-layer.config-path to its path."
    )


def _candidates() -> Iterator[Path]:
    here = Path.cwd()
    for directory in (here, *here.parents, Path.home()):
        for name in _FILE_NAMES:
            yield directory / name


@functools.lru_cache(maxsize=8)
def _read_file(path: Path, mtime_ns: int) -> dict[str, Any]:
    del mtime_ns  # only to notice that the file has changed
    try:
        # As bytes: YAML has an encoding of its own, which is not that of the machine.
        config = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"The ServiceX configuration {path} can't be read: {error}.") from error
    except yaml.YAMLError as error:
        # The parser's own message quotes the line, which may hold a token.
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark is not None else ""
        raise ConfigError(f"The ServiceX configuration {path} is not valid YAML{line}.") from None
    if not isinstance(config, dict) or not config.get("api_endpoints"):
        raise ConfigError(
            f"The ServiceX configuration {path} has no api_endpoints. It must be a list of "
            "backends, each with name and endpoint, and with token if it has authentication."
        )
    return config


def _backends(path: Path, config: dict[str, Any]) -> Iterator[Backend]:
    endpoints = config["api_endpoints"]
    for entry in endpoints if isinstance(endpoints, list) else [endpoints]:
        keys = entry if isinstance(entry, dict) else {}
        missing = [key for key in ("endpoint", "name") if not keys.get(key)]
        if missing:
            raise ConfigError(
                f"An entry of api_endpoints in {path} has no {' and no '.join(missing)}."
            )
        name, url, token = str(keys["name"]), str(keys["endpoint"]), keys.get("token") or None
        if "@" in url:
            raise ConfigError(
                f"The endpoint of {name} in {path} holds a user name or a password, which are not "
                "supported. Leave out what is before the @, and use a token."
            )
        if token is not None and not is_sendable(token):
            raise ConfigError(
                f"The token of {name} in {path} must be one line of ASCII characters. Get it again "
                "from the backend's web page."
            )
        yield Backend(name, url.rstrip("/"), token)
