"""What is refused for safety's sake: tokens that errors would show, URLs that lead inside."""

from __future__ import annotations

import ipaddress
import socket

import urllib3
from urllib3.exceptions import LocationValueError

from servicex_layer.errors import ProtocolError

__all__ = ["check_url", "is_loopback"]


def is_loopback(url: str) -> bool:
    """Tell whether a URL leads to this machine, by what it says; no name is looked up."""
    host = _host(url)
    address = _address(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def check_url(url: str, backend_url: str, what: str) -> None:
    """Refuse a URL by which a server would have this machine ask what only it can reach.

    Only what the URL itself says is looked at. A name that the DNS resolves to such an address
    passes.

    Parameters
    ----------
    url : str
        What the server gave.
    backend_url : str
        The server's own URL. From one on this machine, URLs may lead to it too.
    what : str
        What the URL is for, named in the error, which never shows the URL.

    Raises
    ------
    ProtocolError
        Where the URL is none of HTTP, or leads to a link-local address, as those are at which
        clouds give out credentials, or to this machine.

    Examples
    --------
    >>> check_url("https://store.example/a.root", "https://servicex.example", "a result")
    >>> check_url("http://169.254.169.254/", "https://servicex.example", "a result")
    Traceback (most recent call last):
    servicex_layer.errors.ProtocolError: ... for a result leads to the link-local address ...
    """
    refused = f"The URL that {backend_url} gave for {what}"
    hint = "It was not asked; is this backend to be trusted?"
    try:
        scheme, host = urllib3.util.parse_url(url).scheme, _host(url)
    except LocationValueError:
        scheme, host = None, ""
    if scheme not in ("http", "https") or not host:
        raise ProtocolError(f"{refused} is no URL of http or https. {hint}")
    address = _address(host)
    if address is not None and address.is_link_local:
        raise ProtocolError(f"{refused} leads to the link-local address {address}. {hint}")
    if is_loopback(url) and not is_loopback(backend_url):
        raise ProtocolError(f"{refused} leads to this machine itself ({host}). {hint}")


def _host(url: str) -> str:
    # As urllib3 reads it, which then asks it: parsers disagree about odd URLs.
    return (urllib3.util.parse_url(url).host or "").strip("[]").rstrip(".").lower()


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.replace("%25", "%"))
    except ValueError:
        try:
            # What connects takes 127.1 and 0x7f000001 too.
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, UnicodeEncodeError):
            return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
