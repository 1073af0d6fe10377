"""Which URLs of a server are safe to request."""

from __future__ import annotations

import ipaddress
import socket

import urllib3
from urllib3.exceptions import LocationValueError

from servicex_layer.errors import ProtocolError

__all__ = ["check_url", "is_loopback"]


def is_loopback(url: str) -> bool:
    """Return whether the host of a URL is this machine, without a DNS lookup."""
    host = _host(url)
    address = _ip_address(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def check_url(url: str, backend_url: str, purpose: str) -> None:
    """Refuse a URL that would make this machine request what only this machine can reach.

    Only the URL itself is checked: a name that resolves to such an address passes.

    Parameters
    ----------
    url : str
        A URL that the server sent.
    backend_url : str
        The server's own URL. If it is on this machine, `url` may be, too.
    purpose : str
        What the URL is for. The error shows this, and never the URL.

    Raises
    ------
    ProtocolError
        If the URL is not an HTTP URL, or its host is a link-local address (clouds serve
        credentials there) or this machine.

    Examples
    --------
    >>> check_url("https://store.example/a.root", "https://servicex.example", "a result")
    >>> check_url("http://169.254.169.254/", "https://servicex.example", "a result")
    Traceback (most recent call last):
    servicex_layer.errors.ProtocolError: ... for a result leads to the link-local address ...
    """
    subject = f"The URL that {backend_url} sent for {purpose}"
    hint = "It was not requested; is this backend to be trusted?"
    try:
        scheme, host = urllib3.util.parse_url(url).scheme, _host(url)
    except LocationValueError:
        scheme, host = None, ""
    if scheme not in ("http", "https") or not host:
        raise ProtocolError(f"{subject} is not a valid http or https URL. {hint}")
    address = _ip_address(host)
    if address is not None and address.is_link_local:
        raise ProtocolError(f"{subject} leads to the link-local address {address}. {hint}")
    if is_loopback(url) and not is_loopback(backend_url):
        raise ProtocolError(f"{subject} leads to this machine itself ({host}). {hint}")


def _host(url: str) -> str:
    # Parsers disagree about odd URLs: this must be the one that makes the request.
    return (urllib3.util.parse_url(url).host or "").strip("[]").rstrip(".").lower()


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.replace("%25", "%"))
    except ValueError:
        try:
            # Sockets accept 127.1 and 0x7f000001, too.
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, UnicodeEncodeError):
            return None
    ipv4 = getattr(address, "ipv4_mapped", None)
    return ipv4 or address
