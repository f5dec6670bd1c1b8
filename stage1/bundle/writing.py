"""Writing a bundle's folder."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stage1.bundle.answers import answers
from stage1.bundle.consumer import Bundle
from stage1.bundle.documents import SCHEMAS, Malformed, canonical, parse, schema_bytes
from stage1.bundle.keys import SigningKey
from stage1.bundle.manifest import (
    CANARIES,
    MANIFEST,
    MODEL,
    MODEL_CARD,
    POLICIES,
    SCHEMA_FOLDER,
    SIGNATURE,
    check_file_name,
    seal,
)
from stage1.bundle.signing import make_signature
from stage1.bundle.verification import rejecting, verify_folder
from stage1.data.preprocess import Preprocessing
from stage1.errors import BadInput, BundleRejected, PromotionRefused
from stage1.policy import ExitPolicy, load_policy

_CARRIED_SCHEMAS = SCHEMAS[:2]
_MOST_CANARIES = 32


@dataclass(frozen=True)
class CanaryImage:
    """An image to carry, and what the model said about it.

    Attributes:
        image: A PNG file.
        logits: (z0, z1), from the model that is shipped.
        gate: Gate logit.
    """

    image: Path
    logits: tuple[float, float]
    gate: float


def write_bundle(
    out: Path,
    *,
    name: str,
    version: str,
    sequence: int,
    classes: tuple[str, str],
    model: Path,
    policy: Path,
    preprocessing: Preprocessing,
    decision: Mapping[str, Any],
    provenance: Mapping[str, Any],
    model_card: str,
    canaries: Sequence[CanaryImage],
    files: Mapping[str, Path] | None = None,
    documents: Mapping[str, bytes] | None = None,
) -> Bundle:
    """Write a bundle, load it as a consumer would, and return it.

    The same inputs give the same bytes and digest; nothing is taken from the clock or the machine.

    Args:
        out: A folder that is empty or does not exist.
        name: Of the model; letters, digits, ".", "_", "+", "-".
        version: Of this bundle; as name.
        sequence: Above that of the channel it is meant for (`Channel.next_sequence`).
        classes: Names of label 0 and of label 1, the positive.
        model: model.onnx: input `images` uint8 [N,H,W,3]; outputs `logits` float32 [N,2] and `gate` float32 [N].
        policy: The one policy file: thresholds.json, gateparams.json or scrcparams.json, under that name.
        preprocessing: What turns a picture into the model's input.
        decision: decision.json; it says promote, and judged this policy.
        provenance: Where it comes from: data, code, configuration, versions, run. Free JSON, not empty.
        model_card: Text of README.md.
        canaries: 1 to 32 images with the model's numbers; the policy's answers are recorded beside them.
        files: More files to carry by their name in the bundle, such as model.safetensors and model.json.
        documents: The same as bytes, such as bom.cdx.json.

    Raises:
        PromotionRefused: The decision does not say promote.
        BadInput: An input is missing or cannot be part of a bundle.
        BundleRejected: What was written does not load, such as a model that does not give the canaries' numbers.
    """
    if decision.get("promote") is not True:
        raise PromotionRefused("Need a decision that says promote, got one that does not. No bundle was written.")
    if out.exists() and any(out.iterdir()):
        raise BadInput(f"Need an empty folder for the bundle, {out} has files. Name another folder.")
    if policy.name not in POLICIES.values():
        raise BadInput(f"Need a policy file named {', '.join(POLICIES.values())}, got {policy.name}.")
    sources = {**(files or {}), MODEL: model, policy.name: policy}
    loaded = _load(policy)
    texts = {
        **(documents or {}),
        MODEL_CARD: model_card.encode(),
        CANARIES: _canaries_document(canaries, loaded, classes),
        **{f"{SCHEMA_FOLDER}/{schema}.schema.json": schema_bytes(schema) for schema in _CARRIED_SCHEMAS},
        f"{SCHEMA_FOLDER}/{loaded.schema_file()}": canonical(loaded.json_schema()),
    }
    sources |= {_canary_name(index): canary.image for index, canary in enumerate(canaries)}
    _check_sources(sources, texts)
    out.mkdir(parents=True, exist_ok=True)
    listed = {file: _copy(source, out / file) for file, source in sorted(sources.items())}
    listed |= {file: _write(data, out / file) for file, data in sorted(texts.items())}
    document = {
        "schema": "stage1/bundle/v1",
        "name": name,
        "version": version,
        "sequence": sequence,
        "classes": list(classes),
        "policy": policy.name,
        "input": {
            "name": "images",
            "dtype": "uint8",
            "layout": "NHWC",
            "colors": "RGB",
            "preprocessing": preprocessing.to_json(),
        },
        "outputs": {
            "logits": {"dtype": "float32", "shape": ["N", 2]},
            "gate": {"dtype": "float32", "shape": ["N"]},
        },
        "decision": dict(decision),
        "provenance": dict(provenance),
        "files": listed,
    }
    (out / MANIFEST).write_bytes(seal(document))
    return Bundle.load(out)


def sign(folder: Path, key: SigningKey) -> None:
    """Sign the bundle in a folder: bundle.sig beside bundle.json. The bundle's digest stays what it was.

    Args:
        folder: A bundle that is not signed yet.
        key: Made by read_signing_key or signing_key_from.

    Raises:
        BadInput: It is signed already.
        BundleRejected: It fails a check; what is broken is not signed.
    """
    with rejecting(f"bundle {folder}"):
        verified = verify_folder(folder, None)
        signature = make_signature(verified.manifest, key)
    try:
        with (folder / SIGNATURE).open("xb") as stream:
            stream.write(signature)
    except FileExistsError as error:
        raise BadInput(
            f"{folder} is signed already. To sign it with another key, remove {folder / SIGNATURE}."
        ) from error


def _canary_name(index: int) -> str:
    return f"canaries/{index}.png"


def _load(policy: Path) -> ExitPolicy:
    try:
        document = parse(policy.read_bytes())
    except (OSError, Malformed) as error:
        raise BadInput(f"The policy file {policy} cannot be read: {error}.") from error
    if not isinstance(document, dict):
        raise BadInput(f"The policy file {policy} is no JSON object.")
    return load_policy(document)


def _canaries_document(canaries: Sequence[CanaryImage], policy: ExitPolicy, classes: tuple[str, str]) -> bytes:
    if not 1 <= len(canaries) <= _MOST_CANARIES:
        raise BadInput(f"Need 1 to {_MOST_CANARIES} canary images, got {len(canaries)}.")
    logits_N2 = np.array([canary.logits for canary in canaries], dtype=np.float64)
    gate_N = np.array([canary.gate for canary in canaries], dtype=np.float64)
    entries = [
        {
            "file": _canary_name(index),
            "logits": [float(logit) for logit in canary.logits],
            "gate": float(canary.gate),
            "answer": answer.answer,
            "label": answer.label,
        }
        for index, (canary, answer) in enumerate(
            zip(canaries, answers(policy, classes, logits_N2, gate_N), strict=True)
        )
    ]
    try:
        return canonical({"schema": "stage1/canaries/v1", "canaries": entries})
    except Malformed as error:
        raise BadInput(f"A canary's numbers are not finite: {error}.") from error


def _check_sources(sources: Mapping[str, Path], texts: Mapping[str, bytes]) -> None:
    if clash := sorted(set(sources) & set(texts)):
        raise BadInput(f"{', '.join(clash)} is written by stage1 itself and cannot be given in `files`.")
    for name, source in sources.items():
        try:
            check_file_name(name)
        except BundleRejected as error:
            raise BadInput(str(error)) from error
        if not source.is_file():
            raise BadInput(f"Need a file for {name}, there is none at {source}.")


def _copy(source: Path, target: Path) -> dict[str, Any]:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    with target.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"sha256": digest, "size": target.stat().st_size}


def _write(data: bytes, target: Path) -> dict[str, Any]:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
