from __future__ import annotations

import httpx

from servicex_layer.local._clock import Clock
from servicex_layer.local._url_signer import UrlSigner


def test_a_signed_path_is_quoted_and_expires_by_the_servers_clock():
    clock = Clock()
    signer = UrlSigner(clock, 100)
    path, expires = signer.sign("/a b")
    assert path.startswith("/a%20b?")
    signature = httpx.URL(path).params["signature"]
    assert signer.is_valid("/a b", str(expires), signature)
    assert not signer.is_valid("/a c", str(expires), signature)
    clock.offset = 102
    assert not signer.is_valid("/a b", str(expires), signature)
