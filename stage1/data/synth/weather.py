"""What weather and camera do to a finished picture: bloom, rain, exposure, vignette and noise."""

from dataclasses import dataclass
from functools import lru_cache
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from stage1.data.synth.look import Look

Float3 = NDArray[np.float32]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Exposure:
    """What happens between the lens and the file in one frame; the same for every version of it."""

    gain: tuple[float, float, float]
    blur: float
    bloom: float
    streaks: tuple[tuple[float, float, float], ...]
    noise: float
    noise_seed: int


def draw_exposure(look: Look, rng: Random) -> Exposure:
    """Draw one frame's exposure."""
    level, warm = rng.gauss(1.0, 0.05), rng.gauss(0.0, 0.03)
    raining = look.weather == "rain"
    streaks = tuple((rng.random(), rng.random(), rng.uniform(0.05, 0.14)) for _ in range(rng.randint(14, 40) * raining))
    return Exposure(
        gain=(level * (1 + warm), level, level * (1 - warm)),
        blur=rng.uniform(0.2, 0.4) if raining else max(0.0, rng.uniform(-0.4, 0.4)),
        bloom={"night": 0.3, "dusk": 0.12}.get(look.weather, 0.0),
        streaks=streaks,
        noise=look.noise,
        noise_seed=rng.getrandbits(64),
    )


def expose(image: Image.Image, exposure: Exposure) -> Float3:
    """Return the picture [H,W,3] in 0 to 255 as the sensor sees it, before noise."""
    unit = image.width / 64.0
    if exposure.blur > 0.15:
        image = image.filter(ImageFilter.BoxBlur(exposure.blur * unit))
    pixels = np.asarray(image, dtype=np.float32)
    if exposure.bloom:
        halo = np.asarray(image.filter(ImageFilter.BoxBlur(2.2 * unit)), dtype=np.float32)
        pixels = pixels + exposure.bloom * halo
    if exposure.streaks:
        veil = _rain(image.width, exposure.streaks)
        pixels = pixels + (205.0 - pixels) * veil
    gain = np.asarray(exposure.gain, dtype=np.float32)
    exposed: Float3 = np.clip(pixels * gain * _vignette(image.width), 0.0, 255.0)
    return exposed


def develop(pixels: Float3, exposure: Exposure) -> Pixels:
    """Add the sensor's noise and return the bytes [H,W,3]."""
    grain = _grain(pixels.size)
    start = exposure.noise_seed % (len(grain) - pixels.size)
    noise = grain[start : start + pixels.size].reshape(pixels.shape)
    return np.clip(pixels + (exposure.noise * noise + 0.5), 0.0, 255.0).astype(np.uint8)


def _rain(side: int, streaks: tuple[tuple[float, float, float], ...]) -> Float3:
    """Return how much of each pixel a falling drop covers, [side,side,1] in [0, 1]."""
    veil = Image.new("L", (2 * side, 2 * side))
    draw = ImageDraw.Draw(veil)
    for x, y, length in streaks:
        top = (x * 2 * side, y * 2 * side)
        draw.line((*top, top[0] - 0.2 * length * 2 * side, top[1] + length * 2 * side), 70, max(1, side // 64))
    return np.asarray(veil.reduce(2), dtype=np.float32)[:, :, None] / np.float32(255.0)


@lru_cache(maxsize=8)
def _vignette(side: int) -> Float3:
    """Return the lens's fall-off towards the corners, [side,side,1]."""
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side * 2.0 - 1.0
    squared = axis * axis
    return (1.0 - 0.07 * (squared[:, None] + squared[None, :]))[:, :, None].astype(np.float32)


@lru_cache(maxsize=4)
def _grain(size: int) -> NDArray[np.float32]:
    """Return a strip of white noise to cut pieces of `size` from: drawing it anew for each image costs ten times."""
    return np.random.Generator(np.random.PCG64(64)).standard_normal(2**18 + size, dtype=np.float32)
