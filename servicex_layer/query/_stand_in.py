"""An array of events that stands in for results that don't exist yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from awkward.forms import RecordForm

from servicex_layer.errors import InvalidArgumentError
from servicex_layer.graph import SXFileLayer, UprootLoadLayer, array_of

if TYPE_CHECKING:
    from dask_awkward.lib.core import Array
    from uproot import ImplementsFormMapping

__all__ = ["stand_in_events"]


class _NoFile:
    """In place of a wait for a file: raises if anything is computed."""

    def __call__(self, number: int, after: object = None) -> NoReturn:
        del number, after
        raise InvalidArgumentError(
            "The analysis computes something while its query is derived, before there are results. "
            "Leave out compute(), len() and positions of events, as in events[:10]."
        )

    def renamed(self, name: str) -> _NoFile:
        """Return a copy for a layer of another name."""
        del name
        return self

    def __dask_tokenize__(self) -> str:
        return "servicex-layer-no-file"


def stand_in_events(
    form: RecordForm,
    tree: str | None,
    npartitions: int,
    *,
    behavior: Mapping[Any, Any] | None = None,
    form_mapping: ImplementsFormMapping | None = None,
) -> Array:
    """Return an array that can be traced, and raises an error when it is computed.

    Raises
    ------
    InvalidArgumentError
        When the array is computed.
    """
    files = SXFileLayer("not submitted yet", npartitions)
    no_file: Any = _NoFile()
    files.await_file = no_file
    load = UprootLoadLayer(
        files, form=form, tree=tree, behavior=behavior, form_mapping=form_mapping, fuse=True
    )
    return array_of(files, load)
