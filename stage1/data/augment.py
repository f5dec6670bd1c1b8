"""Random changes of training images: what is done to each is drawn from one generator, and torchvision does it.

torchvision's transform classes draw from the global generator, and one draw for a whole batch. Here every image has its
own draws, which are data: the same generator gives the same changes on every device, whatever else is random.

Shapes: N images, 3 channels, H W pixels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional


@dataclass(frozen=True)
class Change:
    """What is done to one image, in this order.

    Attributes:
        window: top, left, height and width of the part that is kept and resampled to H x W; None keeps everything.
        mirrored: Whether left and right are swapped.
        colours: Factors of brightness, contrast and saturation, 1 for no change; None changes nothing.
    """

    window: tuple[int, int, int, int] | None
    mirrored: bool
    colours: tuple[float, float, float] | None


def draw_changes(
    count: int,
    size: tuple[int, int],
    generator: torch.Generator,
    *,
    flip: float,
    min_scale: float,
    colour: float,
) -> list[Change]:
    """Draw the changes of `count` images.

    Args:
        count: N.
        size: H and W.
        generator: On the CPU; gives the same numbers whatever the arguments below are.
        flip: Probability of a mirror image.
        min_scale: Smallest side of a window as a share of the image's; 1 keeps everything.
        colour: Largest relative change of brightness, contrast and saturation; 0 changes none.
    """
    height, width = size
    changes = []
    for scale, down, across, coin, *factors in torch.rand(count, 7, generator=generator, dtype=torch.float64).tolist():
        share = min_scale + (1 - min_scale) * scale
        kept = max(1, round(share * height)), max(1, round(share * width))
        window = int(down * (height - kept[0] + 1)), int(across * (width - kept[1] + 1)), *kept
        brightness, contrast, saturation = (1 + colour * (2 * factor - 1) for factor in factors)
        changes.append(
            Change(
                None if kept == size else window,
                coin < flip,
                (brightness, contrast, saturation) if colour else None,
            )
        )
    return changes


def apply_changes(images_N3HW: Tensor, changes: list[Change]) -> Tensor:
    """Return the changed images, uint8 [N,3,H,W] as they came, on the same device."""
    return torch.stack([_changed(image, change) for image, change in zip(images_N3HW, changes, strict=True)])


def _changed(image_3HW: Tensor, change: Change) -> Tensor:
    if change.window:
        image_3HW = functional.resized_crop(image_3HW, *change.window, size=list(image_3HW.shape[1:]), antialias=True)
    if change.mirrored:
        image_3HW = functional.horizontal_flip(image_3HW)
    if change.colours:
        brightness, contrast, saturation = change.colours
        image_3HW = functional.adjust_brightness(image_3HW, brightness)
        image_3HW = functional.adjust_contrast(image_3HW, contrast)
        image_3HW = functional.adjust_saturation(image_3HW, saturation)
    return image_3HW
