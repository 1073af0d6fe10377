"""One bucket of an S3 store, through the minio client: listing it, and signing URLs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar
from xml.etree.ElementTree import ParseError

import minio
import urllib3
from minio.datatypes import Object
from minio.error import MinioException, S3Error

from servicex_layer._model import StoreAccess
from servicex_layer.errors import BackendError, BackendUnreachableError, ProtocolError
from servicex_layer.net import (
    RETRY_STATUSES,
    UNTRUSTED_CERTIFICATE,
    TransientError,
    http_timeout,
    is_certificate_error,
    retry_after,
    s3_error,
    tls_context,
)

__all__ = ["Bucket"]

T = TypeVar("T")

# How many characters of an unreadable answer an error quotes.
_QUOTE_LENGTH = 200


class Bucket:
    """The bucket of one request in an S3 store.

    Parameters
    ----------
    name : str
        The bucket's name: the request's id.
    access : StoreAccess
        Address and keys of the store.

    Raises
    ------
    ProtocolError
        If the store's address is invalid.
    """

    access: StoreAccess

    def __init__(self, name: str, access: StoreAccess) -> None:
        self.access = access
        self._name = name
        try:
            self._client = minio.Minio(
                access.endpoint,
                access.access_key,
                access.secret_key,
                secure=access.secured,
                http_client=_StoreConnections(),
            )
        except ValueError as error:
            raise ProtocolError(
                f"The backend sent {access.endpoint!r} as the S3 store of request {name}, which is "
                f"not a valid host and port: {error}. Ask its operators."
            ) from None
        self._client.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]

    async def objects(self) -> list[Object]:
        """Return all objects; an object that is added during the listing may be missing.

        Raises
        ------
        TransientError
            If a retry may help.
        BackendError, MissingObjectError
            If it can't.
        """
        return await self._run(self._list_objects, "listed")

    async def sign(self, names: Sequence[str], lifetime: timedelta) -> dict[str, str]:
        """Return URLs for reading objects; raises what `objects` raises."""

        def sign_all() -> dict[str, str]:
            return {
                name: self._client.presigned_get_object(self._name, name, lifetime)
                for name in names
            }

        return await self._run(sign_all, "asked for its region")

    def _list_objects(self) -> list[Object]:
        return list(self._client.list_objects(self._name, recursive=True))

    async def _run(self, function: Callable[[], T], participle: str) -> T:
        failure = f"The S3 store {self.access}: the bucket {self._name} could not be {participle}"
        return await asyncio.to_thread(_explain_errors, function, failure)


def _explain_errors(function: Callable[[], T], failure: str) -> T:
    try:
        return function()
    except S3Error as error:
        raise s3_error(failure, error.code or "", error.message or "") from None
    except (MinioException, ParseError) as error:
        raise ProtocolError(
            f"{failure}: this is not the answer of an S3 store ({str(error)[:_QUOTE_LENGTH]})."
        ) from None
    except TransientError as error:
        raise TransientError(f"{failure}: {error}", error.retry_after) from None
    except urllib3.exceptions.SSLError as error:
        if not is_certificate_error(error):
            raise TransientError(f"{failure}: {error}") from None
        raise BackendUnreachableError(f"{failure}: {UNTRUSTED_CERTIFICATE} ({error}).") from None
    except urllib3.exceptions.HTTPError as error:
        raise TransientError(f"{failure}: {type(error).__name__} {error}") from None
    except ValueError as error:
        raise BackendError(f"{failure}: {error}.") from None


class _StoreConnections(urllib3.PoolManager):
    """Connections that leave retries to the caller."""

    def __init__(self) -> None:
        timeout = http_timeout()
        super().__init__(
            timeout=urllib3.Timeout(connect=timeout.connect, read=timeout.read),
            retries=False,
            ssl_context=tls_context(),
        )

    def urlopen(self, *args: Any, **kwargs: Any) -> urllib3.BaseHTTPResponse:
        """See `urllib3.PoolManager.urlopen`; redirects are not followed."""
        # A signature for one store must not reach another.
        response = super().urlopen(*args, **{**kwargs, "redirect": False})
        if response.status in RETRY_STATUSES:
            raise TransientError(
                f"it answered {response.status} {response.reason or ''}".rstrip(),
                retry_after(response.headers),
            )
        return response
