"""From an address to a bundle whose every byte was checked.

verify("out/bundle")                                     a folder
verify("/srv/models/bundles/sha256/<digest>")            the same, and its digest must be that
verify("/srv/models/channels/demo.json")                 the bundle that a channel points at
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stage1.bundle.channel import Channel
from stage1.bundle.documents import Malformed, check, parse
from stage1.bundle.folder import check_listing, read_checked, read_manifest_bytes
from stage1.bundle.manifest import CANARIES, MODEL, Manifest, read_manifest
from stage1.data.preprocess import Preprocessing
from stage1.errors import BundleRejected, Stage1Error
from stage1.policy import ExitPolicy, load_policy
from stage1.storage import open_store
from stage1.storage.opening import local_path

_DIGEST = re.compile(r"[0-9a-f]{64}")


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
    """

    folder: Path
    manifest: Manifest
    preprocessing: Preprocessing
    policy: ExitPolicy
    model: bytes = field(repr=False)
    canaries: tuple[Canary, ...] = field(repr=False)

    @property
    def digest(self) -> str:
        """The bundle's identity: SHA-256 in hex."""
        return self.manifest.digest


def verify(uri: str | Path) -> Verified:
    """Return the bundle at `uri` after checking all of it; the model is not run (Bundle.load does).

    Args:
        uri: A bundle's folder, a bundle in a store (.../bundles/sha256/<digest>), or a channel
            (.../channels/<name>.json).

    Raises:
        BundleRejected: For whatever is wrong with the address or the bundle, with the first reason.
    """
    with rejecting(f"bundle {uri}"):
        folder, expected = _locate(str(uri))
        return verify_folder(folder, expected)


def verify_folder(folder: Path, expected: str | None) -> Verified:
    """Return the bundle in this folder; its digest must be `expected` where that is given."""
    manifest = read_manifest(read_manifest_bytes(folder))
    if expected is not None and manifest.digest != expected:
        raise BundleRejected(f"Expected the bundle {expected}, {folder} holds {manifest.digest}.")
    check_listing(folder, manifest.files)
    kept = {}
    for name, entry in manifest.files.items():
        keep = name == MODEL or name.endswith((".json", ".png"))
        data = read_checked(folder, name, entry, keep=keep)
        if keep:
            kept[name] = data
    documents = {name: _document(name, data) for name, data in kept.items() if name.endswith(".json")}
    return Verified(
        folder=folder,
        manifest=manifest,
        preprocessing=Preprocessing.from_json(manifest.preprocessing),
        policy=_policy(documents[manifest.policy_file], manifest.policy_file),
        model=kept[MODEL],
        canaries=_canaries(documents[CANARIES], kept, manifest),
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


def _locate(uri: str) -> tuple[Path, str | None]:
    path = local_path(uri)
    if path.suffix == ".json" and path.parent.name == "channels":
        store = open_store(str(path.parent.parent))
        pointer = Channel(store, path.stem).read()
        if pointer is None:
            raise BundleRejected(f"Channel {path} points at no bundle: nothing has been promoted to it yet.")
        return local_path(store.uri_of(bundle_prefix(pointer.digest))), pointer.digest
    addressed = path.parent.parts[-2:] == ("bundles", "sha256") and _DIGEST.fullmatch(path.name)
    return path, path.name if addressed else None


def bundle_prefix(digest: str) -> str:
    """Return the prefix of a bundle's keys in a store."""
    return f"bundles/sha256/{digest}"


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
