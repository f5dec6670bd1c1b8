"""Put the model, the chosen policy and the decision into one bundle that a consumer can verify."""

from dataclasses import dataclass
from pathlib import Path

from stage1.bundle import CanaryImage, Channel, write_bundle
from stage1.bundle.config import ExportConfig
from stage1.data import Preprocessing
from stage1.errors import PromotionRefused
from stage1.report import model_card
from stage1.steps.artifact import provenance, read_artifact
from stage1.steps.documents import read_json
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


@step(state=next_sequence)
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
    """Write the bundle and load it once by the consumer's code.

    Args:
        manifest, model, predictions, policies, evaluation, decision: Output folders of the steps before.
        out: Receives the bundle in bundle/.
        config: Name of the model, channel that it is meant for, licence of the weights.

    Raises:
        PromotionRefused: The decision is not yes; no bundle is made of a refused model.
    """
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
    origin = {**provenance(folders), "model_digest": read_artifact(model, "model").digest}
    description = read_json(model / "model.json")
    policy = policies / read_json(policies / "policies.json")["policies"][verdict["policy"]]["file"]
    negative, positive = description["class_names"]
    sequence = next_sequence(config)
    version = f"{sequence}-{origin['model_digest'][:12]}"
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
            metrics=read_json(evaluation / "metrics.json"),
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
        files={"model.safetensors": model / "model.safetensors", "model.json": model / "model.json"},
    )
    return Exported(bundle.digest, sequence, policy.name)
