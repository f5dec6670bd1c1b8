"""From an address (stage1.bundle.address) to a bundle whose every byte was checked."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stage1.bundle.address import Address, bundle_prefix, folder_of, locate, resolve
from stage1.bundle.cache import Cache, default_cache
from stage1.bundle.channel import Entry
from stage1.bundle.documents import Malformed, check, parse
from stage1.bundle.folder import check_listing, read_checked, read_manifest_bytes, read_signature_bytes
from stage1.bundle.keys import KeySource, PublicKey, read_public_keys
from stage1.bundle.manifest import CANARIES, MODEL, MODEL_CARD, SIGNATURE, Manifest, read_manifest
from stage1.bundle.reference import REFERENCE, Reference
from stage1.bundle.signing import SignatureState, check_signature
from stage1.bundle.weights import check_weights
from stage1.data.preprocess import Preprocessing
from stage1.errors import BundleRejected, Stage1Error
from stage1.policy import ExitPolicy, load_policy
from stage1.storage.opening import is_s3

__all__ = ["Canary", "Verified", "bundle_prefix", "locate", "rejecting", "verify", "verify_folder"]


@dataclass(frozen=True)
class Canary:
    """An image that the bundle carries, and what the bundle said about it when it was made."""

    image: bytes = field(repr=False)
    logits: tuple[float, float]
    gate: float
    answer: str
    label: str | None


@dataclass(frozen=True)
class Verified:
    """A bundle that passed every check; the parts are made of the very bytes that were checked.

    Attributes:
        folder: Where it was read.
        manifest: bundle.json.
        preprocessing: How images become what the model sees.
        policy: When the model's answer is taken, from the bundle's one policy file.
        model: The bytes of model.onnx.
        canaries: Images with known answers.
        reference: How its answers were spread over val_test; None where the bundle carries none.
        signature: "verified" with a given key, "unchecked" where no key was given, "absent".
    """

    folder: Path
    manifest: Manifest
    preprocessing: Preprocessing
    policy: ExitPolicy
    model: bytes = field(repr=False)
    canaries: tuple[Canary, ...] = field(repr=False)
    reference: Reference | None
    signature: SignatureState

    @property
    def digest(self) -> str:
        """The bundle's identity: SHA-256 in hex."""
        return self.manifest.digest


def verify(
    uri: str | Path,
    public_key: KeySource | None = None,
    *,
    min_sequence: int = 0,
    cache: str | Path | None = None,
) -> Verified:
    """Return the bundle at `uri` after checking all of it; the model is not run (Bundle.load does).

    Args:
        uri: A bundle's folder, a bundle in a store (.../bundles/sha256/<digest>), or a channel
            (.../channels/<name>.json); the latter two in a folder or in S3 (s3://bucket/...).
        public_key: Whose signature the bundle must have: a PEM file's path, or the PEM itself, which may hold several
            keys of which one must fit. None takes unsigned bundles, and does not check whose a signature is.
        min_sequence: A bundle of a lower sequence is rejected, whatever a channel says.
        cache: Folder for bundles from S3, by default $STAGE1_BUNDLE_CACHE or the user's cache folder. Where it is
            given or used, a channel that went back to an earlier state is rejected.

    Raises:
        BundleRejected: For whatever is wrong with the address, the key or the bundle, with the first reason.
    """
    with rejecting(f"bundle {uri}"):
        keys = () if public_key is None else read_public_keys(public_key)
        address = resolve(locate(str(uri)))
        kept = Cache(Path(cache) if cache else default_cache()) if cache or is_s3(str(uri)) else None
        if kept and address.entry:
            kept.check_turn(str(uri), address.entry)
        verified = _from_afar(address, keys, kept) if kept and is_s3(str(uri)) else _from_here(address, keys)
        _check_sequence(verified.manifest, address.entry, min_sequence)
        if kept and address.entry:
            kept.remember(str(uri), address.entry)
        return verified


def _from_here(address: Address, keys: Sequence[PublicKey]) -> Verified:
    return verify_folder(folder_of(address), address.digest, keys)


def _from_afar(address: Address, keys: Sequence[PublicKey], cache: Cache) -> Verified:
    """Check the copy in the cache; where there is none, or it is not good any more, copy the bundle."""
    if address.store is None:
        raise BundleRejected(f"{address.uri} is not in a store.")
    if address.digest is not None and (folder := cache.find(address.digest)) is not None:
        with suppress(Stage1Error, OSError):
            return verify_folder(folder, address.digest, keys)

    def check(folder: Path) -> Verified:
        return verify_folder(folder, address.digest, keys)

    verified = cache.fetch(address.store, address.prefix, address.digest, check)
    return replace(verified, folder=cache.folder_of(verified.digest))


