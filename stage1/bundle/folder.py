"""Reading a bundle's folder: each file once, and only the bytes whose digest was checked are handed on."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from stage1.bundle.manifest import MANIFEST, MANIFEST_LIMIT, SIGNATURE, SIGNATURE_LIMIT, FileEntry
from stage1.errors import BundleRejected

_CHUNK = 1 << 20
_MOST_ENTRIES = 4096
_DEEPEST = 8


def read_manifest_bytes(folder: Path) -> bytes:
    """Return the bytes of bundle.json.

    Raises:
        BundleRejected: There is no folder, no bundle.json in it, or it is too large.
    """
    if not folder.is_dir():
        raise BundleRejected(f"There is no bundle at {folder}. Name a folder that holds {MANIFEST}.")
    if not os.path.lexists(folder / MANIFEST):
        raise BundleRejected(f"{folder} is no bundle: it has no {MANIFEST}.")
    return _read_small(folder, MANIFEST, MANIFEST_LIMIT)


def read_signature_bytes(folder: Path) -> bytes | None:
    """Return the bytes of bundle.sig; None where there is none.

    Raises:
        BundleRejected: It is no plain file or too large.
    """
    if not os.path.lexists(folder / SIGNATURE):
        return None
    return _read_small(folder, SIGNATURE, SIGNATURE_LIMIT)


def check_listing(folder: Path, files: Mapping[str, FileEntry]) -> None:
    """Check that the folder holds bundle.json, these files and perhaps bundle.sig, and nothing else.

    A link, a hidden file, a file of git or an empty folder is something else.

    Raises:
        BundleRejected: With the name that is too many, missing or no plain file.
    """
    found = set(_plain_files(folder, "", 0))
    expected = {MANIFEST, *files}
    if extra := sorted(found - expected - {SIGNATURE}):
        raise BundleRejected(f"The bundle has files that {MANIFEST} does not list: {', '.join(extra[:5])[:500]!r}.")
    if missing := sorted(expected - found):
        raise BundleRejected(f"The bundle lacks files that {MANIFEST} lists: {', '.join(missing[:5])[:500]!r}.")


def read_checked(
    folder: Path,
    name: str,
    entry: FileEntry,
    *,
    keep: bool,
    inspect: Callable[[Iterable[bytes], int], None] | None = None,
) -> bytes:
    """Return the bytes of one file after checking their size and digest, or b"" where they are not kept.

    Args:
        folder: The bundle's folder.
        name: The file's name in it.
        entry: What was listed of it.
        keep: Whether the bytes are returned.
        inspect: Is given the chunks as they are read, and their number; it rejects what it does not like.

    Raises:
        BundleRejected: They are not the bytes that were listed.
    """
    digest = hashlib.sha256()
    kept = []

    def watched(chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            digest.update(chunk)
            if keep:
                kept.append(chunk)
            yield chunk

    with _Opened(folder, name) as opened:
        if opened.size != entry.size:
            raise BundleRejected(f"{name} has {opened.size:,} bytes, {MANIFEST} says {entry.size:,}.")
        chunks = watched(opened.chunks(entry.size))
        complaint = _complaint(inspect, chunks, entry.size) if inspect else None
        for _ in chunks:
            pass
    if digest.hexdigest() != entry.sha256:
        raise BundleRejected(
            f"{name} was changed: {MANIFEST} says {entry.sha256}, its content has {digest.hexdigest()}."
        )
    if complaint:
        raise complaint
    return b"".join(kept)


def _complaint(
    inspect: Callable[[Iterable[bytes], int], None], chunks: Iterable[bytes], size: int
) -> BundleRejected | None:
    """What an inspection finds is told after the digest, so that a damaged file is called damaged."""
    try:
        inspect(chunks, size)
    except BundleRejected as rejected:
        return rejected
    return None


def _read_small(folder: Path, name: str, limit: int) -> bytes:
    with _Opened(folder, name) as opened:
        if opened.size > limit:
            raise BundleRejected(f"{name} has {opened.size:,} bytes; at most {limit:,} are read.")
        return b"".join(opened.chunks(opened.size))


def _plain_files(folder: Path, prefix: str, depth: int) -> Iterator[str]:
    entries = list(os.scandir(folder))
    if len(entries) > _MOST_ENTRIES or depth > _DEEPEST:
        raise BundleRejected(f"The bundle's folder {prefix or '.'} has too many entries or is too deep.")
    if not entries:
        raise BundleRejected(f"The bundle has an empty folder {prefix or '.'}.")
    for entry in entries:
        name = prefix + entry.name
        if entry.is_symlink():
            raise BundleRejected(f"{name!r} in the bundle is a symbolic link; a bundle has plain files only.")
        if entry.is_dir(follow_symlinks=False):
            yield from _plain_files(folder / entry.name, f"{name}/", depth + 1)
        elif entry.is_file(follow_symlinks=False):
            yield name
        else:
            raise BundleRejected(f"{name!r} in the bundle is a device, pipe or socket; a bundle has plain files only.")


class _Opened:
    """One plain file, opened without following a link or waiting on a pipe."""

    def __init__(self, folder: Path, name: str) -> None:
        self._name = name
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise BundleRejected(f"{name} in the bundle is no plain file.")
        self.size = status.st_size
        self._stream = os.fdopen(descriptor, "rb")

    def __enter__(self) -> "_Opened":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def chunks(self, size: int) -> Iterator[bytes]:
        """Yield `size` bytes; fewer or more is a file that changes while it is read."""
        left = size
        while left and (chunk := self._stream.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk
        if left or self._stream.read(1):
            raise BundleRejected(f"{self._name} changed while it was read.")
