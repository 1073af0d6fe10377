"""The S3 store beside an embedded ServiceX, where results are put."""

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
    """An S3 store, with the keys that a `LocalServiceX` uses and gives to its users.

    Safe to use from several threads.

    Parameters
    ----------
    url
        Its URL, without a path.
    access_key, secret_key
        Its keys. They must allow to make buckets and to remove them.

    Raises
    ------
    InvalidArgumentError
        The URL is none of a store.
    """

    url: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path.strip("/"):
            raise InvalidArgumentError(
                f"{self.url!r} is no URL of an S3 store, such as 'http://127.0.0.1:9000'"
            )

    def status(self) -> dict[str, Any]:
        """Return what the status of a request says of the store."""
        parts = urlsplit(self.url)
        return {
            "minio-endpoint": parts.netloc,
            "minio-secured": parts.scheme == "https",
            "minio-access-key": self.access_key,
            "minio-secret-key": self.secret_key,
        }

    def client(self) -> Minio:
        """Make a client of the store."""
        # minio takes its time to import
        from minio import Minio

        said = self.status()
        return Minio(
            said["minio-endpoint"], self.access_key, self.secret_key, secure=said["minio-secured"]
        )

    def check(self) -> None:
        """Raise a `BackendError` where the store cannot be used."""
        with self._using() as client:
            client.list_buckets()

    def make(self, bucket: str) -> None:
        """Make a bucket; `BackendError` where the store does not."""
        with self._using() as client:
            client.make_bucket(bucket)

    def put(self, bucket: str, name: str, path: Path) -> None:
        """Put a file into a bucket; `BackendError` where the store does not take it."""
        with self._using() as client:
            client.fput_object(bucket, name, str(path))

    def remove(self, bucket: str) -> None:
        """Remove a bucket and what is in it; without effect where it is gone."""
        from minio.deleteobjects import DeleteObject

        with self._using() as client:
            if not client.bucket_exists(bucket):
                return
            objects = client.list_objects(bucket, recursive=True)
            names = [DeleteObject(str(found.object_name)) for found in objects]
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
