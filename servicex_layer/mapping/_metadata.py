"""Metadata that the user gives for samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from servicex_layer.errors import InvalidArgumentError

__all__ = ["metadata_by_sample"]


def metadata_by_sample(metadata: object, requests: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the metadata of each sample, with its name as dataset.

    Parameters
    ----------
    metadata : mapping or None
        What the user gave: for one request its metadata, for several a mapping from the samples.
    requests : mapping of str to str
        As `requests_by_sample` returns it.

    Raises
    ------
    InvalidArgumentError
        If it isn't a mapping, or names other samples.
    """
    given = {} if metadata is None else metadata
    if not isinstance(given, Mapping):
        raise InvalidArgumentError(f"metadata={metadata!r} must be a mapping.")
    if "" in requests:
        return {"": dict(given)}
    for sample, value in given.items():
        if sample not in requests or not isinstance(value, Mapping):
            raise InvalidArgumentError(
                f"metadata has {sample!r}: {value!r}, but the samples are {', '.join(requests)}. "
                "For several samples, metadata is a mapping from their names to mappings."
            )
    return {sample: {"dataset": sample, **given.get(sample, {})} for sample in requests}
