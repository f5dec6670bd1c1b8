"""bundle.json: what a bundle holds. The bundle's digest is that of this file, which has the digest of every other.

The digest is the SHA-256 of the canonical document without its own `digest` field, so that a changed byte anywhere in
the bundle, bundle.json included, shows without anything from outside. (It shows accidents and half-hearted edits; who
made a bundle is another question, which bundle.sig answers. The digest does not cover bundle.sig: a bundle that is
signed later, or again, is the same bundle.)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stage1.bundle.documents import Malformed, canonical, check, digest_of, parse
from stage1.errors import BadInput, BundleRejected
from stage1.storage.keys import check_key

MANIFEST = "bundle.json"
SIGNATURE = "bundle.sig"
MODEL = "model.onnx"
MODEL_CARD = "README.md"
CANARIES = "canaries.json"
SCHEMA_FOLDER = "schemas"
POLICIES = {"softmax": "thresholds.json", "gate": "gateparams.json", "scrc": "scrcparams.json"}
REQUIRED = frozenset({MODEL, MODEL_CARD, CANARIES, f"{SCHEMA_FOLDER}/bundle.schema.json"})

_KB, _MB, _GB = 1 << 10, 1 << 20, 1 << 30
MANIFEST_LIMIT = 4 * _MB
SIGNATURE_LIMIT = _MB
LIMITS = {".json": 16 * _MB, ".md": 4 * _MB, ".png": 64 * _MB, ".onnx": 2 * _GB, ".safetensors": 64 * _GB}
"""The kinds of file that a bundle may hold, and how many bytes each may have."""


@dataclass(frozen=True)
class FileEntry:
    """One file of a bundle: its SHA-256 in hex, and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Manifest:
    """bundle.json after all checks that need no other file.

    Attributes:
        digest: SHA-256 in hex; the bundle's identity.
        classes: Names of label 0 and of label 1.
        policy_file: One of POLICIES' values.
        preprocessing: JSON of stage1.data.preprocess.Preprocessing.
        decision: The gate's decision; it says yes.
        files: Every file but bundle.json and bundle.sig.
        document: The whole of it.
    """

    digest: str
    name: str
    version: str
    sequence: int
    classes: tuple[str, str]
    policy_file: str
    preprocessing: Mapping[str, Any]
    decision: Mapping[str, Any]
    provenance: Mapping[str, Any]
    files: Mapping[str, FileEntry]
    document: Mapping[str, Any]


def seal(document: Mapping[str, Any]) -> bytes:
    """Return the bytes of bundle.json for a document that has everything but its digest.

    Raises:
        BadInput: A field is missing or wrong.
    """
    try:
        return canonical(check({**document, "digest": digest_of(dict(document))}, "bundle"))
    except Malformed as error:
        raise BadInput(f"Cannot write {MANIFEST}: it {error}.") from error


def read_manifest(data: bytes) -> Manifest:
    """Return the manifest in these bytes.

    Raises:
        BundleRejected: With the first check that failed.
    """
    try:
        document = check(parse(data), "bundle")
        again = canonical(document)
    except Malformed as error:
        raise BundleRejected(f"{MANIFEST} {error}.") from error
    if again != data:
        raise BundleRejected(f"{MANIFEST} is not in canonical form, so it was not written by stage1 or was changed.")
    digest = digest_of({key: value for key, value in document.items() if key != "digest"})
    if digest != document["digest"]:
        raise BundleRejected(f"{MANIFEST} was changed: it says digest {document['digest']}, its content has {digest}.")
    files = {name: FileEntry(entry["sha256"], entry["size"]) for name, entry in document["files"].items()}
    _check_names(files)
    _check_model(document)
    _check_policy(document["policy"], document["decision"]["policy"], files)
    return Manifest(
        digest=digest,
        name=document["name"],
        version=document["version"],
        sequence=document["sequence"],
        classes=(document["classes"][0], document["classes"][1]),
        policy_file=document["policy"],
        preprocessing=document["input"]["preprocessing"],
        decision=document["decision"],
        provenance=document["provenance"],
        files=files,
        document=document,
    )


def check_file_name(name: str) -> int:
    """Return how many bytes a file of this name may have.

    Raises:
        BundleRejected: A bundle holds no such file.
    """
    try:
        check_key(name)
    except BadInput:
        raise BundleRejected(
            f"A bundle has no file named {name[:200]!r}: names are relative, without '..', and never hidden."
        ) from None
    suffix = "." + name.rpartition(".")[2]
    if suffix not in LIMITS:
        raise BundleRejected(f"A bundle has no file of the kind of {name!r}; it may hold {', '.join(LIMITS)}.")
    return LIMITS[suffix]


def _check_names(files: Mapping[str, FileEntry]) -> None:
    for name, entry in files.items():
        limit = check_file_name(name)
        if entry.size > limit:
            raise BundleRejected(f"{name} has {entry.size:,} bytes; at most {limit:,} are read.")
    if MANIFEST in files:
        raise BundleRejected(f"{MANIFEST} lists itself.")
    folded = {name.casefold() for name in files}
    if len(folded) != len(files):
        raise BundleRejected("Two files differ only in upper and lower case; some disks would hold one of them.")
    if missing := sorted(REQUIRED - set(files)):
        raise BundleRejected(f"{MANIFEST} lists no {', '.join(missing)}.")


def _check_model(document: Mapping[str, Any]) -> None:
    judged, made = document["decision"]["model_digest"], document["provenance"].get("model_digest")
    if judged != made:
        raise BundleRejected(f"The gate judged model {judged}, the bundle was made of {made}.")


def _check_policy(policy_file: str, decided: str, files: Mapping[str, FileEntry]) -> None:
    present = sorted(set(POLICIES.values()) & set(files))
    if present != [policy_file]:
        raise BundleRejected(f"Need exactly one policy file, {policy_file}; the bundle has {present or 'none'}.")
    if POLICIES[decided] != policy_file:
        raise BundleRejected(f"The gate judged policy {decided} ({POLICIES[decided]}), the bundle has {policy_file}.")
