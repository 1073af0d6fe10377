from __future__ import annotations

from optional_dask_awkward import HAS_DASK_AWKWARD  # type: ignore[import-not-found]

# These tests import modules that trace graphs of dask-awkward.
collect_ignore_glob = [] if HAS_DASK_AWKWARD else ["test_*.py"]
