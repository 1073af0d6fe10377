"""What readers say of a store that refuses."""

from __future__ import annotations

from datetime import UTC, datetime

import dask
import pytest

from servicex_layer._model import Location, ResultFile
from servicex_layer.errors import MissingObjectError
from servicex_layer.reading._read import read_form
from servicex_layer.transport._result import ResultSource


def source_at(url):
    file = ResultFile(1, datetime.now(UTC), "a.root", "in.root", 1, 100)
    return ResultSource(file, lambda _rejected: Location(url), "Result 'a.root' of a request")


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (404, "NoSuchBucket", r"bucket is gone \(NoSuchBucket: that is odd\)"),
        (403, "AccessDenied", "answered 403 AccessDenied: that is odd"),
        (404, "NoSuchKey", "answered 404 NoSuchKey: that is odd"),
    ],
)
def test_the_error_of_a_store_is_shown(serve, status, code, text):
    body = f"<Error><Code>{code}</Code><Message>that is odd</Message></Error>".encode()
    url = serve(lambda *_: (status, body, {"Content-Type": "application/xml"}))
    with (
        dask.config.set({"servicex-layer.retry-timeout": "0s"}),
        pytest.raises(MissingObjectError, match=f"Result 'a.root' of .*{text}"),
    ):
        read_form(source_at(f"{url}/a-request/a.root"), None)


def test_an_untrusted_certificate_is_an_error_with_advice(serve_tls):
    url = serve_tls(lambda *_: (200, b"", {}))
    with pytest.raises(MissingObjectError, match=r"not trusted.*SSL_CERT_FILE"):
        read_form(source_at(f"{url}/a.root"), None)
