from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from servicex_layer import SXFileLayer

pytestmark = pytest.mark.dask_awkward


@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
def test_an_array_survives_a_pickle(
    pickler: Any, finished: Callable[..., str], inputs: list[Path], array_by_hand: Any
):
    array = array_by_hand(SXFileLayer(finished(inputs), 4))
    copy = pickle.loads(pickler.dumps(array))  # noqa: S301
    assert (copy.name, copy.type, copy.divisions) == (array.name, array.type, array.divisions)
    assert copy.x.compute(scheduler="sync").tolist() == array.x.compute(scheduler="sync").tolist()


def test_dask_awkward_still_needs_our_reducer():
    # If this fails, dask-awkward can pickle its arrays: remove graph/_array_pickling.py.
    code = (
        "import pickle, awkward as ak, dask_awkward as dak\n"
        "import servicex_layer.graph\n"
        "array = dak.from_awkward(ak.Array([1, 2, 3]), npartitions=1)\n"
        "try:\n"
        "    pickle.loads(pickle.dumps(array)).compute()\n"
        "except Exception:\n"
        "    print('cannot be pickled')\n"
        "else:\n"
        "    print('can be pickled')\n"
    )
    answer = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert answer.stdout == "cannot be pickled\n"
