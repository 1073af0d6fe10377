"""A fixture of pytest, for analyses that read from ServiceX: ``local_servicex``.

Have it found by naming this module in the top ``conftest.py``::

    pytest_plugins = ["servicex_layer.local.pytest_plugin"]
"""

from __future__ import annotations

from collections.abc import Iterator

import dask
import pytest

from servicex_layer.local import LocalServiceX

__all__ = ["local_servicex"]


@pytest.fixture
def local_servicex(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServiceX]:
    """Give a test a ServiceX of its own, which is the default backend while the test runs.

    Processes that are started meanwhile, such as the workers of a Dask cluster, use it as well.

    Yields
    ------
    LocalServiceX
        It is running. What it has and makes is gone after the test.

    Examples
    --------
    >>> def test_selection(local_servicex):
    ...     request_id = local_servicex.submit(["a.root"], tree="events")
    ...     assert len(my_selection(from_servicex(request_id)).compute()) == 3
    """
    with LocalServiceX() as service:
        settings = {
            "servicex-layer.config-path": str(service.servicex_yaml),
            "servicex-layer.poll-interval": "50ms",
        }
        for name, value in settings.items():
            variable = name.upper().replace("-", "_").replace(".", "__")
            monkeypatch.setenv(f"DASK_{variable}", value)
        # what whoever runs the tests has is for other backends
        monkeypatch.delenv("BEARER_TOKEN_FILE", raising=False)
        with dask.config.set(settings):
            yield service
