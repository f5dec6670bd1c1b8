"""Train the three heads; keep the averaged weights of the epoch whose confidence ranks mistakes best on val_select.

Shapes: N images, b in a part of a batch, H W pixels, 2 classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stage1 import events
from stage1.data.loading import ImageBatches
from stage1.errors import BadData
from stage1.model import execution
from stage1.model.adapters import adapt, merge
from stage1.model.backbone import Backbone
from stage1.model.classifier import Outputs, SelectiveClassifier
from stage1.training.augmentation import augment, draw_augmentation
from stage1.training.batches import Sampler
from stage1.training.checkpoint import Checkpoints
from stage1.training.config import RiskConfig, TrainConfig
from stage1.training.conformal_risk import check_batch
from stage1.training.curves import Curves, Several
from stage1.training.device import prepare_device
from stage1.training.judging import judge
from stage1.training.loop import Loop
from stage1.training.losses import supervised
from stage1.training.phases import Phases
from stage1.training.processes import ALONE, Processes
from stage1.training.scoring import score


@dataclass(frozen=True)
class LabelledImages:
    """Images and their labels (0 or 1), in one order."""

    images: ImageBatches
    labels_N: NDArray[np.int8]


@dataclass(frozen=True)
class TrainedModel:
    """The best model, in evaluation mode on the CPU, how training went, and the row of the kept epoch."""

    model: SelectiveClassifier
    history: list[dict[str, Any]]
    kept: dict[str, Any]

    @property
    def best_epoch(self) -> int:
        """The kept epoch, from 1."""
        return int(self.kept["epoch"])


@dataclass(frozen=True)
class Supervised:
    """The objective of one phase: what the heads say of augmented images, and what that costs."""

    model: SelectiveClassifier
    labels_N: Tensor
    config: TrainConfig
    phase: str

    @property
    def whole_batch(self) -> bool:
        """SelectiveNet's ratio and the conformal threshold are statistics of a batch; see `Objective`."""
        return self.phase != "ce"

    def draw(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Sequence[Any]:
        """See Objective."""
        return draw_augmentation(count, size, generator, self.config.augment)

    def forward(self, images_bHW3: Tensor, drawn: Sequence[Any]) -> tuple[Tensor, ...]:
        """See Objective."""
        outputs = self.model(self.model.normalise(augment(images_bHW3, list(drawn))))
        return tuple(output.float() for output in outputs)

    def loss(self, outputs: tuple[Tensor, ...], rows_b: NDArray[np.int64]) -> Tensor:
        """See Objective."""
        config = self.config
        return supervised(
            Outputs(*outputs),
            self.labels_N[torch.from_numpy(rows_b)].to(outputs[0].device),
            loss=self.phase,
            positive_weight=config.positive_weight,
            label_smoothing=config.label_smoothing,
            target_coverage=config.target_coverage,
            coverage_penalty=config.coverage_penalty,
            selective_share=config.selective_share,
            risk=config.risk,
        )


def train_classifier(
    backbone: Backbone,
    train: LabelledImages,
    select: LabelledImages,
    config: TrainConfig,
    checkpoints: Checkpoints,
    *,
    curves: Curves = Several(),  # noqa: B008  nobody
    processes: Processes = ALONE,
) -> TrainedModel:
    """Train on `train`; choose the epoch on `select` by AUGRC of the softmax response, the later one of equals.

    Raises:
        BadData: A class is missing from the training split, or `select` is empty.
        BadConfig: A batch of the phase crc has too few positives or negatives, or the backbone cannot take the adapter.
        Interrupted: SIGINT or SIGTERM came; the same call goes on.
    """
    _check_labels(train.labels_N, select.labels_N)
    place = prepare_device(config, processes)
    adapt(backbone, config.adapter)
    execution.prepare(backbone, recompute=config.recompute, compiled=config.compile)
    model = SelectiveClassifier(backbone, config.dropout).to(place.device)
    sampler = Sampler(
        train.images,
        config.batch_size,
        config.seed,
        window=config.shard_window,
        labels_N=None if config.positive_share is None else train.labels_N,
        positive_share=config.positive_share,
        processes=processes,
    )
    phases = Phases(config)
    _check_batches(sampler, train.labels_N, phases, config.risk)
    loop = Loop(
        model,
        sampler,
        config,
        epochs=config.epochs,
        checkpoints=checkpoints,
        place=place,
        ema_decay=config.ema_decay,
        curves=curves,
        processes=processes,
    )
    labels_N = torch.from_numpy(train.labels_N.astype(np.int64))

    def after_epoch(epoch: int, _mean_loss: float) -> dict[str, Any]:
        averaged = cast(SelectiveClassifier, loop.averaged)
        size = config.part_size or config.batch_size
        scores = score(averaged, select.images, size, after_batch=loop.stop_if_asked, processes=processes)
        row = {"phase": phases.loss_of(epoch), **judge(scores, select.labels_N)}
        best = loop.progress.best
        lowest = best.get("val_augrc", np.inf)
        if row["val_augrc"] <= lowest:
            best["weights"] = {name: tensor.detach().clone() for name, tensor in averaged.state_dict().items()}
            best |= {"val_augrc": row["val_augrc"], "epoch": epoch + 1}
        best["stale"] = phases.stale(epoch, best.get("stale", 0), improved=row["val_augrc"] < lowest)
        if config.patience and best["stale"] >= config.patience:
            loop.go_on_with(phases.end_of(epoch))
        return row

    progress = loop.run(lambda epoch: Supervised(model, labels_N, config, phases.loss_of(epoch)), after_epoch)
    model.load_state_dict(progress.best["weights"])
    merge(backbone)
    kept = next(row for row in progress.rows if row["epoch"] == progress.best["epoch"])
    if kept["gate_collapsed"]:
        events.note(
            "the gate collapsed: it says the same of every image of val_select. Exit policy softmax needs none."
        )
    return TrainedModel(model.cpu().eval(), progress.rows, kept)


def _check_batches(sampler: Sampler, labels_N: NDArray[np.int8], phases: Phases, risk: RiskConfig) -> None:
    """Look at every batch to come of the phase crc: its order is known, and hours later is late to be refused."""
    for epoch in phases.epochs_of("crc"):
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
