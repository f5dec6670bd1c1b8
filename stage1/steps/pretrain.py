"""Adapt a backbone to street scenes without labels, on the training split."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from stage1.data import ImageBatches, Manifest
from stage1.steps.learning import kept_state, learn
from stage1.steps.step import StepResult, step
from stage1.training import PretrainConfig

if TYPE_CHECKING:
    from stage1.training.processes import Processes


@dataclass(frozen=True)
class Pretrained(StepResult):
    """How far masked image modelling came; the loss is None where it was skipped."""

    epochs: int
    final_loss: float | None


@step()
def pretrain(manifest: Path, out: Path, *, config: PretrainConfig = PretrainConfig()) -> Pretrained:
    """Build the configured backbone and train it to fill in hidden patches.

    Args:
        manifest: Output folder of the split step; only its train rows are seen, those without labels too.
        out: Receives backbone.safetensors, backbone.json, history.json and reconstructions.png.
        config: Backbone, preprocessing, epochs (0 skips the training), method, mask.
    """
    return learn(_pretrain, manifest, out=out, config=config)


def _pretrain(manifest: Path, out: Path, config: PretrainConfig, processes: "Processes") -> Pretrained:
    from stage1.model.files import Description, save_backbone
    from stage1.training.pretrain import pretrain_backbone

    rows = Manifest.read(manifest / "manifest.parquet").rows("train", allowed=("train",), unlabeled=True)
    images = ImageBatches(rows, config.preprocessing, config.memory_limit_mb, shards=config.shards)
    result = pretrain_backbone(images, config, **kept_state(out, config, processes))
    pretrained = Pretrained(config.epochs, result.history[-1]["loss"] if result.history else None)
    if not processes.delivers:
        return pretrained
    facts = {"preprocessing": config.preprocessing.to_json()}
    save_backbone(out, result.backbone, Description(config.backbone, config.preprocessing.image_size, facts))
    history = {"schema": "stage1/history/v1", "rows": result.history, "objective": result.objective}
    (out / "history.json").write_text(json.dumps(history, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    Image.fromarray(result.reconstructions).save(out / "reconstructions.png")
    return pretrained