def _check_sequence(manifest: Manifest, entry: Entry | None, least: int) -> None:
    """What a channel says of a bundle must agree with what the bundle, which may be signed, says of itself."""
    if entry is not None and entry.action == "promote" and manifest.sequence != entry.sequence:
        raise BundleRejected(
            f"The channel says that it promoted sequence {entry.sequence}, the bundle has {manifest.sequence}: an "
            "earlier bundle was put in its place."
        )
    if entry is not None and manifest.sequence > entry.sequence:
        raise BundleRejected(f"The channel is at sequence {entry.sequence}, the bundle at {manifest.sequence}.")
    if manifest.sequence < least:
        raise BundleRejected(f"Need a bundle of sequence {least} or later, this one has {manifest.sequence}.")


def verify_folder(folder: Path, expected: str | None, keys: Sequence[PublicKey] = ()) -> Verified:
    """Return the bundle in this folder.

    Args:
        folder: The folder.
        expected: Its digest must be this one; None takes any.
        keys: One of them must have signed it; none takes it unsigned, and does not check whose a signature is.
    """
    manifest = read_manifest(read_manifest_bytes(folder))
    if expected is not None and manifest.digest != expected:
        raise BundleRejected(f"Expected the bundle {expected}, {folder} holds {manifest.digest}.")
    signature = _check_signature(folder, manifest, keys)
    check_listing(folder, manifest.files)
    kept = {}
    for name, entry in manifest.files.items():
        if name.endswith(".safetensors"):
            read_checked(folder, name, entry, keep=False, inspect=check_weights)
        else:
            kept[name] = read_checked(folder, name, entry, keep=True)
    _check_text(kept[MODEL_CARD])
    documents = {name: _document(name, data) for name, data in kept.items() if name.endswith(".json")}
    return Verified(
        folder=folder,
        manifest=manifest,
        preprocessing=Preprocessing.from_json(manifest.preprocessing),
        policy=_policy(documents[manifest.policy_file], manifest.policy_file),
        model=kept[MODEL],
        signature=signature,
        canaries=_canaries(documents[CANARIES], kept, manifest),
        reference=Reference.from_json(documents[REFERENCE]) if REFERENCE in documents else None,
    )


@contextmanager
def rejecting(what: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into a BundleRejected with its reason."""
    try:
        yield
    except BundleRejected:
        raise
    except (Stage1Error, OSError) as error:
        raise BundleRejected(f"Rejected {what}: {error}") from error
    except Exception as error:  # a consumer must not need to know what a damaged bundle can raise
        raise BundleRejected(f"Rejected {what}: {type(error).__name__}: {str(error)[:500]}") from error


def _check_signature(folder: Path, manifest: Manifest, keys: Sequence[PublicKey]) -> SignatureState:
    data = read_signature_bytes(folder)
    if data is None and keys:
        raise BundleRejected(f"The bundle is not signed: it has no {SIGNATURE}, and a public key was given.")
    if data is None:
        return "absent"
    check_signature(data, manifest, keys)
    return "verified" if keys else "unchecked"


def _check_text(data: bytes) -> None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleRejected(f"{MODEL_CARD} is no text: {error}.") from error
    if "\0" in text:
        raise BundleRejected(f"{MODEL_CARD} is no text: it has zero bytes.")


def _document(name: str, data: bytes) -> Any:
    try:
        return parse(data)
    except Malformed as error:
        raise BundleRejected(f"{name} {error}.") from error


def _policy(document: Any, name: str) -> ExitPolicy:
    if not isinstance(document, dict):
        raise BundleRejected(f"{name} is no JSON object.")
    try:
        policy = load_policy(document)
    except Exception as error:  # the policy room's own errors, and whatever an odd document makes it raise
        raise BundleRejected(f"The policy in {name} cannot be used: {error}") from error
    if not policy.feasible:
        raise BundleRejected(f"The policy in {name} says that it could not be fitted: {policy.reason}")
    return policy


def _canaries(document: Any, kept: Mapping[str, bytes], manifest: Manifest) -> tuple[Canary, ...]:
    try:
        listed = check(document, "canaries")["canaries"]
    except Malformed as error:
        raise BundleRejected(f"{CANARIES} {error}.") from error
    if missing := sorted({canary["file"] for canary in listed} - set(manifest.files)):
        raise BundleRejected(f"{CANARIES} names images that the bundle lacks: {', '.join(missing)}.")
    return tuple(
        Canary(kept[c["file"]], (c["logits"][0], c["logits"][1]), c["gate"], c["answer"], c["label"]) for c in listed
    )
