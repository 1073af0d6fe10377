"""A pytest fixture for analyses that read from ServiceX: ``local_servicex``.

Name this module in the top-level ``conftest.py``::

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
    """Run a ServiceX for one test, as its default backend.

    Processes that the test starts, such as the workers of a Dask cluster, use it as well.

    Yields
    ------
    LocalServiceX
        The running server. It and its files are removed after the test.

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
        # the token of the user who runs the tests is for other backends
        monkeypatch.delenv("BEARER_TOKEN_FILE", raising=False)
        with dask.config.set(settings):
            yield service
