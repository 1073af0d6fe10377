"""The sizes of awkward arrays, which Dask needs to manage the memory of workers.

Dask knows arrays of NumPy by itself. For awkward arrays dask-awkward registers the same function;
without it Dask would take each array for the 48 bytes of its Python object.
"""

from __future__ import annotations

from typing import Any

__all__ = ["register"]


def register(sizeof: Any) -> None:
    """Register the sizes; the entry point ``dask.sizeof`` calls this in every process with Dask.

    Parameters
    ----------
    sizeof : dask.utils.Dispatch
        Dask's function.
    """

    @sizeof.register_lazy("awkward")  # type: ignore[untyped-decorator]
    def register_awkward() -> None:
        import awkward as ak

        sizeof.register((ak.Array, ak.Record), _bytes_of)


def _bytes_of(array: Any) -> int:
    """Return the bytes of an array's buffers."""
    return int(array.nbytes)
