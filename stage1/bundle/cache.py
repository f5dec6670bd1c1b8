"""Bundles from far away, kept on this machine by their digest, and what is known of the channels they came from.

    CACHE/sha256/<digest>/        a bundle; every byte is checked again whenever it is loaded, so nobody need trust it
    CACHE/channels/<sha256 of the address>.json      the highest sequence at which a channel was seen

The second is what keeps a channel from going back in time: a pointer of an earlier date is a rejection.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from stage1.bundle.channel import Entry
from stage1.bundle.documents import Malformed, canonical, parse
from stage1.bundle.manifest import MANIFEST, MANIFEST_LIMIT, SIGNATURE, SIGNATURE_LIMIT, read_manifest
from stage1.errors import BundleRejected, NotFound
from stage1.storage import Store

VARIABLE = "STAGE1_BUNDLE_CACHE"

Checked = TypeVar("Checked")


class Cache:
    """A folder; any number of threads and processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def folder_of(self, digest: str) -> Path:
        """Return where a bundle is kept, whether it is here or not."""
        return self._folder / "sha256" / digest

    def find(self, digest: str) -> Path | None:
        """Return the folder of a bundle that is here; it is still to be checked."""
        folder = self.folder_of(digest)
        return folder if folder.is_dir() else None

    def fetch(self, store: Store, prefix: str, expected: str | None, check: Callable[[Path], Checked]) -> Checked:
        """Copy a bundle from a store, check it, and keep the copy in place of one that is here.

        Only what bundle.json lists is read, and bundle.sig; each at most to its size. The copy is checked where nobody
        else knows of it, so nobody can put another one in its place meanwhile; only a good one is kept.

        Args:
            store: Where the bundle is, under `prefix`.
            prefix: The bundle's folder in the store.
            expected: Its digest must be this one; None takes any.
            check: Given the copy's folder, returns what is wanted of it, or raises.

        Raises:
            BundleRejected: There is no bundle, or it is another one.
            StorageError: The store failed.
        """
        try:
            data = store.get(f"{prefix}/{MANIFEST}", max_bytes=MANIFEST_LIMIT).data
        except NotFound as error:
            raise BundleRejected(f"{store.uri_of(prefix)} is no bundle: it has no {MANIFEST}.") from error
        manifest = read_manifest(data)
        if expected is not None and manifest.digest != expected:
            raise BundleRejected(f"Expected the bundle {expected}, {store.uri_of(prefix)} holds {manifest.digest}.")
        work = self._work_folder()
        try:
            (work / MANIFEST).write_bytes(data)
            for name, entry in manifest.files.items():
                target = work / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(_get(store, f"{prefix}/{name}", entry.size))
            with suppress(NotFound):
                signature = store.get(f"{prefix}/{SIGNATURE}", max_bytes=SIGNATURE_LIMIT).data
                (work / SIGNATURE).write_bytes(signature)
            checked = check(work)
            self._keep(work, manifest.digest)
            return checked
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def check_turn(self, uri: str, entry: Entry) -> None:
        """Check that a channel is not behind where it was seen.

        Raises:
            BundleRejected: It was further when it was seen last, or pointed elsewhere at the same sequence.
        """
        path = self._note_of(uri)
        sequence, digest = _seen(path)
        if entry.sequence < sequence or (entry.sequence == sequence and entry.digest != digest):
            raise BundleRejected(
                f"Channel {uri} is at sequence {entry.sequence} ({entry.digest[:12]}), but it was seen at {sequence} "
                f"({digest[:12]}) before: somebody replays an earlier state. If the store was made anew on purpose, "
                f"remove {path}."
            )

    def remember(self, uri: str, entry: Entry) -> None:
        """Note where a channel is; a note that says more stays."""
        path = self._note_of(uri)
        if entry.sequence <= _seen(path)[0]:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{secrets.token_hex(8)}")
        temporary.write_bytes(canonical({"channel": uri, "sequence": entry.sequence, "digest": entry.digest}))
        temporary.replace(path)

    def _note_of(self, uri: str) -> Path:
        return self._folder / "channels" / f"{hashlib.sha256(uri.encode()).hexdigest()}.json"

    def _work_folder(self) -> Path:
        work = self._folder / "writing" / f"{os.getpid()}-{secrets.token_hex(8)}"
        work.mkdir(parents=True, mode=0o700)
        return work

    def _keep(self, work: Path, digest: str) -> None:
        """Rename a whole copy into place; what is there gives way, and of two at once the later one stays."""
        target = self.folder_of(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(100):
            try:
                work.rename(target)
            except OSError:  # it is there, and not empty
                aside = self._work_folder()
                try:
                    target.rename(aside / "old")
                except FileNotFoundError:  # somebody else moved it away
                    aside.rmdir()
            else:
                break
        else:
            raise BundleRejected(f"The cache {self._folder} cannot be written. Name another folder in ${VARIABLE}.")
        self._sweep()

    def _sweep(self) -> None:
        """Remove copies that gave way."""
        for old in (self._folder / "writing").glob("*/old"):
            shutil.rmtree(old.parent, ignore_errors=True)


def default_cache() -> Path:
    """Return $STAGE1_BUNDLE_CACHE, or stage1/bundles in the user's cache folder."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stage1" / "bundles"


def _get(store: Store, key: str, size: int) -> bytes:
    try:
        return store.get(key, max_bytes=size).data
    except NotFound as error:
        raise BundleRejected(f"The bundle lacks {store.uri_of(key)}, which {MANIFEST} lists.") from error


def _seen(path: Path) -> tuple[int, str]:
    """What is remembered of a channel; nothing where the file was damaged, as a cache may be."""
    try:
        document = parse(path.read_bytes())
        return int(document["sequence"]), str(document["digest"])
    except (FileNotFoundError, Malformed, KeyError, TypeError, ValueError):
        return 0, ""
