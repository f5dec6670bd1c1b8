"""Masked image modelling: how much is hidden, that it is hidden, and that only it is judged."""

import pytest
import torch

from stage1.model.convnet import ConvNet
from stage1.model.masked import MaskedModel


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def masked_model(patch_size: int = 4, mask_ratio: float = 0.6) -> MaskedModel:
    torch.manual_seed(0)
    return MaskedModel(ConvNet((8, 16)), patch_size, mask_ratio)


@pytest.mark.parametrize(
    ("mask_ratio", "num_hidden"), [(0.6, 10), (0.25, 4), (0.5, 8), (0.001, 1), (0.999, 15)]
)  # fmt: skip
def test_the_ratio_is_hidden_in_every_image_in_whole_patches(mask_ratio: float, num_hidden: int) -> None:
    """16 x 16 pixels are 16 patches of 4 x 4; never none and never all of them are hidden."""
    hidden = masked_model(mask_ratio=mask_ratio)(torch.randn(30, 3, 16, 16), generator()).hidden_N1HW
    patches = hidden.view(30, 4, 4, 4, 4).permute(0, 1, 3, 2, 4).reshape(30, 16, 16)
    assert torch.equal(patches.all(2), patches.any(2))
    assert patches.any(2).sum(1).tolist() == [num_hidden] * 30
    assert len({mask.numpy().tobytes() for mask in hidden}) > 1


def test_what_is_hidden_cannot_be_seen() -> None:
    model, images = masked_model(), torch.randn(3, 3, 16, 16)
    first = model(images, generator())
    other = torch.where(first.hidden_N1HW, torch.randn(3, 3, 16, 16), images)
    assert torch.equal(model(other, generator()).pixels_NCHW, first.pixels_NCHW)
    elsewhere = torch.where(first.hidden_N1HW, images, torch.randn(3, 3, 16, 16))
    assert not torch.equal(model(elsewhere, generator()).pixels_NCHW, first.pixels_NCHW)


def test_the_loss_is_the_mean_error_of_hidden_pixels_and_nothing_else() -> None:
    images = torch.randn(3, 3, 16, 16)
    result = masked_model()(images, generator())
    hidden = result.hidden_N1HW.expand_as(images)
    assert result.loss.item() == pytest.approx((result.pixels_NCHW - images)[hidden].abs().mean().item(), rel=1e-5)
    (slope,) = torch.autograd.grad(result.loss, result.pixels_NCHW)
    assert (slope[~hidden] == 0).all()
    assert torch.allclose(slope[hidden].abs(), torch.tensor(1 / int(hidden.sum())))


def test_images_that_patches_and_cells_do_not_divide_are_filled_in_whole() -> None:
    result = masked_model(patch_size=5)(torch.randn(2, 3, 18, 18), generator())
    assert result.pixels_NCHW.shape == (2, 3, 18, 18)
    assert result.hidden_N1HW.shape == (2, 1, 18, 18)
