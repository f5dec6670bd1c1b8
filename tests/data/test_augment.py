"""Augmentation: every image its own, windows inside of the image, colours by the factors they are named after."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from stage1.data.augment import mirror_and_crop, shift_colours


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int, size: int = 16, seed: int = 0) -> Tensor:
    return 255 * torch.rand(count, 3, size, size, generator=generator(seed))


def ramp(count: int, size: int = 16) -> Tensor:
    """Red is the column of the pixel, green its row; what a window of it shows says where it was cut."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.stack([columns, rows, rows * 0]).float().expand(count, 3, size, size)


def test_without_any_strength_nothing_changes() -> None:
    images = noise(8)
    assert torch.equal(mirror_and_crop(images, generator(), flip=0, min_scale=1), images)
    assert torch.allclose(shift_colours(images, generator(), strength=0), images, atol=1e-3)


def test_mirrors_are_exact_when_nothing_is_cut() -> None:
    images = noise(64)
    mirrored = mirror_and_crop(images, generator(), flip=0.5, min_scale=1)
    flipped = [torch.equal(new, old.flip(2)) for new, old in zip(mirrored, images, strict=True)]
    kept = [torch.equal(new, old) for new, old in zip(mirrored, images, strict=True)]
    assert all(a != b for a, b in zip(flipped, kept, strict=True))
    assert 16 < sum(flipped) < 48, "64 fair coins fall within four standard deviations of 32"
    assert torch.equal(mirror_and_crop(images, generator(), flip=1, min_scale=1), images.flip(3))


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_a_window_keeps_its_shape_and_lies_inside_of_the_image(flip: float) -> None:
    """Of a ramp a window shows a ramp: its slope is the scale, its middle the centre of the window."""
    cut = mirror_and_crop(ramp(200), generator(), flip=flip, min_scale=0.6)
    across = cut[:, 0, 8, 9] - cut[:, 0, 8, 8]
    down = cut[:, 1, 9, 8] - cut[:, 1, 8, 8]
    sign = -1 if flip else 1
    assert torch.allclose(sign * across, down, atol=1e-4)
    assert down.min() >= 0.6 - 1e-4
    assert down.max() <= 1 + 1e-4
    assert down.min() < 0.65
    assert down.max() > 0.95
    for middle in ((cut[:, 0, 8, 8] + cut[:, 0, 8, 7]) / 2, (cut[:, 1, 8, 8] + cut[:, 1, 7, 8]) / 2):
        reach = 16 * down / 2
        assert (middle + 0.5 - reach > -1e-3).all()
        assert (middle + 0.5 + reach < 16 + 1e-3).all()
        assert ((middle - 7.5).abs() > 1).any(), "windows are not all in the middle"


def test_a_window_is_resampled_as_pillow_does_it() -> None:
    """Where the window lies is read off a ramp that the same generator cuts."""
    images, places = noise(12), mirror_and_crop(ramp(12), generator(3), flip=0, min_scale=0.5)
    cut = mirror_and_crop(images, generator(3), flip=0, min_scale=0.5)
    for image, place, found in zip(images, places, cut, strict=True):
        scale = float(place[0, 8, 9] - place[0, 8, 8])
        left, top = (float(place[axis, 8, 8]) + 0.5 - 8.5 * scale for axis in (0, 1))
        box = tuple(np.clip([left, top, left + 16 * scale, top + 16 * scale], 0, 16))
        for channel, found_HW in zip(image, found, strict=True):
            expected = Image.fromarray(channel.numpy()).resize((16, 16), Image.Resampling.BILINEAR, box=box)
            assert np.allclose(found_HW.numpy(), np.asarray(expected), atol=0.02), "of 255"


def test_every_image_of_a_batch_gets_its_own_draw() -> None:
    same = noise(1).expand(20, 3, 16, 16)
    for changed in (
        mirror_and_crop(same, generator(), flip=0, min_scale=0.5),
        shift_colours(same, generator(), strength=0.2),
    ):
        assert len({image.numpy().tobytes() for image in changed}) == 20


def test_the_generator_alone_decides() -> None:
    images = noise(6)

    def changed(seed: int) -> Tensor:
        drawn = generator(seed)
        return shift_colours(mirror_and_crop(images, drawn, flip=0.5, min_scale=0.7), drawn, strength=0.2)

    first = changed(1)
    torch.rand(3)
    assert torch.equal(changed(1), first)
    assert not torch.equal(changed(2), first)


def test_brightness_scales_a_flat_grey_image_and_nothing_else_touches_it() -> None:
    """Without differences between pixels or channels, contrast and saturation have nothing to act on."""
    grey = torch.full((500, 3, 4, 4), 100.0)
    ratio = shift_colours(grey, generator(), strength=0.3) / 100
    assert torch.allclose(ratio, ratio[:, :1, :1, :1].expand_as(ratio), atol=1e-5)
    assert 0.7 - 1e-5 <= ratio.min() < 0.72
    assert 1.28 < ratio.max() <= 1.3 + 1e-5
    assert ratio.mean() == pytest.approx(1, abs=0.03)


def test_colours_change_as_brightness_contrast_and_saturation_are_defined() -> None:
    """Each image's three factors are solved from two of its pixels; the formula then gives all the others."""
    luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    images = noise(10)
    for old, new in zip(images, shift_colours(images, generator(5), strength=0.25), strict=True):
        grey, new_grey = (luma * old).sum(0), (luma * new).sum(0)
        brightness = new_grey.mean() / grey.mean()
        contrast = (new_grey[0, 0] - new_grey[0, 1]) / (grey[0, 0] - grey[0, 1]) / brightness
        chroma = (old - grey)[0, 0, 0]
        saturation = (new - new_grey)[0, 0, 0] / chroma / brightness / contrast
        assert all(0.74 < factor < 1.26 for factor in (brightness, contrast, saturation))
        expected = brightness * (grey.mean() + contrast * (grey + saturation * (old - grey) - grey.mean()))
        assert torch.allclose(new, expected, atol=0.05)
