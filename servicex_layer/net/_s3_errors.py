"""Errors of S3 stores, with advice."""

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
    "its certificate is not trusted. Set the environment variable SSL_CERT_FILE to a file with "
    "the certificates of all authorities, here and on all workers"
)

_KEYS_ADVICE = "The keys come from the backend's status: ask its operators."
_BUCKET_ADVICE = "Results are removed after a while: submit the request again."
_CLOCK_ADVICE = "Set the clock of the machine that is wrong."

# Code of the error: class, meaning, advice.
_KNOWN: dict[str, tuple[type[ServiceXLayerError], str, str]] = {
    "InvalidAccessKeyId": (
        AuthorizationError,
        "the store does not know the access key",
        _KEYS_ADVICE,
    ),
    "SignatureDoesNotMatch": (AuthorizationError, "the secret key is wrong", _KEYS_ADVICE),
    "AccessDenied": (AuthorizationError, "the keys do not allow it", _KEYS_ADVICE),
    "NoSuchBucket": (MissingObjectError, "the bucket is gone", _BUCKET_ADVICE),
    "RequestTimeTooSkewed": (
        BackendError,
        "the clock of this machine and the clock of the store differ by minutes",
        _CLOCK_ADVICE,
    ),
}
_TAG = re.compile(rb"<(Code|Message)>([^<]*)</")


def s3_error(failure: str, code: str, message: str) -> ServiceXLayerError:
    """Return the exception for an error of an S3 store.

    Parameters
    ----------
    failure : str
        What failed: the beginning of the exception's text.
    code, message : str
        Code and message of the store's error.

    Examples
    --------
    >>> s3_error("The store s3.cern.ch could not be listed", "NoSuchBucket", "No bucket")
    MissingObjectError('The store s3.cern.ch could not be listed: the bucket is gone (NoSuchBucket:
    No bucket). Results are removed after a while: submit the request again.')
    """
    answer = f"{code}: {message}".rstrip(" .:")
    if code not in _KNOWN:
        return BackendError(f"{failure}: {answer}.")
    error_class, meaning, advice = _KNOWN[code]
    return error_class(f"{failure}: {meaning} ({answer}). {advice}")


def parse_s3_error(body: bytes) -> tuple[str, str] | None:
    """Return code and message of an S3 store's error; ``None`` if the body is not one.

    Examples
    --------
    >>> parse_s3_error(b"<Error><Code>NoSuchBucket</Code><Message>Gone</Message></Error>")
    ('NoSuchBucket', 'Gone')
    >>> parse_s3_error(b'{"message": "no"}')
    """
    texts = {tag: unescape(text.decode(errors="replace")) for tag, text in _TAG.findall(body)}
    if b"Code" not in texts:
        return None
    return texts[b"Code"], texts.get(b"Message", "")


def is_certificate_error(error: BaseException | None) -> bool:
    """Return whether a connection failed because the other side's certificate is not trusted."""
    # httpx chains the causes, urllib3 wraps them in its arguments.
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        wrapped = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
        error = wrapped or error.__cause__ or error.__context__
    return error is not None
