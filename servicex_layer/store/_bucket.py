"""The bucket of one request: listed, and its objects' URLs signed, by the minio client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
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

# How much of a nonsensical answer an error quotes.
_QUOTED = 200


class Bucket:
    """The bucket of one request in an S3 store.

    Parameters
    ----------
    name : str
        The bucket's name, which is the request's id.
    access : StoreAccess
        Where the store is, and its keys.

    Raises
    ------
    ProtocolError
        Where the store's address is none.
    """

    access: StoreAccess

    def __init__(self, name: str, access: StoreAccess) -> None:
        self.access = access
        self._name = name
        self._connections = _Connections()
        try:
            self._client = minio.Minio(
                access.endpoint,
                access.access_key,
                access.secret_key,
                secure=access.secured,
                http_client=self._connections,
            )
        except ValueError as error:
            raise ProtocolError(
                f"The backend gave {access.endpoint!r} as the S3 store of request {name}, which is "
                f"no host and port: {error}. Ask its operators."
            ) from None
        self._client.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]

    async def objects(self) -> list[Object]:
        """List all objects, page by page; what appears meanwhile may be missing.

        Raises
        ------
        TransientError
            Where it may help to try again.
        BackendError, MissingObjectError
            Where it does not.
        """
        return await self._call(self._objects, "listed")

    async def sign(self, names: Sequence[str], lifetime: timedelta) -> dict[str, str]:
        """Make URLs for reading objects; raises as `objects` does."""

        def sign() -> dict[str, str]:
            return {
                name: self._client.presigned_get_object(self._name, name, lifetime)
                for name in names
            }

        return await self._call(sign, "asked for its region")

    def now(self) -> datetime:
        """Tell the time by the store's clock, as its last answer gave it (UTC); never ahead."""
        lead = self._connections.clock_lead
        return datetime.fromtimestamp(0, UTC) if lead is None else datetime.now(UTC) + lead

    def _objects(self) -> list[Object]:
        return list(self._client.list_objects(self._name, recursive=True))

    async def _call(self, work: Callable[[], T], done: str) -> T:
        return await asyncio.to_thread(self._explained, work, done)

    def _explained(self, work: Callable[[], T], done: str) -> T:
        what = f"The S3 store {self.access}: the bucket {self._name} could not be {done}"
        try:
            return work()
        except S3Error as error:
            raise s3_error(what, error.code or "", error.message or "") from None
        except (MinioException, ParseError) as error:
            raise ProtocolError(
                f"{what}: something answers that is no S3 store ({str(error)[:_QUOTED]})."
            ) from None
        except TransientError as error:
            raise TransientError(f"{what}: {error}", error.retry_after) from None
        except urllib3.exceptions.SSLError as error:
            if not is_certificate_error(error):
                raise TransientError(f"{what}: {error}") from None
            raise BackendUnreachableError(f"{what}: {UNTRUSTED_CERTIFICATE} ({error}).") from None
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(f"{what}: {type(error).__name__} {error}") from None
        except ValueError as error:
            raise BackendError(f"{what}: {error}.") from None


class _Connections(urllib3.PoolManager):
    """Connections to a store, which tell its time; tried again by who uses them."""

    clock_lead: timedelta | None

    def __init__(self) -> None:
        timeout = http_timeout()
        super().__init__(
            timeout=urllib3.Timeout(connect=timeout.connect, read=timeout.read),
            retries=False,
            ssl_context=tls_context(),
        )
        self.clock_lead = None

    def urlopen(self, *args: Any, **kwargs: Any) -> urllib3.BaseHTTPResponse:
        """See `urllib3.PoolManager.urlopen`; what is signed for one store goes to no other."""
        response = super().urlopen(*args, **{**kwargs, "redirect": False})
        # The header is older than its arrival, and cut to whole seconds: never ahead.
        with suppress(KeyError, ValueError):
            self.clock_lead = parsedate_to_datetime(response.headers["Date"]) - datetime.now(UTC)
        if response.status in RETRY_STATUSES:
            raise TransientError(
                f"it answered {response.status} {response.reason or ''}".rstrip(),
                retry_after(response.headers),
            )
        return response
