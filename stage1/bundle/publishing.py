"""Promotion and rollback: a bundle goes whole into the store, then one compare-and-set points the channel at it.

The order makes it untearable. Files go up create-only under the bundle's digest, bundle.json last; what lies in the
store is then verified as a consumer would; only then the pointer is swapped. Killed at any point and run again, the
same promotion goes on from there.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from stage1.bundle.channel import Action, Channel, Entry, Pointer
from stage1.bundle.consumer import Bundle
from stage1.bundle.manifest import MANIFEST, Manifest
from stage1.bundle.verification import bundle_prefix
from stage1.errors import BadInput, BundleRejected, Conflict, StorageError
from stage1.storage import Store


@dataclass(frozen=True)
class Promoted:
    """What a channel points at after a promotion or a rollback.

    Attributes:
        digest: The bundle.
        channel: The channel's name.
        sequence: The channel's sequence now.
        uri: Where the bundle lies in the store.
        changed: False where the channel pointed there already.
    """

    digest: str
    channel: str
    sequence: int
    uri: str
    changed: bool


def promote(store: Store, channel: str, folder: Path) -> Promoted:
    """Publish the bundle in `folder` and point the channel at it.

    Doing it again, after success or after a crash at any point, gives the same end.

    Args:
        store: Where the channel lives.
        channel: Its name.
        folder: A bundle written by write_bundle.

    Raises:
        BundleRejected: The bundle fails a check, or does not reproduce its canaries; nothing was changed.
        Conflict: The channel has moved since this bundle was judged or numbered, or another promoter was first; the
            channel was not changed.
        StorageError: The store failed, or holds other bytes under this bundle's digest.
    """
    manifest = Bundle.load(folder).manifest
    target = Channel(store, channel)
    before = target.read()
    if before is not None and before.digest == manifest.digest:
        return _promoted(store, channel, before.current, changed=False)
    _check_turn(manifest, before, channel)
    _upload(store, folder, manifest)
    uri = store.uri_of(bundle_prefix(manifest.digest))
    try:
        Bundle.load(uri)
    except BundleRejected as error:
        raise StorageError(
            f"The bundle in the store is not the one that was uploaded: {error} Remove {uri} and run again."
        ) from error
    entry = _entry(manifest, manifest.sequence, "promote")
    target.advance(before, entry)
    return _promoted(store, channel, entry, changed=True)


def rollback(store: Store, channel: str, to: str | None = None) -> Promoted:
    """Point the channel at a bundle that it pointed at before.

    Args:
        store: Where the channel lives.
        channel: Its name.
        to: The bundle's digest; None takes what it pointed at before the present one was promoted.

    Raises:
        BadInput: The channel never pointed there, or there is no earlier one.
        BundleRejected: The earlier bundle fails a check now; nothing was changed.
        Conflict: Somebody else changed the channel meanwhile.
    """
    target = Channel(store, channel)
    before = target.read()
    if before is None:
        raise BadInput(f"Channel {channel} cannot be rolled back: nothing has been promoted to it yet.")
    digest = _previous(before) if to is None else to
    if digest not in {entry.digest for entry in before.history}:
        raise BadInput(f"Channel {channel} never pointed at {digest}. Name a digest of its history.")
    if digest == before.digest:
        return _promoted(store, channel, before.current, changed=False)
    manifest = Bundle.load(store.uri_of(bundle_prefix(digest))).manifest
    entry = _entry(manifest, before.sequence + 1, "rollback")
    target.advance(before, entry)
    return _promoted(store, channel, entry, changed=True)


def _check_turn(manifest: Manifest, before: Pointer | None, channel: str) -> None:
    """The bundle must be newer than the channel, and judged against what the channel points at now."""
    champion = manifest.decision["champion"]
    judged_against = champion["digest"] if champion else None
    present = before.digest if before else None
    if judged_against != present:
        raise Conflict(
            f"Channel {channel} points at {present or 'nothing'}, this bundle was judged against "
            f"{judged_against or 'no champion'}. Evaluate again against the present champion."
        )
    if before is not None and manifest.sequence <= before.sequence:
        raise Conflict(
            f"Channel {channel} is at sequence {before.sequence}, this bundle has {manifest.sequence}: something was "
            "promoted or rolled back after it was exported. Export it again."
        )


def _previous(pointer: Pointer) -> str:
    """Return what the channel pointed at when its present bundle was promoted, so that repeated rollbacks walk back."""
    promotions = [
        index
        for index, entry in enumerate(pointer.history)
        if entry.action == "promote" and entry.digest == pointer.digest
    ]
    if not promotions or promotions[0] == 0:
        raise BadInput(f"There is no bundle before {pointer.digest} in the channel's history.")
    return pointer.history[promotions[0] - 1].digest


def _upload(store: Store, folder: Path, manifest: Manifest) -> None:
    prefix = bundle_prefix(manifest.digest)
    for name, entry in manifest.files.items():
        _upload_file(store, f"{prefix}/{name}", folder / name, entry.sha256)
    bundle_json = folder / MANIFEST
    _upload_file(store, f"{prefix}/{MANIFEST}", bundle_json, hashlib.sha256(bundle_json.read_bytes()).hexdigest())


def _upload_file(store: Store, key: str, path: Path, sha256: str) -> None:
    try:
        store.put_file_new(key, path)
    except Conflict:
        found = hashlib.sha256(store.get(key).data).hexdigest()
        if found != sha256:
            raise StorageError(
                f"{store.uri_of(key)} exists with other bytes (SHA-256 {found}, needed {sha256}). It was damaged or "
                "written by somebody else: remove it and run again."
            ) from None


def _entry(manifest: Manifest, sequence: int, action: Action) -> Entry:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Entry(manifest.digest, sequence, now, action, manifest.name, manifest.version)


def _promoted(store: Store, channel: str, entry: Entry, *, changed: bool) -> Promoted:
    return Promoted(entry.digest, channel, entry.sequence, store.uri_of(bundle_prefix(entry.digest)), changed)
