"""Train the three heads; keep the averaged weights of the epoch whose confidence ranks mistakes best on val_select.

Shapes: N images, 2 classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stage1.data.loading import ImageBatches
from stage1.errors import BadData
from stage1.metrics import augrc, auroc
from stage1.model.adapters import adapt, merge
from stage1.model.backbone import Backbone
from stage1.model.classifier import SelectiveClassifier
from stage1.model.execution import compile_blocks, recompute_blocks
from stage1.training.augmentation import augment
from stage1.training.batches import Batch, Sampler
from stage1.training.checkpoint import Checkpoints
from stage1.training.config import RiskConfig, TrainConfig
from stage1.training.conformal_risk import check_batch
from stage1.training.device import prepare_device
from stage1.training.loop import Loop
from stage1.training.losses import supervised
from stage1.training.scoring import Scores, score


@dataclass(frozen=True)
class LabelledImages:
    """Images and their labels (0 or 1), in one order."""

    images: ImageBatches
    labels_N: NDArray[np.int8]


@dataclass(frozen=True)
class TrainedModel:
    """The best model, in evaluation mode on the CPU, and how training went."""

    model: SelectiveClassifier
    history: list[dict[str, Any]]
    best_epoch: int


def train_classifier(
    backbone: Backbone, train: LabelledImages, select: LabelledImages, config: TrainConfig, checkpoints: Checkpoints
) -> TrainedModel:
    """Train on `train`; choose the epoch on `select` by AUGRC of the softmax response, the later one of equals.

    Raises:
        BadData: A class is missing from the training split, or `select` is empty.
        BadConfig: A batch of the phase crc has too few positives or negatives, or the backbone cannot take the adapter.
        Interrupted: SIGINT or SIGTERM came; the same call goes on.
    """
    _check_labels(train.labels_N, select.labels_N)
    device = prepare_device(config)
    adapt(backbone, config.adapter)
    if config.recompute:
        recompute_blocks(backbone)
    if config.compile:
        compile_blocks(backbone)
    model = SelectiveClassifier(backbone, config.dropout).to(device)
    sampler = Sampler(
        train.images,
        config.batch_size,
        config.seed,
        window=config.shard_window,
        labels_N=None if config.positive_share is None else train.labels_N,
        positive_share=config.positive_share,
    )
    loop = Loop(model, sampler, config, epochs=config.epochs, checkpoints=checkpoints, ema_decay=config.ema_decay)
    labels_N = torch.from_numpy(train.labels_N.astype(np.int64))
    phases = [phase.loss for phase in config.phases for _ in range(phase.epochs)]

    _check_batches(sampler, train.labels_N, phases, config.risk)

    def loss_function(batch: Batch, epoch: int, generator: torch.Generator) -> Tensor:
        images_BHW3 = augment(batch.images_BHW3.to(device), generator, config.augment)
        return supervised(
            model(model.normalise(images_BHW3)),
            labels_N[batch.rows_B].to(device),
            loss=phases[epoch],
            positive_weight=config.positive_weight,
            label_smoothing=config.label_smoothing,
            target_coverage=config.target_coverage,
            coverage_penalty=config.coverage_penalty,
            selective_share=config.selective_share,
            risk=config.risk,
        )

    def after_epoch(epoch: int, _mean_loss: float) -> dict[str, Any]:
        averaged = cast(SelectiveClassifier, loop.averaged)
        scores = score(averaged, select.images, config.batch_size, after_batch=loop.stop_if_asked)
        row = {"phase": phases[epoch], **_judge(scores, select.labels_N)}
        if row["val_augrc"] <= loop.progress.best.get("val_augrc", np.inf):
            weights = {name: tensor.detach().clone() for name, tensor in averaged.state_dict().items()}
            loop.progress.best = {"val_augrc": row["val_augrc"], "epoch": epoch + 1, "weights": weights}
        return row

    progress = loop.run(loss_function, after_epoch)
    model.load_state_dict(progress.best["weights"])
    merge(backbone)
    return TrainedModel(model.cpu().eval(), progress.rows, progress.best["epoch"])


def _judge(scores: Scores, labels_N: NDArray[np.int8]) -> dict[str, Any]:
    margin_N = scores.margin_N
    wrong_N = (margin_N >= 0) != (labels_N == 1)
    return {
        "val_augrc": float(augrc(np.abs(margin_N), wrong_N)),
        "val_accuracy": float(1 - wrong_N.mean()),
        "val_auroc": ranking if math.isfinite(ranking := float(auroc(margin_N, labels_N))) else None,
    }


def _check_batches(sampler: Sampler, labels_N: NDArray[np.int8], phases: Sequence[str], risk: RiskConfig) -> None:
    """Look at every batch to come of the phase crc: its order is known, and hours later is late to be refused."""
    for epoch in (number for number, phase in enumerate(phases) if phase == "crc"):
        for rows_B in sampler.rows_of_epoch(epoch):
            check_batch(int((labels_N[rows_B] == 1).sum()), len(rows_B), risk)


def _check_labels(train_N: NDArray[np.int8], select_N: NDArray[np.int8]) -> None:
    positives = int((train_N == 1).sum())
    if positives == 0 or positives == len(train_N):
        raise BadData(
            f"the training split has {positives} positives among {len(train_N)} images; both classes are needed. "
            "Add images of the missing class, or another salt if all of its groups fell into other splits."
        )
    if not len(select_N):
        raise BadData(
            "val_select is empty, so no epoch can be chosen. Give split.fractions.val_select more, or more data."
        )
