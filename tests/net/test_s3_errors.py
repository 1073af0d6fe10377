from __future__ import annotations

import asyncio
import ssl

import httpx
import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from servicex_layer.errors import AuthorizationError, BackendError, MissingObjectError
from servicex_layer.net import is_certificate_error, parse_s3_error, s3_error


@pytest.mark.parametrize(
    ("code", "error_class", "text"),
    [
        ("InvalidAccessKeyId", AuthorizationError, "does not know the access key .*operators"),
        ("SignatureDoesNotMatch", AuthorizationError, "secret key is wrong .*operators"),
        ("AccessDenied", AuthorizationError, "keys do not allow it .*operators"),
        ("NoSuchBucket", MissingObjectError, "bucket is gone .*submit the request again"),
        ("RequestTimeTooSkewed", BackendError, "clock of this machine .*Set the clock"),
        ("SomethingElse", BackendError, "SomethingElse: the message"),
    ],
)
def test_an_error_has_the_answer_and_advice(code, error_class, text):
    error = s3_error("The store could not be listed", code, "the message.")
    assert type(error) is error_class
    with pytest.raises(error_class, match=f"^The store could not be listed: .*{text}"):
        raise error
    assert f"{code}: the message" in str(error)


def test_an_error_without_a_message_has_its_code():
    assert str(s3_error("It failed", "Odd", "")) == "It failed: Odd."


def test_code_and_message_are_parsed_and_unescaped():
    body = b"<?xml?><Error><Code>Odd</Code><Message>a &lt; b &amp; c</Message></Error>"
    assert parse_s3_error(body) == ("Odd", "a < b & c")


def test_an_error_may_have_no_message():
    assert parse_s3_error(b"<Error><Code>Odd</Code></Error>") == ("Odd", "")


@pytest.mark.parametrize("body", [b"", b"<html>404</html>", b"<Message>a</Message>"])
def test_other_bodies_are_not_s3_errors(body):
    assert parse_s3_error(body) is None


@given(st.binary())
def test_any_body_is_parsed_or_refused(body):
    parsed = parse_s3_error(body)
    assert parsed is None or all(isinstance(text, str) for text in parsed)


@pytest.fixture
def untrusted_url(serve_tls) -> str:
    url: str = serve_tls(lambda *_: (200, b"", {}))
    return url


def test_an_untrusted_certificate_is_recognized_with_urllib3(untrusted_url):
    with (
        urllib3.PoolManager(retries=False) as pool,
        pytest.raises(urllib3.exceptions.HTTPError) as caught,
    ):
        pool.request("GET", untrusted_url)
    assert is_certificate_error(caught.value)


def test_an_untrusted_certificate_is_recognized_with_httpx(untrusted_url):
    async def get() -> None:
        async with httpx.AsyncClient() as client:
            await client.get(untrusted_url)

    with pytest.raises(httpx.ConnectError) as caught:
        asyncio.run(get())
    assert is_certificate_error(caught.value)


@pytest.mark.parametrize("error", [None, ValueError(), ssl.SSLError("handshake"), OSError()])
def test_other_errors_are_not_certificate_errors(error):
    assert not is_certificate_error(error)
