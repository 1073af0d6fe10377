from __future__ import annotations

from collections.abc import Callable
from typing import Any

import awkward as ak
import pytest

from servicex_layer import report
from servicex_layer.errors import InvalidArgumentError


@pytest.mark.parametrize("function", [report.summary, report.timeline])
@pytest.mark.parametrize("argument", [3, ak.Array([1, 2]), ak.Array([{"x": 1}])])
def test_anything_but_a_computed_report_is_an_error(function: Callable[..., Any], argument: Any):
    with pytest.raises(InvalidArgumentError, match="is not a computed report"):
        function(argument)
