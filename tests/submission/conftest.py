from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import pytest
import yaml
from servicex import dataset, query

from servicex_layer.local import Faults, LocalServiceX


@pytest.fixture
def use_with_own_cache(
    use_service: Callable[[LocalServiceX], None], tmp_path: Path
) -> Callable[[LocalServiceX], Path]:
    """Use a service with a local cache of this test alone; return the path of servicex.yaml."""

    def use(service: LocalServiceX) -> Path:
        use_service(service)
        path = tmp_path / "servicex.yaml"
        content = yaml.safe_load(service.servicex_yaml.read_text())
        path.write_text(yaml.safe_dump({**content, "cache_path": str(tmp_path / "cache")}))
        dask.config.set({"servicex-layer.config-path": str(path)})
        return path

    return use


@pytest.fixture
def service(
    shared_service: LocalServiceX, use_with_own_cache: Callable[[LocalServiceX], Path]
) -> LocalServiceX:
    use_with_own_cache(shared_service)
    shared_service.traffic.reset()
    return shared_service


@pytest.fixture(scope="module")
def failing_service(nothing_left: None) -> Iterator[LocalServiceX]:
    """Run a service that fails to transform the second file of each request."""
    with LocalServiceX(faults=Faults(failing={1})) as service:
        yield service


@pytest.fixture
def uproot_raw() -> Any:
    """Give a query for the column ``x``."""
    return query.UprootRaw({"treename": "events", "filter_name": ["x"]})


@pytest.fixture
def sample(uproot_raw: Any) -> Callable[..., dict[str, Any]]:
    """Make a sample of a specification."""

    def sample(name: str, files: list[Path], **others: Any) -> dict[str, Any]:
        files_dataset = dataset.FileList(list(map(str, files)))
        return {"Name": name, "Dataset": files_dataset, "Query": uproot_raw} | others

    return sample


@pytest.fixture
def request_id_of() -> Callable[[Any], str]:
    """Return the request of a lazy array."""

    def request_id_of(array: Any) -> str:
        (layer,) = (layer for layer in array.dask.layers.values() if hasattr(layer, "files"))
        return str(layer.files.request_id)

    return request_id_of


@pytest.fixture
def x_of() -> Callable[..., list[float]]:
    """Return the sorted values of ``x`` in the input files with these indices."""

    def x_of(*indices: int) -> list[float]:
        return sorted(100.0 * index + event for index in indices for event in range(10))

    return x_of
