"""The masked autoencoder of He et al. (CVPR 2022, arXiv 2111.06377) around a patch transformer.

Most patches are hidden, only the visible ones are encoded, and a light decoder predicts the pixels of the hidden ones,
each patch brought to mean 0 and deviation 1; squared error on hidden patches only. Encoding a quarter of the patches
costs a quarter: that is what makes it cheaper than hiding patches behind a colour.

Shapes: B images, C channels, H W pixels, P patches, V visible, M hidden, D values a patch.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from stage1.model.decoder import Decoder
from stage1.model.masking import Hidden, Reconstruction, as_pixels, draw_hidden
from stage1.model.patch_transformer import PatchTransformer
from stage1.model.patches import patchify, standardise, unpatchify


class Predicted(NamedTuple):
    """One pass: the loss, and the standardised patches that were predicted, with their row-major ids."""

    loss: Tensor
    patches_BMD: Tensor
    hidden_BM: Tensor


class MaskedAutoencoder(nn.Module):
    """A patch transformer that is pre-trained, and the decoder that is thrown away afterwards.

    Args:
        backbone: What is trained.
        mask_ratio: Share of the patches that are hidden, in (0, 1); the paper's is 0.75.
        decoder_width: Channels of the decoder, a multiple of 32.
        decoder_depth: Blocks of the decoder.
    """

    def __init__(self, backbone: PatchTransformer, mask_ratio: float, decoder_width: int, decoder_depth: int) -> None:
        super().__init__()
        self.backbone = cast(nn.Module, backbone)
        self.mask_ratio = mask_ratio
        self.patch_size, self.grid = backbone.patch_size, backbone.grid
        self.decoder = Decoder(backbone.num_features, self.grid, 3 * self.patch_size**2, decoder_width, decoder_depth)

    def forward(self, x_BCHW: Tensor, generator: torch.Generator) -> Predicted:
        """Hide `mask_ratio` of the patches of each image (drawn from `generator`) and predict them."""
        return self.predict(x_BCHW, self.draw(len(x_BCHW), generator))

    def draw(self, count: int, generator: torch.Generator, _size: tuple[int, int] = (0, 0)) -> Hidden:
        """Draw which patches of `count` images are hidden; their size is the backbone's."""
        return draw_hidden(count, self.grid[0] * self.grid[1], self.mask_ratio, generator)

    def predict(self, x_BCHW: Tensor, drawn: Hidden) -> Predicted:
        """Predict the patches that were drawn; the loss is the mean of the images' own."""
        hidden_BM, visible_BV = (ids.to(x_BCHW.device) for ids in drawn)
        tokens_BLE = cast(PatchTransformer, self.backbone).encode_visible(x_BCHW, visible_BV)
        predicted_BMD = self.decoder(tokens_BLE, visible_BV, hidden_BM)
        target_BMD = standardise(_at(patchify(x_BCHW, self.patch_size), hidden_BM).float()).patches_BPD
        return Predicted((predicted_BMD.float() - target_BMD).square().mean(), predicted_BMD, hidden_BM)

    def reconstruct(self, x_BCHW: Tensor, generator: torch.Generator) -> Reconstruction:
        """Fill hidden patches in; each gets the mean and deviation of the true patch back, which were not predicted."""
        _, predicted_BMD, hidden_BM = self(x_BCHW, generator)
        patches_BPD = patchify(x_BCHW, self.patch_size)
        _, mean, deviation = standardise(_at(patches_BPD, hidden_BM))
        filled_BMD = predicted_BMD.to(x_BCHW.dtype) * deviation + mean
        patches_BPD = patches_BPD.scatter(1, _spread(hidden_BM, patches_BPD), filled_BMD)
        hidden_BP = torch.zeros(patches_BPD.shape[:2], dtype=torch.bool, device=x_BCHW.device)
        hidden_BP.scatter_(1, hidden_BM, True)
        pixels_BCHW = unpatchify(patches_BPD, self.grid, self.patch_size)
        return Reconstruction(pixels_BCHW, as_pixels(hidden_BP, self.grid, self.patch_size))


def _at(patches_BPD: Tensor, ids_BM: Tensor) -> Tensor:
    return patches_BPD.gather(1, _spread(ids_BM, patches_BPD))


def _spread(ids_BM: Tensor, like_BPD: Tensor) -> Tensor:
    return ids_BM.unsqueeze(2).expand(-1, -1, like_BPD.shape[2])
