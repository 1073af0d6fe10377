"""The sum of a histogram that each result file has beside its tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dask.base
from dask.delayed import Delayed

from servicex_layer.errors import (
    CorruptResultError,
    InvalidArgumentError,
    MissingExtraError,
    ResultError,
)
from servicex_layer.mapping._errors import sendable
from servicex_layer.mapping._map_files import delayed_over_files
from servicex_layer.transport import ByteFile, ResultSource, open_source

__all__ = ["histograms"]


def histograms(
    request: str | Mapping[str, str],
    name: str,
    *,
    backend: str | None = None,
    on_failed: str = "skip",
    max_failed: float = 1.0,
) -> Delayed:
    """Sum a histogram that each result file has beside its tree.

    Such as the sum of weights before the selection. The results must be ROOT files.

    Parameters
    ----------
    request : str or mapping of str to str
        The id of a request, or ids by the names of samples.
    name : str
        The histogram's name in each file, with the directories that it is in.
    backend : str, optional
        The backend's name in ``servicex.yaml``; by default its default.
    on_failed : {"skip", "raise"}
        Whether failed files are left out, with a warning, or are an error.
    max_failed : float
        With ``"skip"``: the fraction (0 to 1) of the files beyond which they are an error as well.

    Returns
    -------
    dask.delayed.Delayed
        The sum, a `hist.Hist`; for several samples a dictionary of sums. A request without files
        has ``None``. Computing it raises a `ResultError` if a file lacks the histogram.

    Raises
    ------
    MissingExtraError
        If hist isn't installed.
    InvalidArgumentError
        If an argument has an impossible value.
    BackendError
        If the backend can't be reached, rejects the token or doesn't know the request.
    RequestError
        If the request ended without any result.

    See Also
    --------
    servicex_layer.map_files : its function can read such histograms with the events.

    Examples
    --------
    >>> sum_of_weights = histograms("5f1c0d3e", "sumw")  # doctest: +SKIP
    >>> sum_of_weights.compute()  # doctest: +SKIP
    """
    try:
        import hist  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "histograms needs hist: pip install 'servicex_layer[plot]'"
        ) from error
    _check_name(name)
    return delayed_over_files(
        _ReadHistogram(name),
        dask.base.tokenize("histogram", name),
        request,
        backend=backend,
        on_failed=on_failed,
        max_failed=max_failed,
    )


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise InvalidArgumentError(f"name={name!r} must be a non-empty string.")


@dataclass(frozen=True)
class _ReadHistogram:
    """Reads a histogram of a ROOT file."""

    name: str

    def __call__(self, source: ResultSource, metadata: Mapping[str, Any]) -> list[Any]:
        del metadata
        import uproot

        if source.file.format == "parquet":
            raise ResultError(
                f"{source.description} is a Parquet file, which has no histograms. Ask ServiceX "
                "for root-file or root-rntuple."
            )
        try:
            with uproot.open(ByteFile(open_source(source))) as file:
                return [self._read(file, source.description)]
        except ResultError:
            raise
        except Exception as error:  # noqa: BLE001  (Uproot raises any kind on broken files)
            raise CorruptResultError(
                f"{source.description} can't be read as a ROOT file: {type(error).__name__}: "
                f"{error}"
            ) from sendable(error)

    def _read(self, file: Any, description: str) -> Any:
        names = file.keys(recursive=True, cycle=False)
        if self.name not in names:
            raise ResultError(
                f"{description} has no histogram {self.name!r}; it has {', '.join(names)}."
            )
        histogram = file[self.name]
        if not hasattr(histogram, "to_hist"):
            raise ResultError(
                f"{self.name!r} in {description} is a {histogram.classname}, not a histogram."
            )
        return histogram.to_hist()
