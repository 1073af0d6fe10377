from __future__ import annotations

import jwt

from servicex_layer.local._clock import Clock
from servicex_layer.local._token_issuer import TokenIssuer


def test_access_tokens_expire_by_the_servers_clock():
    clock = Clock()
    tokens = TokenIssuer(clock, 100)
    access_token, refresh_token = tokens.access_token(), tokens.refresh_token()
    assert tokens.is_valid(access_token, "access")
    clock.offset = 102
    assert not tokens.is_valid(access_token, "access")
    assert tokens.is_valid(refresh_token, "refresh")


def test_a_token_is_valid_for_its_kind_only():
    tokens = TokenIssuer(Clock(), 100)
    assert not tokens.is_valid(tokens.access_token(), "refresh")
    assert not tokens.is_valid(tokens.refresh_token(), "access")


def test_tokens_of_others_are_invalid():
    tokens = TokenIssuer(Clock(), 100)
    foreign = jwt.encode({"type": "access", "exp": 1 << 40}, "k" * 32, algorithm="HS256")
    for token in ("", "x.y.z", foreign, TokenIssuer(Clock(), 100).access_token()):
        assert not tokens.is_valid(token, "access")
