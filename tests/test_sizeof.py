from __future__ import annotations

import awkward as ak
import numpy as np
from dask.sizeof import sizeof
from dask.utils import Dispatch

from servicex_layer._sizeof import register


def test_dask_knows_the_bytes_of_an_awkward_array():
    # Through the entry point of this package or of dask-awkward.
    assert sizeof(ak.Array(np.zeros(1000))) == 8000


def test_arrays_and_records_have_the_size_of_their_buffers():
    own_sizeof = Dispatch("sizeof")
    register(own_sizeof)
    lists = ak.Array([[1.0, 2.0], [], [3.0]])
    assert own_sizeof(lists) == 4 * 8 + 3 * 8
    assert own_sizeof(ak.Array({"x": np.zeros(10), "y": np.zeros(10)})[0]) >= 16
