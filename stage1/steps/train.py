"""Train the three heads on labels; the epoch whose confidence ranks mistakes best on val_select is kept."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stage1.data import ImageBatches, Manifest, Preprocessing
from stage1.steps.learning import kept_state, learn
from stage1.steps.step import StepResult, step
from stage1.training import TrainConfig

if TYPE_CHECKING:
    from stage1.training.processes import Processes


@dataclass(frozen=True)
class Trained(StepResult):
    """The kept epoch and what it reached on val_select."""

    best_epoch: int
    epochs: int
    val_augrc: float
    val_accuracy: float
    val_auroc: float | None
    val_gate_augrc: float
    gate_collapsed: bool


@step()
def train(manifest: Path, backbone: Path, out: Path, *, config: TrainConfig = TrainConfig()) -> Trained:
    """Train classifier, gate and auxiliary head on the train rows; choose the epoch on val_select.

    Args:
        manifest: Output folder of the split step; train and val_select rows are seen.
        backbone: Output folder of the pretrain step.
        out: Receives model.safetensors, model.json and history.json.
        config: Phases, losses, optimiser, augmentation.

    Raises:
        BadData: A class is missing from the training split, or val_select is empty.
    """
    return learn(_train, manifest, backbone, out=out, config=config)


def _train(manifest: Path, backbone: Path, out: Path, config: TrainConfig, processes: "Processes") -> Trained:
    from stage1.model.files import Description, load_backbone, save_model
    from stage1.training.supervised import LabelledImages, train_classifier

    table = Manifest.read(manifest / "manifest.parquet")
    network, description = load_backbone(backbone)
    preprocessing = Preprocessing.from_json(description.facts["preprocessing"])

    def labelled(split: str) -> LabelledImages:
        rows = table.rows(split, allowed=("train", "val_select"))
        images = ImageBatches(rows, preprocessing, config.memory_limit_mb, shards=config.shards)
        return LabelledImages(images, rows.labels)

    state = kept_state(out, config, processes)
    result = train_classifier(network, labelled("train"), labelled("val_select"), config, **state)
    best = result.kept
    trained = Trained(
        result.best_epoch,
        config.epochs,
        best["val_augrc"],
        best["val_accuracy"],
        best["val_auroc"],
        best["val_gate_augrc"],
        best["gate_collapsed"],
    )
    if not processes.delivers:
        return trained
    facts = {"preprocessing": preprocessing.to_json(), "class_names": list(table.class_names)}
    save_model(out, result.model, Description(description.backbone, preprocessing.image_size, facts))
    history = {"schema": "stage1/history/v1", "rows": result.history, "best_epoch": result.best_epoch}
    (out / "history.json").write_text(
        json.dumps(history, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8"
    )
    return trained
