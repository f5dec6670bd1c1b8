"""A folder as an object store, for laptops, tests and single machines (POSIX).

    ROOT/<key>               the objects, plain files
    ROOT/.stage1/writing/    files being written; a killed writer's are removed a day later
    ROOT/.stage1/lock        held (flock) while an object is replaced; the system drops it when its holder dies

An object is written to the side, fsynced, and then linked (create-only) or renamed (replace) into place, which are
atomic; so a crash at any moment leaves the old object or the new one. An object's version is the SHA-256 of its bytes.
"""

import errno
import fcntl
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stage1.errors import BadInput, Conflict, NotFound, StorageError
from stage1.storage.keys import check_key
from stage1.storage.protocol import StoredObject

_PRIVATE = ".stage1"
_CHUNK = 1 << 20
_STALE_AFTER_S = 24 * 3600
_LOCK_TIMEOUT_S = 60.0


class LocalStore:
    """Objects as files below one folder. Safe for any number of threads and processes on one machine."""

    def __init__(self, root: Path) -> None:
        if root.exists() and not root.is_dir():
            raise BadInput(f"Need a folder as store, got the file {root}. Name a folder; it need not exist yet.")
        self._root = root.absolute()

    def get(self, key: str, *, max_bytes: int | None = None) -> StoredObject:
        """See Store.get."""
        path = self._path(key)
        with _faults(f"reading {key}", self._root):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                raise NotFound(f"There is no object {key!r} in {self._root}.") from None
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                os.close(descriptor)
                raise NotFound(f"There is no object {key!r} in {self._root}: it is a folder or a special file.")
            with os.fdopen(descriptor, "rb") as stream:
                if max_bytes is not None and status.st_size > max_bytes:
                    raise StorageError(
                        f"{key} in {self._root} has {status.st_size:,} bytes, at most {max_bytes:,} are expected."
                    )
                data = stream.read()
        return StoredObject(data, hashlib.sha256(data).hexdigest())

    def put_new(self, key: str, data: bytes) -> str:
        """See Store.put_new."""
        return self._create(key, [data])

    def put_file_new(self, key: str, path: Path) -> str:
        """See Store.put_file_new."""
        try:
            stream = path.open("rb")
        except OSError as error:
            raise BadInput(f"Cannot store {path} as {key}: {error.strerror}. Name a file that can be read.") from error
        with stream:
            return self._create(key, iter(lambda: stream.read(_CHUNK), b""))

    def swap(self, key: str, data: bytes, expected_version: str | None) -> str:
        """See Store.swap."""
        if expected_version is None:
            return self._create(key, [data])
        path = self._path(key)
        with _faults(f"replacing {key}", self._root), self._lock():
            try:
                found = self.get(key).version
            except NotFound:
                raise Conflict(f"{key} in {self._root} is gone; nothing was changed. Read it again.") from None
            if found != expected_version:
                raise Conflict(
                    f"{key} in {self._root} was changed by another writer since it was read (expected version "
                    f"{expected_version[:12]}, found {found[:12]}); nothing was changed. Read it again."
                )
            with self._written([data]) as (temporary, version):
                temporary.replace(path)
                _sync_folder(path.parent)
        return version

    def remove(self, key: str) -> None:
        """See Store.remove."""
        with _faults(f"removing {key}", self._root):
            self._path(key).unlink(missing_ok=True)

    def list(self, prefix: str = "") -> list[str]:
        """See Store.list."""
        if prefix:
            check_key(prefix.removesuffix("/"))
        start = self._root / prefix.rpartition("/")[0]
        with _faults(f"listing {prefix!r}", self._root):
            return sorted(key for key in self._walk(start) if key.startswith(prefix))

    def uri_of(self, key: str) -> str:
        """Return the absolute path of a key or prefix."""
        return str(self._path(key.removesuffix("/")))

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _walk(self, folder: Path) -> Iterator[str]:
        """Yield keys; what this store did not write (links, hidden and odd names) is no object and is passed over."""
        try:
            entries = list(os.scandir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            key = Path(entry.path).relative_to(self._root).as_posix()
            try:
                check_key(key)
            except BadInput:
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield key

    def _create(self, key: str, chunks: Iterable[bytes]) -> str:
        path = self._path(key)
        taken = Conflict(f"{key} exists already in {self._root}; nothing was changed.")
        with _faults(f"writing {key}", self._root):
            if os.path.lexists(path):
                raise taken
            with self._written(chunks) as (temporary, version):
                _make_folders(path.parent)
                try:
                    os.link(temporary, path)
                except FileExistsError:
                    raise taken from None
                _sync_folder(path.parent)
        return version

    @contextmanager
    def _written(self, chunks: Iterable[bytes]) -> Iterator[tuple[Path, str]]:
        """Yield a durable file beside the objects, holding the chunks, and its version; remove it in any case."""
        folder = self._root / _PRIVATE / "writing"
        _make_folders(folder)
        _remove_stale(folder)
        temporary = folder / f"{os.getpid()}-{secrets.token_hex(8)}"
        digest = hashlib.sha256()
        try:
            with temporary.open("xb") as stream:
                for chunk in chunks:
                    digest.update(chunk)
                    stream.write(chunk)
                stream.flush()
                os.fsync(stream.fileno())
            yield temporary, digest.hexdigest()
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        folder = self._root / _PRIVATE
        _make_folders(folder)
        with (folder / "lock").open("ab") as stream:
            deadline = time.monotonic() + _LOCK_TIMEOUT_S
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise StorageError(
                            f"Another process has held {folder / 'lock'} for {_LOCK_TIMEOUT_S:.0f} s; nothing was "
                            "changed. End that process (it may be stopped) and run again."
                        ) from None
                    time.sleep(0.002)
            yield


@contextmanager
def _faults(doing: str, root: Path) -> Iterator[None]:
    """Turn what the system says into a StorageError that says what to do."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = (
            "Free space or raise the quota" if full else "Check permissions and that the file system has hard links"
        )
        raise StorageError(f"Failed {doing} in {root}: {error.strerror or error}. {advice}, then run again.") from error


def _make_folders(folder: Path) -> None:
    """Make `folder` and its parents, durably: a new name is safe only when the folder above it is synced."""
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir()
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_stale(folder: Path) -> None:
    """Remove what killed writers left; a live writer's file is never a day old without a change."""
    oldest = time.time() - _STALE_AFTER_S
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):
            if entry.stat(follow_symlinks=False).st_mtime < oldest:
                Path(entry.path).unlink()
