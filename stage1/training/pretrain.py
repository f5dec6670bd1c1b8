"""Adapt a backbone without labels by masked image modelling, and show what it learnt to fill in.

Shapes: N images, H W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stage1.data.loading import ImageBatches
from stage1.errors import BadConfig
from stage1.model import execution
from stage1.model.adapters import adapt_for_explora, merge
from stage1.model.backbone import MEAN, STD, Backbone, build_backbone
from stage1.model.classifier import Normalise
from stage1.model.masked import MaskedModel
from stage1.model.masked_autoencoder import MaskedAutoencoder
from stage1.model.masking import Hidden
from stage1.model.patch_transformer import PatchTransformer
from stage1.training.augmentation import augment, draw_augmentation
from stage1.training.batches import Sampler, derived_seed
from stage1.training.checkpoint import Checkpoints
from stage1.training.config import PretrainConfig
from stage1.training.curves import Curves, Several
from stage1.training.device import prepare_device
from stage1.training.loop import Loop
from stage1.training.processes import ALONE, Processes

_NUM_SHOWN = 6
_AUTOENCODER_RATIO = 0.75  # He et al., CVPR 2022
_HIDDEN_RATIO = 0.6  # SimMIM, CVPR 2022

ObjectiveName = Literal["masked autoencoder", "hidden patches"]


@dataclass(frozen=True)
class PretrainedBackbone:
    """The adapted backbone on the CPU, its loss curve, and a sheet of (seen, filled in, original) uint8 [H, W, 3]."""

    backbone: Backbone
    history: list[dict[str, Any]]
    reconstructions: NDArray[np.uint8]
    objective: ObjectiveName


@dataclass(frozen=True)
class Masked:
    """The objective of pre-training: fill in what is hidden of augmented images."""

    masked: MaskedAutoencoder | MaskedModel
    normalise: Normalise
    config: PretrainConfig
    whole_batch: bool = False

    def draw(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Sequence[Any]:
        """See Objective."""
        changes = draw_augmentation(count, size, generator, self.config.augment)
        return list(zip(changes, *self.masked.draw(count, generator, size), strict=True))

    def forward(self, images_bHW3: Tensor, drawn: Sequence[Any]) -> tuple[Tensor, ...]:
        """See Objective."""
        changes, *ids = zip(*drawn, strict=True)
        hidden = Hidden(*(torch.stack(each) for each in ids))
        return (self.masked.predict(self.normalise(augment(images_bHW3, list(changes))), hidden).loss,)

    def loss(self, outputs: tuple[Tensor, ...], rows_b: NDArray[np.int64]) -> Tensor:  # noqa: ARG002  there are no labels
        """See Objective."""
        return outputs[0]


def pretrain_backbone(
    images: ImageBatches,
    config: PretrainConfig,
    checkpoints: Checkpoints,
    *,
    curves: Curves = Several(),  # noqa: B008  nobody
    processes: Processes = ALONE,
) -> PretrainedBackbone:
    """Build the configured backbone and train it for `config.epochs` (0: it stays as it was built).

    Raises:
        BadConfig, BadInput: The backbone cannot be built, or cannot be trained this way; see `build_backbone`.
        BadData: There are no images.
        Interrupted: SIGINT or SIGTERM came; the same call goes on.
    """
    sampler = Sampler(images, config.batch_size, config.seed, window=config.shard_window, processes=processes)
    place = prepare_device(config, processes)
    backbone = build_backbone(config.backbone, config.preprocessing.image_size)
    if config.method == "explora":
        adapt_for_explora(backbone, config.explora)
    execution.prepare(backbone, recompute=config.recompute, compiled=config.compile)
    masked = _masked(backbone, config).to(place.device)
    normalise = Normalise().to(place.device)
    history: list[dict[str, Any]] = []
    if config.epochs:
        loop = Loop(
            masked,
            sampler,
            config,
            epochs=config.epochs,
            checkpoints=checkpoints,
            place=place,
            curves=curves,
            processes=processes,
        )
        filling_in = Masked(masked, normalise, config)
        history = loop.run(lambda _epoch: filling_in, lambda _epoch, _loss: {}).rows
    sheet = _reconstructions(masked, normalise, images, config.seed, place.device)
    backbone = cast(Backbone, masked.backbone.cpu())
    merge(backbone)
    objective: ObjectiveName = "masked autoencoder" if isinstance(masked, MaskedAutoencoder) else "hidden patches"
    return PretrainedBackbone(backbone, history, sheet, objective)


def _masked(backbone: Backbone, config: PretrainConfig) -> MaskedAutoencoder | MaskedModel:
    """The objective that this backbone can learn by."""
    if isinstance(backbone, PatchTransformer):
        if config.mask_patch is not None:
            raise BadConfig(
                f"mask_patch: a transformer hides its own patches ({backbone.patch_size} pixels here), so "
                f"{config.mask_patch} would do nothing. Leave it out."
            )
        if backbone.grid[0] * backbone.grid[1] < 2:
            raise BadConfig(
                f"preprocessing.image_size: {config.preprocessing.image_size} pixels are a single patch of this "
                f"transformer ({backbone.patch_size} pixels), so none can be hidden. Use larger images."
            )
        ratio = config.mask_ratio or _AUTOENCODER_RATIO
        return MaskedAutoencoder(backbone, ratio, config.decoder.width, config.decoder.depth)
    return MaskedModel(backbone, config.hidden_patch, config.mask_ratio or _HIDDEN_RATIO)


@torch.inference_mode()
def _reconstructions(
    masked: nn.Module, normalise: Normalise, images: ImageBatches, seed: int, device: torch.device
) -> NDArray[np.uint8]:
    rows = np.linspace(0, len(images) - 1, min(_NUM_SHOWN, len(images))).astype(np.int64)
    x_N3HW = normalise(torch.from_numpy(images.take(rows)).to(device))
    generator = torch.Generator().manual_seed(derived_seed(seed, 2))
    result = cast(MaskedAutoencoder | MaskedModel, masked.eval()).reconstruct(x_N3HW, generator)
    seen = torch.where(result.hidden_N1HW, torch.zeros_like(x_N3HW), x_N3HW)
    strips = [torch.cat(list(row), dim=2) for row in (seen, result.pixels_NCHW, x_N3HW)]
    sheet_3HW = torch.cat(strips, dim=1).cpu()
    colours = sheet_3HW * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    return (colours.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
