"""Arguments of `deliver` and `submit` and the names that the official client has for them."""

from __future__ import annotations

from servicex_layer.errors import InvalidArgumentError

__all__ = ["backend_name", "failure_policy"]


def backend_name(backend: str | None, servicex_name: str | None) -> str | None:
    """Return the backend's name, passed as `backend` or as the alias `servicex_name`.

    Raises
    ------
    InvalidArgumentError
        If both are passed.
    """
    _reject_both(backend=backend, servicex_name=servicex_name)
    return servicex_name if backend is None else backend


def failure_policy(on_failed: str | None, fail_if_incomplete: bool | None) -> str:
    """Return ``"skip"`` or ``"raise"``, passed as `on_failed` or as `fail_if_incomplete`.

    Raises
    ------
    InvalidArgumentError
        If both are passed.
    """
    _reject_both(on_failed=on_failed, fail_if_incomplete=fail_if_incomplete)
    if on_failed is None:
        return "raise" if fail_if_incomplete else "skip"
    return on_failed


def _reject_both(**names: object) -> None:
    """Raise if both names of an argument are used; the first one is ours."""
    if None not in names.values():
        first, second = (f"{name}={value!r}" for name, value in names.items())
        raise InvalidArgumentError(
            f"{first} and {second} are two names of one argument. Pass only {next(iter(names))}."
        )
