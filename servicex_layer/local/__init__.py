"""An embedded ServiceX: transforms real ROOT files on this machine, serves the results over HTTP.

`LocalServiceX` needs the extra ``local``. Without it, importing the name raises
`~servicex_layer.errors.MissingExtraError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servicex_layer.errors import MissingExtraError
from servicex_layer.local._faults import Faults
from servicex_layer.local._http_fault import HttpFault
from servicex_layer.local._s3 import S3
from servicex_layer.local._traffic import FileCall, Traffic

if TYPE_CHECKING:
    from servicex_layer.local._service import LocalServiceX

__all__ = ["S3", "Faults", "FileCall", "HttpFault", "LocalServiceX", "Traffic"]

_EXTRA = frozenset({"starlette", "uvicorn", "jwt"})


def __getattr__(name: str) -> object:
    if name != "LocalServiceX":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from servicex_layer.local._service import LocalServiceX
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        raise MissingExtraError(
            f"the embedded ServiceX needs {error.name}, which is not installed: "
            'pip install "servicex_layer[local]"'
        ) from error
    return LocalServiceX


def __dir__() -> list[str]:
    return sorted(__all__)
