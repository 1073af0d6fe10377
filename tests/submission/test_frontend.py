from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import servicex_layer as sxl
from servicex_layer.errors import AuthorizationError, InvalidArgumentError
from servicex_layer.local import LocalServiceX

pytestmark = pytest.mark.dask_awkward


def test_two_samples_of_one_name_are_an_error(
    service: LocalServiceX, sample: Callable[..., dict[str, Any]], inputs: list[Path]
):
    spec = {"Sample": [sample("one", inputs[:1]), sample("one", inputs[1:])]}
    with pytest.raises(InvalidArgumentError, match=r"Several samples .* have the name one"):
        sxl.deliver(spec)
    assert service.traffic.calls["submit"] == 0


def test_a_sample_without_a_valid_query_fails_alone(
    service: LocalServiceX,
    sample: Callable[..., dict[str, Any]],
    inputs: list[Path],
    x_of: Callable[..., list[float]],
):
    spec = {
        "Sample": [
            sample("none", inputs[:1], Query=None),
            sample("text", inputs[1:2], Query="[]"),
            sample("other", inputs[2:3], Query="[]", Codegen="no-such"),
            sample("good", inputs[3:]),
        ]
    }
    samples = sxl.deliver(spec, form="{x: float64}")
    with pytest.raises(InvalidArgumentError, match=r"query of the sample 'none' is not valid"):
        samples["none"].compute()
    with pytest.raises(InvalidArgumentError, match=r"'text' is not valid.*codegen"):
        samples["text"].compute()
    with pytest.raises(InvalidArgumentError, match=r"no code generator 'no-such'.*uproot-raw"):
        samples["other"].compute()
    assert sorted(samples["good"].x.compute()) == x_of(3)


def test_a_rejected_token_is_an_error(
    shared_service: LocalServiceX,
    use_with_own_cache: Callable[[LocalServiceX], Path],
    sample: Callable[..., dict[str, Any]],
    inputs: list[Path],
):
    path = use_with_own_cache(shared_service)
    content = yaml.safe_load(path.read_text())
    content["api_endpoints"][0]["token"] = "not-this-one"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(AuthorizationError, match="rejected"):
        sxl.deliver({"Sample": [sample("x", inputs)]})
