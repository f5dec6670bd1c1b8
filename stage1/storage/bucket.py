"""A bucket, or a prefix in one, as a data set to read."""

from collections.abc import Iterator
from pathlib import Path

from stage1.errors import BadData
from stage1.storage.objects import fetch_object, get_object, list_objects
from stage1.storage.reading import Entry, check_path
from stage1.storage.retrying import Retrying
from stage1.storage.service import Service
from stage1.storage.wire import Wire


class BucketReader:
    """See Reader. Threads may share it, forks and pickles of it make their own connections."""

    def __init__(self, service: Service, bucket: str, prefix: str = "", retrying: Retrying = Retrying()) -> None:  # noqa: B008
        self._wire = Wire(service, retrying)
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    @property
    def uri(self) -> str:
        """See Reader.uri."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def list(self, under: str = "") -> Iterator[Entry]:
        """See Reader.list."""
        prefix = f"{self._prefix}{check_path(under)}/" if under else self._prefix
        for found in list_objects(self._wire, self._bucket, prefix):
            path = found.key.removeprefix(self._prefix)
            if path.endswith("/") and not found.num_bytes:
                continue  # what consoles make for an empty folder
            try:
                yield Entry(check_path(path), found.num_bytes, found.etag)
            except BadData:
                yield Entry(path, 0, found.etag, "odd name")

    def read(self, path: str, *, max_bytes: int | None = None) -> bytes:
        """See Reader.read."""
        return get_object(self._wire, self._bucket, self._prefix + check_path(path), max_bytes=max_bytes).data

    def fetch(self, path: str, to: Path, *, max_bytes: int | None = None) -> None:
        """See Reader.fetch."""
        fetch_object(self._wire, self._bucket, self._prefix + check_path(path), to, max_bytes=max_bytes)
