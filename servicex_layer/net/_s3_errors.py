"""What the refusals of an object store mean to a user."""

from __future__ import annotations

import re
import ssl
from html import unescape

from servicex_layer.errors import (
    AuthorizationError,
    BackendError,
    MissingObjectError,
    ServiceXLayerError,
)

__all__ = ["UNTRUSTED_CERTIFICATE", "is_certificate_error", "parse_s3_error", "s3_error"]

UNTRUSTED_CERTIFICATE = (
    "its certificate is not trusted. Name the file with the certificates of all authorities in "
    "the environment variable SSL_CERT_FILE, here and on all workers"
)

_ADVICE: dict[str, tuple[type[ServiceXLayerError], str]] = {
    "InvalidAccessKeyId": (AuthorizationError, "it does not know the access key"),
    "SignatureDoesNotMatch": (AuthorizationError, "the secret key is not the right one"),
    "AccessDenied": (AuthorizationError, "the keys do not allow it"),
    "NoSuchBucket": (MissingObjectError, "the bucket is gone"),
    "RequestTimeTooSkewed": (
        BackendError,
        "the clock of this machine and that of the store differ by minutes",
    ),
}
_KEYS = "The keys come from the backend's status: ask its operators."
_NEXT = {
    AuthorizationError: _KEYS,
    MissingObjectError: "Results are removed after a while: submit the request again.",
    BackendError: "Set the clock of the machine that is wrong.",
}
_TAG = re.compile(rb"<(Code|Message)>([^<]*)</")


def s3_error(what: str, code: str, message: str) -> ServiceXLayerError:
    """Make the error of what an S3 store answered.

    Parameters
    ----------
    what : str
        What was refused, by whom: the beginning of the error's text.
    code, message : str
        As the store says.

    Examples
    --------
    >>> s3_error("The store s3.cern.ch cannot be listed", "NoSuchBucket", "No bucket")
    MissingObjectError('The store s3.cern.ch cannot be listed: the bucket is gone (NoSuchBucket: No
    bucket). Results are removed after a while: submit the request again.')
    """
    answer = f"{code}: {message}".rstrip(" .:")
    if code not in _ADVICE:
        return BackendError(f"{what}: {answer}.")
    kind, meaning = _ADVICE[code]
    return kind(f"{what}: {meaning} ({answer}). {_NEXT[kind]}")


def parse_s3_error(body: bytes) -> tuple[str, str] | None:
    """Find code and message in the body of an S3 store's error; ``None`` where it is none.

    Examples
    --------
    >>> parse_s3_error(b"<Error><Code>NoSuchBucket</Code><Message>Gone</Message></Error>")
    ('NoSuchBucket', 'Gone')
    >>> parse_s3_error(b'{"message": "no"}')
    """
    found = {tag: unescape(text.decode(errors="replace")) for tag, text in _TAG.findall(body)}
    if b"Code" not in found:
        return None
    return found[b"Code"], found.get(b"Message", "")


def is_certificate_error(error: BaseException | None) -> bool:
    """Tell whether a connection failed as the other side's certificate is not trusted."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        below = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
        error = below or error.__cause__ or error.__context__
    return error is not None
