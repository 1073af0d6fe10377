"""`timeline`: a report as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak

from servicex_layer.errors import MissingExtraError
from servicex_layer.report._checks import require_report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["timeline"]


def timeline(report: ak.Array, *, ax: Axes | None = None) -> Figure:
    """Draw when each file was finished, waited for, transferred and turned into an array.

    Each file is a row; rows are grouped by worker, in the order of reading. A wait is drawn
    as if it had ended right before the transfer; if the worker was busy in between, it ended
    earlier. The server's clock (finished) and the workers' clocks (all else) share one axis: if
    the clocks differ, their times are shifted against each other.

    Parameters
    ----------
    report : awkward.Array
        The computed report of `from_servicex`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure that fits a slide.

    Returns
    -------
    matplotlib.figure.Figure
        The figure. A notebook displays it; ``savefig`` writes it to a file.

    Raises
    ------
    InvalidArgumentError
        If `report` is not a computed report.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> events, report = from_servicex(request_id, report=True)  # doctest: +SKIP
    >>> total, records = dask.compute(ak.sum(events.x), report)  # doctest: +SKIP
    >>> timeline(records).savefig("timeline.png")  # doctest: +SKIP
    """
    require_report(report)
    try:
        from servicex_layer.report._picture import draw, new_axes
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"The timeline needs {error.name}, which is not installed: "
            'pip install "servicex_layer[plot]"'
        ) from error
    return draw(report, new_axes() if ax is None else ax)
