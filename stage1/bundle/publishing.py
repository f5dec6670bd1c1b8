"""Promotion and rollback: a bundle goes whole into the store, then one compare-and-set points the channel at it.

The order makes it untearable. Files go up create-only under the bundle's digest, bundle.json last; what lies in the
store is then read back and compared; only then the pointer is swapped. Killed at any point and run again, the same
promotion goes on from there.
"""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from stage1.bundle.address import bundle_prefix
from stage1.bundle.cache import Cache
from stage1.bundle.channel import Action, Channel, Entry, Pointer, SignatureRule, rule_of
from stage1.bundle.consumer import Bundle
from stage1.bundle.keys import KeySource, read_public_keys
from stage1.bundle.manifest import MANIFEST, SIGNATURE, SIGNATURE_LIMIT, Manifest
from stage1.bundle.signing import check_signature
from stage1.errors import BadInput, BundleRejected, Conflict, NotFound, PromotionRefused, StorageError
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


def promote(
    store: Store,
    channel: str,
    folder: Path,
    *,
    public_key: KeySource | None = None,
    signature: SignatureRule = "unsigned-allowed",
) -> Promoted:
    """Publish the bundle in `folder` and point the channel at it.

    Doing it again, after success or after a crash at any point, gives the same end.

    Args:
        store: Where the channel lives.
        channel: Its name.
        folder: A bundle written by write_bundle.
        public_key: Whose signature the bundle must have; None does not check whose it is.
        signature: "required" takes signed bundles only, and makes the channel require signatures from then on.

    Raises:
        BundleRejected: The bundle fails a check, or does not reproduce its canaries; nothing was changed.
        PromotionRefused: Signatures are required, and the bundle has none or no key was given; nothing was changed.
        Conflict: The channel has moved since this bundle was judged or numbered, or another promoter was first; the
            channel was not changed.
        StorageError: The store failed, or holds other bytes under this bundle's digest.
    """
    target = Channel(store, channel)
    before = target.read()
    if rule_of(before, signature) == "required":
        _check_signed(channel, folder, public_key)
    manifest = Bundle.load(folder, public_key).manifest
    if before is not None and before.digest == manifest.digest:
        return _promoted(store, channel, before.current, changed=False)
    _check_turn(manifest, before, channel)
    _upload(store, folder, manifest)
    _check_stored(store, folder, manifest, public_key)
    entry = _entry(manifest, manifest.sequence, "promote")
    target.advance(before, entry, signature)
    return _promoted(store, channel, entry, changed=True)


def rollback(store: Store, channel: str, to: str | None = None, *, public_key: KeySource | None = None) -> Promoted:
    """Point the channel at a bundle that it pointed at before.

    Args:
        store: Where the channel lives.
        channel: Its name.
        to: The bundle's digest; None takes what it pointed at before the present one was promoted.
        public_key: As for promote.

    Raises:
        BadInput: The channel never pointed there, or there is no earlier one.
        BundleRejected: The earlier bundle fails a check now; nothing was changed.
        PromotionRefused: The channel requires signatures, and that bundle has none or no key was given.
        Conflict: Somebody else changed the channel meanwhile.
        StorageError: The store failed.
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
    with tempfile.TemporaryDirectory() as folder:  # a copy of an earlier day says nothing of what lies in the store now

        def load(copy: Path) -> Manifest:
            if before.signature == "required":
                _check_signed(channel, copy, public_key)
            return Bundle.load(copy, public_key).manifest

        manifest = Cache(Path(folder)).fetch(store, bundle_prefix(digest), digest, load)
    _check_names(store, manifest)
    entry = _entry(manifest, before.sequence + 1, "rollback")
    target.advance(before, entry)
    return _promoted(store, channel, entry, changed=True)


def _check_signed(channel: str, folder: Path, public_key: KeySource | None) -> None:
    """Say what is missing; whether the signature is good is seen when the bundle is loaded with the key."""
    if public_key is None:
        raise PromotionRefused(
            f"channel {channel} takes signed bundles only; give the public key they are checked with: "
            "promote.public_key or $STAGE1_PUBLIC_KEY"
        )
    if not os.path.lexists(folder / SIGNATURE):
        raise PromotionRefused(
            f"channel {channel} takes signed bundles only, this one is not signed. Sign it: stage1 bundle sign {folder}"
        )


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
    """Put every file that is not there yet; whether those that are there are the right ones is checked afterwards."""
    signed = [SIGNATURE] if os.path.lexists(folder / SIGNATURE) else []
    for name in [*manifest.files, *signed, MANIFEST]:
        try:
            store.put_file_new(f"{bundle_prefix(manifest.digest)}/{name}", folder / name)
        except Conflict:
            continue


def _check_stored(store: Store, folder: Path, manifest: Manifest, public_key: KeySource | None) -> None:
    """Read back every byte under the bundle's digest, as it is in the store and not as somebody keeps it."""
    prefix = bundle_prefix(manifest.digest)
    for name, entry in manifest.files.items():
        _check_bytes(store, f"{prefix}/{name}", entry.sha256)
    _check_bytes(store, f"{prefix}/{MANIFEST}", hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest())
    key = f"{prefix}/{SIGNATURE}"
    try:
        data = store.get(key, max_bytes=SIGNATURE_LIMIT).data
    except NotFound:
        pass
    else:  # signed again it has other bytes, so what is there counts, if it is good
        try:
            check_signature(data, manifest, () if public_key is None else read_public_keys(public_key))
        except BundleRejected as error:
            raise StorageError(
                f"{store.uri_of(key)} is no signature of this bundle: {error} Remove it and run again."
            ) from error
    _check_names(store, manifest)


def _check_bytes(store: Store, key: str, sha256: str) -> None:
    found = hashlib.sha256(store.get(key).data).hexdigest()
    if found != sha256:
        raise StorageError(
            f"{store.uri_of(key)} exists with other bytes (SHA-256 {found}, needed {sha256}). It was damaged or "
            "written by somebody else: remove it and run again."
        )


def _check_names(store: Store, manifest: Manifest) -> None:
    prefix = bundle_prefix(manifest.digest)
    names = {key.removeprefix(f"{prefix}/") for key in store.list(f"{prefix}/")}
    if extra := sorted(names - {*manifest.files, MANIFEST, SIGNATURE}):
        raise StorageError(
            f"The bundle in the store is not the one that was uploaded: it has {', '.join(extra[:5])} too many. Remove "
            f"{store.uri_of(prefix)} and run again."
        )


def _entry(manifest: Manifest, sequence: int, action: Action) -> Entry:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Entry(manifest.digest, sequence, now, action, manifest.name, manifest.version)


def _promoted(store: Store, channel: str, entry: Entry, *, changed: bool) -> Promoted:
    return Promoted(entry.digest, channel, entry.sequence, store.uri_of(bundle_prefix(entry.digest)), changed)
