from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicex_layer.errors import ProtocolError
from servicex_layer.net import check_url, is_loopback

REMOTE = "https://servicex.example"
LOCAL = "http://127.0.0.1:5000"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "ftp://store.example/a",
        "gopher://store.example/a",
        "//store.example/a",
        "/results/a",
        "http://",
        "http:///a",
        "http://[::1",
        "http://store.example:port/",
        "",
        "http://169.254.169.254/latest/meta-data",
        "http://169.254.169.254./",
        "http://user@169.254.169.254:80/",
        "http://0xa9fea9fe/",
        "http://2852039166/",
        "http://0251.0376.0251.0376/",
        "http://[fe80::1]/",
        "http://[fe80::1%25eth0]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[::ffff:a9fe:a9fe]/",
    ],
)
def test_urls_that_no_backend_may_send_are_refused(url):
    for backend in (REMOTE, LOCAL):
        with pytest.raises(ProtocolError, match="is this backend to be trusted") as caught:
            check_url(url, backend, "a result")
        assert "meta-data" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9000/a",
        "http://127.8.9.1/a",
        "http://127.1/a",
        "http://2130706433/a",
        "http://localhost/a",
        "http://LOCALHOST.:80/a",
        "http://minio.localhost/a",
        "http://0.0.0.0/a",
        "http://[::1]/a",
        "http://[::]/a",
        "http://[::ffff:127.0.0.1]/a",
    ],
)
def test_only_a_backend_on_this_machine_may_send_loopback_urls(url):
    assert is_loopback(url)
    check_url(url, LOCAL, "a result")
    check_url(url, "http://localhost:1", "a result")
    with pytest.raises(ProtocolError, match="this machine itself"):
        check_url(url, REMOTE, "a result")


@pytest.mark.parametrize(
    "url",
    [
        "https://store.example/bucket/root:::a%3Fb?X-Amz-Signature=1",
        "http://192.168.1.7:9000/a",
        "http://[2001:db8::1]:9000/a",
        "HTTPS://STORE.EXAMPLE/a",
        "http://localhost.example/a",
        "http://1.2.3.4.example/a",
    ],
)
def test_urls_of_other_machines_are_accepted(url):
    check_url(url, REMOTE, "a result")
    check_url(url, LOCAL, "a result")


@given(st.text() | st.text().map("http://{}".format))
def test_any_text_is_a_valid_url_or_refused(url):
    try:
        check_url(url, REMOTE, "a result")
    except ProtocolError:
        return
    assert url.lower().startswith(("http://", "https://"))
    assert not is_loopback(url)
