"""Data sets, read only: any folder or bucket as it is, with names that no store of ours would write.

reader = open_reader("s3://bucket/street photos")
for entry in reader.list():
    data = reader.read(entry.path)
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stage1.errors import BadData, BadInput
from stage1.storage.opening import is_s3, local_path, s3_parts


@dataclass(frozen=True)
class Entry:
    """A file or an object below the root.

    Attributes:
        path: From the root, "/" between names.
        num_bytes: Its size; 0 where it is refused.
        etag: Another one when the bytes may have changed: the service's ETag, or size and time of change of a file.
        refused: "" where it can be read, else why not: "symlink", "special" (a pipe, a device) or "odd name".
    """

    path: str
    num_bytes: int
    etag: str
    refused: str = ""


class Reader(Protocol):
    """Read-only access below one root. Nothing outside of it is reached; links are not followed."""

    @property
    def uri(self) -> str:
        """The root's address, without a slash at its end."""
        ...

    def list(self, under: str = "") -> Iterator[Entry]:
        """Yield everything below the folder `under`, sorted by path, what cannot be read included.

        Raises:
            BadData: `under` leads out of the root.
            StorageError: The root cannot be listed.
        """
        ...

    def read(self, path: str, *, max_bytes: int | None = None) -> bytes:
        """Return the bytes of one file.

        Raises:
            BadData: The path leads out of the root, over a link, or to something that is no file.
            NotFound: There is none.
            StorageError: It has more than `max_bytes`, or could not be read; the message names it.
        """
        ...

    def fetch(self, path: str, to: Path, *, max_bytes: int | None = None) -> None:
        """Copy one file to `to`, which appears whole or not at all; errors as for read."""
        ...


def open_reader(uri: str) -> Reader:
    """Return read access to a folder, file:///folder, s3://bucket or s3://bucket/prefix (taken literally).

    Raises:
        BadInput: The address is not supported, or is no folder.
        BadConfig: The environment describes no S3 service that can be used.
    """
    if is_s3(uri):
        from stage1.storage.bucket import BucketReader  # a laptop without S3 does not pay for its client
        from stage1.storage.service import service_from

        bucket, prefix = s3_parts(uri)
        return BucketReader(service_from(os.environ), bucket, check_path(prefix) if prefix else "")
    from stage1.storage.folder import FolderReader

    root = local_path(uri)
    if not root.is_dir():
        raise BadInput(f"Need a folder of data, got {uri!r}, which is {'no folder' if root.exists() else 'not there'}.")
    return FolderReader(root)


def check_path(path: str) -> str:
    """Return `path`, a relative path without "..", empty names or zero bytes.

    Raises:
        BadData: It is anything else.
    """
    if any(name in ("", ".", "..") for name in path.split("/")) or not is_text(path):
        raise BadData(f"Need a path below the data set's root, such as 'images/a b.jpg', got {path[:300]!r}.")
    return path


def is_text(path: str) -> bool:
    """Whether a path is valid Unicode without zero bytes."""
    return "\0" not in path and not any("\ud800" <= character <= "\udfff" for character in path)
