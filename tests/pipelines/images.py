"""Tiny labelled images for tests."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_images(root: Path, per_class: int, *, side: int = 16, seed: int = 0) -> Path:
    """Write `per_class` noisy PNGs a class, road work bright and the other dark, into root/{other,roadwork}."""
    random = np.random.default_rng(seed)
    for label, name in enumerate(("other", "roadwork")):
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(per_class):
            pixels = random.integers(0, 128, (side, side, 3), dtype=np.uint8) + np.uint8(128 * label)
            Image.fromarray(pixels).save(folder / f"{number:04d}.png")
    return root
