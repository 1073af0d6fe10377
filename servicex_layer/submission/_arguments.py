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
    if backend is not None and servicex_name is not None:
        raise InvalidArgumentError(
            f"backend={backend!r} and servicex_name={servicex_name!r} are two names of one "
            "argument. Pass only backend."
        )
    return servicex_name if backend is None else backend


def failure_policy(on_failed: str | None, fail_if_incomplete: bool | None) -> str:
    """Return ``"skip"`` or ``"raise"``, passed as `on_failed` or as `fail_if_incomplete`.

    Raises
    ------
    InvalidArgumentError
        If both are passed.
    """
    if on_failed is not None and fail_if_incomplete is not None:
        raise InvalidArgumentError(
            f"on_failed={on_failed!r} and fail_if_incomplete={fail_if_incomplete!r} are two names "
            "of one argument. Pass only on_failed."
        )
    if on_failed is None:
        return "raise" if fail_if_incomplete else "skip"
    return on_failed
