from __future__ import annotations

import jwt
import pytest

from servicex_layer.local._clock import Clock
from servicex_layer.local._token_issuer import RejectedTokenError, TokenIssuer


def status_of(tokens, token, kind):
    with pytest.raises(RejectedTokenError) as info:
        tokens.verify(token, kind)
    return info.value.status


def test_access_tokens_expire_by_the_servers_clock():
    clock = Clock()
    tokens = TokenIssuer(clock, 100)
    access_token, refresh_token = tokens.access_token(), tokens.refresh_token()
    tokens.verify(access_token, "access")
    clock.offset = 102
    assert status_of(tokens, access_token, "access") == 401
    tokens.verify(refresh_token, "refresh")


def test_a_token_is_valid_for_its_kind_only():
    tokens = TokenIssuer(Clock(), 100)
    assert status_of(tokens, tokens.access_token(), "refresh") == 422
    assert status_of(tokens, tokens.refresh_token(), "access") == 422


def test_tokens_of_other_servers_are_invalid():
    tokens = TokenIssuer(Clock(), 100)
    foreign = jwt.encode({"type": "access", "exp": 1 << 40}, "k" * 32, algorithm="HS256")
    for token in ("", "x.y.z", foreign, TokenIssuer(Clock(), 100).access_token()):
        assert status_of(tokens, token, "access") == 422
