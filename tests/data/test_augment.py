"""Augmentation: every image its own draws, windows inside of the image, pixels as Pillow would change them."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from stage1.data.augment import Change, apply_changes, draw_changes

SIZE = (40, 64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scenes(count: int, seed: int = 0) -> Tensor:
    """Smooth pictures, as photographs are: noise at an eighth of the size, enlarged."""
    rng = np.random.default_rng(seed)
    small = [rng.integers(0, 256, (SIZE[0] // 8, SIZE[1] // 8, 3), dtype=np.uint8) for _ in range(count)]
    pictures = [np.array(Image.fromarray(each).resize(SIZE[::-1], Image.Resampling.BICUBIC)) for each in small]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def with_pillow(image: Tensor, change: Change) -> np.ndarray:
    """The same change by another library."""
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    if change.window:
        top, left, height, width = change.window
        part = picture.crop((left, top, left + width, top + height))
        picture = part.resize(SIZE[::-1], Image.Resampling.BILINEAR)
    if change.mirrored:
        picture = ImageOps.mirror(picture)
    if change.colours:
        for enhance, factor in zip(
            (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), change.colours, strict=True
        ):
            picture = enhance(picture).enhance(factor)
    return np.array(picture).transpose(2, 0, 1)


def test_without_any_strength_nothing_changes() -> None:
    changes = draw_changes(8, SIZE, generator(), flip=0, min_scale=1, colour=0)
    assert changes == [Change(None, False, None)] * 8
    assert torch.equal(apply_changes(scenes(8), changes), scenes(8))


def test_mirrors_are_exact_when_nothing_else_is_done() -> None:
    changes = draw_changes(64, SIZE, generator(), flip=0.5, min_scale=1, colour=0)
    images = scenes(64)
    for old, new, change in zip(images, apply_changes(images, changes), changes, strict=True):
        assert torch.equal(new, old.flip(2) if change.mirrored else old)
    assert 16 < sum(change.mirrored for change in changes) < 48, "64 coins are within four standard deviations of 32"


def test_pixels_change_as_pillow_changes_them() -> None:
    """Rounding after each of five operations may differ by one level; 99 % of pixels are within two of 255."""
    images = scenes(12)
    changes = draw_changes(12, SIZE, generator(3), flip=0.5, min_scale=0.5, colour=0.3)
    for old, new, change in zip(images, apply_changes(images, changes), changes, strict=True):
        apart = np.abs(new.numpy().astype(int) - with_pillow(old, change).astype(int))
        assert np.quantile(apart, 0.99) <= 2
        assert apart.mean() < 1


def test_windows_lie_inside_of_the_image_and_reach_all_of_it() -> None:
    changes = draw_changes(4000, SIZE, generator(), flip=0, min_scale=0.6, colour=0)
    windows = np.array([change.window or (0, 0, *SIZE) for change in changes])
    top, left, height, width = windows.T
    assert min(top.min(), left.min()) == 0
    assert (top + height).max() == 40
    assert (left + width).max() == 64
    assert (height.min(), height.max()) == (24, 40)
    assert np.abs(width / 64 - height / 40).max() <= 0.5 / 40 + 0.5 / 64, "the shape is kept, to half a pixel"
    middle = (top + height / 2).mean()
    assert middle == pytest.approx(20, abs=0.3)


def test_factors_are_even_between_their_limits() -> None:
    changes = draw_changes(4000, SIZE, generator(), flip=0, min_scale=1, colour=0.3)
    factors = np.array([change.colours for change in changes])
    assert 0.7 <= factors.min() < 0.701
    assert 1.299 < factors.max() <= 1.3
    assert np.abs(factors.mean(0) - 1).max() < 0.01
    assert np.abs(np.corrcoef(factors.T) - np.eye(3)).max() < 4 / np.sqrt(4000)


def test_every_image_of_a_batch_gets_its_own_draw() -> None:
    same = scenes(1).expand(20, 3, *SIZE)
    changed = apply_changes(same, draw_changes(20, SIZE, generator(), flip=0.5, min_scale=0.5, colour=0.2))
    assert len({image.numpy().tobytes() for image in changed}) == 20


def test_the_generator_alone_decides() -> None:
    def drawn(seed: int) -> list[Change]:
        return draw_changes(6, SIZE, generator(seed), flip=0.5, min_scale=0.7, colour=0.2)

    first = drawn(1)
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    assert drawn(1) == first
    apply_changes(scenes(6), first)
    assert torch.equal(torch.random.get_rng_state(), before), "nothing is taken from the global generator"
    assert drawn(2) != first


def test_one_setting_does_not_move_the_draws_of_another() -> None:
    plain = draw_changes(6, SIZE, generator(), flip=0.5, min_scale=1, colour=0)
    rich = draw_changes(6, SIZE, generator(), flip=0.5, min_scale=0.6, colour=0.4)
    assert [change.mirrored for change in plain] == [change.mirrored for change in rich]
