"""The selective classifier: a backbone under three heads, and the graph that a bundle ships.

Heads follow SelectiveNet (Geifman and El-Yaniv, ICML 2019, arXiv 1901.09192): `cls` predicts, `gate` says whether to
answer, `aux` keeps the features honest during training and is dropped from the shipped graph.

Shapes: N images, C channels, H W pixels, P pooled features, 2 classes.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from stage1.model.backbone import MEAN, STD, Backbone


class Outputs(NamedTuple):
    """What the three heads say."""

    logits_N2: Tensor
    gate_N: Tensor
    aux_N2: Tensor


class Normalise(nn.Module):
    """Pixels 0..255 [N, H, W, 3] to normalised float32 [N, 3, H, W]; in the graph, so no consumer can get it wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", 1.0 / (255.0 * torch.tensor(STD).view(1, 3, 1, 1)), persistent=False)
        self.register_buffer("shift", (torch.tensor(MEAN) / torch.tensor(STD)).view(1, 3, 1, 1), persistent=False)

    def forward(self, images_NHW3: Tensor) -> Tensor:
        scale, shift = cast(Tensor, self.scale), cast(Tensor, self.shift)
        return images_NHW3.permute(0, 3, 1, 2).float() * scale - shift


class SelectiveClassifier(nn.Module):
    """Classify, and say how sure: logits, gate logit and auxiliary logits from one pass."""

    def __init__(self, backbone: Backbone, dropout: float = 0.0) -> None:
        super().__init__()
        self.normalise = Normalise()
        self.backbone = cast(nn.Module, backbone)
        width = backbone.num_pooled
        self.dropout = nn.Dropout(dropout)
        self.cls = nn.Linear(width, 2)
        self.gate = nn.Sequential(nn.Linear(width, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 1))
        self.aux = nn.Linear(width, 2)

    def forward(self, x_NCHW: Tensor) -> Outputs:
        """Run on normalised (and, in training, augmented) images."""
        pooled_NP = self.dropout(cast(Backbone, self.backbone).forward_pooled(x_NCHW))
        return Outputs(self.cls(pooled_NP), self.gate(pooled_NP).squeeze(1), self.aux(pooled_NP))


class Shipped(nn.Module):
    """The graph of model.onnx: `images` uint8 [N, H, W, 3] in, `logits` [N, 2] and `gate` [N] out."""

    def __init__(self, model: SelectiveClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.model(self.model.normalise(images))
        return outputs.logits_N2, outputs.gate_N
