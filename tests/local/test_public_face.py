from __future__ import annotations

import servicex_layer as sxl


def test_tab_completion_lists_the_public_names_only():
    assert dir(sxl.local) == ["Faults", "FileCall", "HttpFault", "LocalServiceX", "S3", "Traffic"]


def test_every_public_name_exists():
    assert all(hasattr(sxl.local, name) for name in sxl.local.__all__)
