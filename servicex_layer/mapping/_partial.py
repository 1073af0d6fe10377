"""What the function gave for some of the files, and putting such parts together."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import awkward as ak

from servicex_layer.errors import FunctionError
from servicex_layer.mapping._errors import describe, sendable

__all__ = ["Finish", "Merge", "Partial"]


@dataclass(frozen=True, slots=True)
class Partial:
    """What the function gave for some of the files.

    Parameters
    ----------
    values : sequence
        What it returned: with a reduction at most one value.
    records : sequence of awkward.Array
        What happened to each file, if a report was asked for.
    """

    values: Sequence[Any]
    records: Sequence[ak.Array] = ()


@dataclass(frozen=True)
class Merge:
    """Merges parts, in the order of their files.

    Parameters
    ----------
    request_id : str
        The request, for errors.
    reduce : callable or None
        Takes two values and returns one; ``None`` keeps all values.
    """

    request_id: str
    reduce: Callable[[Any, Any], Any] | None

    def __call__(self, *parts: Partial) -> Partial:
        """Merge parts.

        Raises
        ------
        FunctionError
            If the reduction raises.
        """
        return Partial(
            self._reduced([value for part in parts for value in part.values]),
            [*chain.from_iterable(part.records for part in parts)],
        )

    def _reduced(self, values: list[Any]) -> list[Any]:
        if self.reduce is None or len(values) < 2:
            return values
        try:
            return [functools.reduce(self.reduce, values)]
        except Exception as error:  # noqa: BLE001  (whatever the user's function raises)
            kinds = ", ".join(sorted({type(value).__name__ for value in values}))
            raise FunctionError(
                f"Request {self.request_id}: reduce={describe(self.reduce)} failed on results of "
                f"type {kinds}: {type(error).__name__}: {error}. Give a function of two results "
                "with reduce=…, or reduce=None for a list."
            ) from sendable(error)


@dataclass(frozen=True)
class Finish:
    """Takes the result out of the last part.

    Parameters
    ----------
    request_id : str
        The request, for errors.
    as_list : bool
        Whether the result is a list of all values.
    postprocess : callable, optional
        Called with the result; if it returns something, that is the result.
    report : bool
        Whether to return the report as well.
    """

    request_id: str
    as_list: bool = False
    postprocess: Callable[[Any], Any] | None = field(default=None)
    report: bool = False

    def __call__(self, part: Partial) -> Any:
        """Return the result, or a pair of it and the report.

        Raises
        ------
        FunctionError
            If `postprocess` raises.
        """
        result = self._result(part)
        if not self.report:
            return result
        return result, ak.concatenate(part.records)

    def _result(self, part: Partial) -> Any:
        if self.as_list:
            return list(part.values)
        result = part.values[0] if part.values else None
        if self.postprocess is None or not part.values:
            return result
        try:
            processed = self.postprocess(result)
        except Exception as error:  # noqa: BLE001  (whatever the user's function raises)
            raise FunctionError(
                f"Request {self.request_id}: postprocess failed: {type(error).__name__}: {error}"
            ) from sendable(error)
        return result if processed is None else processed
