"""dask-awkward for tests that carry the marker `dask_awkward`: without it they are skipped."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

HAS_DASK_AWKWARD = find_spec("dask_awkward") is not None

dak: Any = importlib.import_module("dask_awkward") if HAS_DASK_AWKWARD else None
