"""Put the model, the chosen policy and the decision into one bundle that a consumer can verify."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stage1.bundle import CanaryImage, Channel, sign, write_bundle
from stage1.bundle.bom import BOM, ml_bom
from stage1.bundle.config import ExportConfig
from stage1.bundle.documents import canonical
from stage1.bundle.reference import REFERENCE, Reference
from stage1.data import Preprocessing
from stage1.data.predictions import PredictionTable
from stage1.errors import PromotionRefused
from stage1.policy import load_policy
from stage1.report import model_card
from stage1.steps.agreement import check_agreement
from stage1.steps.artifact import provenance, read_artifact
from stage1.steps.documents import read_json
from stage1.steps.signing import key_to_sign
from stage1.steps.step import StepResult, step
from stage1.storage import open_store


@dataclass(frozen=True)
class Exported(StepResult):
    """The bundle's identity."""

    digest: str
    sequence: int
    policy: str


def next_sequence(config: ExportConfig) -> int:
    """The sequence that a bundle exported now should have."""
    return Channel(open_store(config.store), config.channel).next_sequence()


def circumstances(config: ExportConfig) -> tuple[int, str]:
    """What a bundle depends on beside its inputs: the channel's sequence, and which key signs ("" for none)."""
    key = key_to_sign(config.signature)
    return next_sequence(config), key.public.hint if key else ""


@step(state=circumstances)
def export(
    manifest: Path,
    model: Path,
    predictions: Path,
    policies: Path,
    evaluation: Path,
    decision: Path,
    out: Path,
    *,
    config: ExportConfig = ExportConfig(),
) -> Exported:
    """Write the bundle, load it once by the consumer's code, and sign it if $STAGE1_SIGNING_KEY is set.

    Args:
        manifest, model, predictions, policies, evaluation, decision: Output folders of the steps before.
        out: Receives the bundle in bundle/.
        config: Name of the model, channel that it is meant for, whether it must be signed, licence of the weights.

    Raises:
        PromotionRefused: The decision is not yes, a folder is of another run, or model.onnx is not shown to decide as
            the model does; no bundle is made of a refused model.
        BadConfig: Signatures are required and $STAGE1_SIGNING_KEY is not set.
        BadInput: $STAGE1_SIGNING_KEY holds no key.
    """
    key = key_to_sign(config.signature)
    verdict = read_json(decision / "decision.json")
    if verdict["promote"] is not True:
        raise PromotionRefused(f"the gate refused this model: {'; '.join(verdict['reasons'])}")
    folders = {
        "manifest": manifest,
        "model": model,
        "predictions": predictions,
        "policies": policies,
        "evaluation": evaluation,
        "decision": decision,
    }
    _check_one_run(folders)
    origin = {**provenance(folders), "model_digest": read_artifact(model, "model").digest}
    description = read_json(model / "model.json")
    policy = policies / read_json(policies / "policies.json")["policies"][verdict["policy"]]["file"]
    check_agreement(predictions, load_policy(read_json(policy)))
    negative, positive = description["class_names"]
    sequence = next_sequence(config)
    version = f"{sequence}-{origin['model_digest'][:12]}"
    metrics = read_json(evaluation / "metrics.json")
    carried = {"model.safetensors": model / "model.safetensors", "model.json": model / "model.json"}
    bundle = write_bundle(
        out / "bundle",
        name=config.name,
        version=version,
        sequence=sequence,
        classes=(negative, positive),
        model=predictions / "model.onnx",
        policy=policy,
        preprocessing=Preprocessing.from_json(description["preprocessing"]),
        decision=verdict,
        provenance=origin,
        model_card=model_card(
            metrics=metrics,
            decision=verdict,
            split=read_json(manifest / "split.json"),
            provenance=origin,
            name=config.name,
            version=version,
            licence=config.licence,
        ),
        canaries=[
            CanaryImage(predictions / "canaries" / entry["file"], tuple(entry["logits"]), entry["gate"])
            for entry in read_json(predictions / "canaries.json")["canaries"]
        ],
        files=carried,
        documents={
            REFERENCE: canonical(_reference(predictions, policy).to_json()),
            BOM: ml_bom(
                name=config.name,
                version=version,
                licence=config.licence,
                classes=(negative, positive),
                architecture=" ".join(filter(None, (description["backbone"]["kind"], description["backbone"]["name"]))),
                provenance=origin,
                metrics=metrics,
                files=_digests({**carried, "model.onnx": predictions / "model.onnx", policy.name: policy}),
            ),
        },
    )
    if key is not None:
        sign(out / "bundle", key)
    return Exported(bundle.digest, sequence, policy.name)


_MADE_FROM = (
    ("predictions", "manifest"),
    ("predictions", "model"),
    ("policies", "predictions"),
    ("evaluation", "predictions"),
    ("evaluation", "policies"),
    ("decision", "evaluation"),
)


def _check_one_run(folders: Mapping[str, Path]) -> None:
    """What was judged must be what ships: each folder was made from the others that are given, not from their like."""
    artifacts = {name: read_artifact(folder, name) for name, folder in folders.items()}
    for made, source in _MADE_FROM:
        if artifacts[made].record["inputs"].get(source) != artifacts[source].digest:
            raise PromotionRefused(
                f"{made} was not made from the given {source}, but from those of another run: nothing that was judged "
                "there holds here. Give the folders of one run."
            )


def _reference(predictions: Path, policy: Path) -> Reference:
    """How the policy that ships answers val_test. Nothing is chosen by it; the server compares with it."""
    table = PredictionTable.read(predictions / "predictions.parquet").split("val_test", allowed=("val_test",))
    return Reference.of(load_policy(read_json(policy)), table.logits_N2, table.numbers_N("gate"))


def _digests(files: Mapping[str, Path]) -> dict[str, str]:
    digests = {}
    for name, path in files.items():
        with path.open("rb") as stream:
            digests[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return digests
