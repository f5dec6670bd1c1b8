"""What every object store promises."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class StoredObject:
    """One object as it was at one moment.

    Attributes:
        data: All of its bytes.
        version: Opaque; what `swap` compares with. Equal bytes may have an equal version, so a writer that must notice
            every change in between puts something new into the bytes, as a channel's sequence does.
    """

    data: bytes
    version: str


class Store(Protocol):
    """Whole objects under keys. Every method raises BadInput for a key that is no key, StorageError for a fault."""

    def get(self, key: str, *, max_bytes: int | None = None) -> StoredObject:
        """Return the object.

        Args:
            key: Its key.
            max_bytes: An object larger than this is a StorageError and is not read.

        Raises:
            NotFound: There is none.
        """
        ...

    def put_new(self, key: str, data: bytes) -> str:
        """Create the object and return its version; it is there wholly and durably, or not at all.

        Raises:
            Conflict: The key exists already; its object is unchanged.
        """
        ...

    def put_file_new(self, key: str, path: Path) -> str:
        """Create the object from a file, streamed, so that its size does not need to fit in memory.

        Raises:
            Conflict: The key exists already; its object is unchanged.
            BadInput: The file cannot be read.
        """
        ...

    def swap(self, key: str, data: bytes, expected_version: str | None) -> str:
        """Replace the object if it still is the one that was read, and return the new version.

        Args:
            key: Its key.
            data: All of the new bytes.
            expected_version: The version that was read; None where there was no object.

        Raises:
            Conflict: The object is another one, or gone, or there already; nothing was changed. Any other StorageError
                leaves open whether the new object is there: read it back.
        """
        ...

    def remove(self, key: str) -> None:
        """Remove the object, if it is there. For what only its writer needs, such as checkpoints; never a bundle."""
        ...

    def list(self, prefix: str = "") -> list[str]:
        """Return the keys that start with `prefix`, sorted."""
        ...

    def uri_of(self, key: str) -> str:
        """Return the address of a key, or of a whole prefix, for people and for other programs."""
        ...
