"""The S3 store of an embedded ServiceX."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from servicex_layer.errors import BackendError, InvalidArgumentError

if TYPE_CHECKING:
    from minio import Minio


@dataclass(frozen=True)
class S3:
    """An S3 store for the results of a `LocalServiceX`. Thread-safe.

    The status of a request hands its keys to clients, as ServiceX does.

    Parameters
    ----------
    url
        The URL, without a path.
    access_key, secret_key
        The keys. They must allow making and removing buckets.

    Raises
    ------
    InvalidArgumentError
        If the URL is not that of a store.
    """

    url: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path.strip("/"):
            raise InvalidArgumentError(
                f"{self.url!r} is not the URL of an S3 store, such as 'http://127.0.0.1:9000'"
            )

    def status(self) -> dict[str, Any]:
        """Return the store's keys of a request's status."""
        parts = urlsplit(self.url)
        return {
            "minio-endpoint": parts.netloc,
            "minio-secured": parts.scheme == "https",
            "minio-access-key": self.access_key,
            "minio-secret-key": self.secret_key,
        }

    def client(self) -> Minio:
        """Return a new client of the store."""
        # minio is slow to import
        from minio import Minio

        parts = urlsplit(self.url)
        secure = parts.scheme == "https"
        return Minio(parts.netloc, self.access_key, self.secret_key, secure=secure)

    def check(self) -> None:
        """Raise a `BackendError` if the store cannot be used."""
        with self._using() as client:
            client.list_buckets()

    def make(self, bucket: str) -> None:
        """Make a bucket. Raise a `BackendError` if the store refuses."""
        with self._using() as client:
            client.make_bucket(bucket)

    def put(self, bucket: str, name: str, path: Path) -> None:
        """Upload a file to a bucket. Raise a `BackendError` if the store refuses."""
        with self._using() as client:
            client.fput_object(bucket, name, str(path))

    def remove(self, bucket: str) -> None:
        """Remove a bucket and its objects. Do nothing if there is no such bucket."""
        from minio.deleteobjects import DeleteObject

        with self._using() as client:
            if not client.bucket_exists(bucket):
                return
            objects = client.list_objects(bucket, recursive=True)
            names = [DeleteObject(str(entry.object_name)) for entry in objects]
            for error in client.remove_objects(bucket, names):
                raise BackendError(f"{error.name} cannot be removed from {self.url}: {error.code}")
            client.remove_bucket(bucket)

    @contextmanager
    def _using(self) -> Iterator[Minio]:
        from minio.error import MinioException
        from urllib3.exceptions import HTTPError

        try:
            yield self.client()
        except (MinioException, HTTPError) as error:
            raise BackendError(
                f"the S3 store {self.url} of the embedded ServiceX: {error}"
            ) from error
