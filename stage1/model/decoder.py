"""The light decoder of the masked autoencoder: a small transformer that exists during pre-training only.

After He et al. (CVPR 2022, arXiv 2111.06377): the encoder's prefix tokens (class, registers), visible tokens and copies
of one mask token, each patch with its place in the image, attend to each other; the pixels of hidden patches are read
off. What nothing reads is not computed: visible places are not predicted, so the last block updates hidden ones only.

Shapes: B images, P patches, V visible, M hidden, S prefix tokens, T = S + V + M, E encoder width, C decoder width,
D values a patch.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

HEAD_WIDTH = 32  # of an attention head, as in the paper: 16 heads at width 512


class DecoderBlock(nn.Module):
    """A pre-norm transformer block whose queries may be only the last of the tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_heads = width // HEAD_WIDTH
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x_BTC: Tensor, first: int = 0) -> Tensor:
        """Return the tokens from `first` on, [B, T - first, C], after they attended to all of them."""
        normed_BTC = self.norm1(x_BTC)
        query = self._by_head(self.query(normed_BTC[:, first:]))
        key, value = (self._by_head(part) for part in self.key_value(normed_BTC).chunk(2, dim=2))
        seen = functional.scaled_dot_product_attention(query, key, value)
        updated = x_BTC[:, first:] + self.proj(seen.transpose(1, 2).flatten(2))
        result: Tensor = updated + self.mlp(self.norm2(updated))
        return result

    def _by_head(self, x_BTC: Tensor) -> Tensor:
        count, tokens, _ = x_BTC.shape
        return x_BTC.view(count, tokens, self.num_heads, HEAD_WIDTH).transpose(1, 2)


class Decoder(nn.Module):
    """Predict the pixels of hidden patches from the tokens of visible ones.

    Args:
        encoder_width: Channels of the visible tokens.
        grid: Rows and columns of patches in an image.
        patch_values: Values a patch, patch_size^2 times channels.
        width: Channels of the decoder, a multiple of 32.
        depth: Blocks, at least 1.
    """

    def __init__(self, encoder_width: int, grid: tuple[int, int], patch_values: int, width: int, depth: int) -> None:
        super().__init__()
        self.embed = nn.Linear(encoder_width, width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.blocks = nn.ModuleList(DecoderBlock(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.predict = nn.Linear(width, patch_values)
        self.register_buffer("places_PC", sine_places(grid, width), persistent=False)
        nn.init.normal_(self.mask_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, tokens_BLE: Tensor, visible_BV: Tensor, hidden_BM: Tensor) -> Tensor:
        """Return the predicted patches [B, M, D] at the row-major ids `hidden_BM`.

        Args:
            tokens_BLE: What the encoder made of an image, L = S + V: prefix tokens first, if there are any.
            visible_BV: Row-major ids of the visible patches.
            hidden_BM: Those of the hidden ones.
        """
        places_PC = self.get_buffer("places_PC")
        seen_BLC = self.embed(tokens_BLE)
        num_seen, num_prefix = seen_BLC.shape[1], seen_BLC.shape[1] - visible_BV.shape[1]
        visible_BVC = seen_BLC[:, num_prefix:] + places_PC[visible_BV].to(seen_BLC.dtype)
        hidden_BMC = (self.mask_token + places_PC[hidden_BM]).to(seen_BLC.dtype)
        x_BTC = torch.cat([seen_BLC[:, :num_prefix], visible_BVC, hidden_BMC], dim=1)
        for number, block in enumerate(self.blocks, start=1):
            x_BTC = block(x_BTC, num_seen if number == len(self.blocks) else 0)
        predicted_BMD: Tensor = self.predict(self.norm(x_BTC))
        return predicted_BMD


def sine_places(grid: tuple[int, int], width: int) -> Tensor:
    """Return fixed two-dimensional positions [P, width]: sine and cosine of the column, then of the row."""
    octaves = torch.arange(width // 4, dtype=torch.float64) / (width // 4)
    frequencies = 10_000.0**-octaves
    rows, columns = (torch.arange(size, dtype=torch.float64).outer(frequencies) for size in grid)
    row = rows.repeat_interleave(grid[1], dim=0)
    column = columns.repeat(grid[0], 1)
    return torch.cat([column.sin(), column.cos(), row.sin(), row.cos()], dim=1).float()
