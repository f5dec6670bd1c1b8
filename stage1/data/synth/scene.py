"""One scene: plan what stands where, paint it from far to near, and see to it that road work can be seen.

A positive scene is painted with and without what makes it positive, in one pass: the two canvases part at the first
work item. Their difference after weather and down-sampling, before noise, tells how many pixels show road work; a scene
with too few is planned again nearer and less hidden, so no positive is invisible.
"""

from dataclasses import dataclass
from functools import lru_cache
from random import Random

import numpy as np
from numpy.typing import NDArray

from stage1.data.synth.canvas import Canvas
from stage1.data.synth.config import SynthConfig
from stage1.data.synth.ground import Ground, paint_ground, plan_ground
from stage1.data.synth.item import Item
from stage1.data.synth.look import Look, draw_look, wander
from stage1.data.synth.lookalikes import plan_lookalikes
from stage1.data.synth.scenery import plan_scenery
from stage1.data.synth.traffic import plan_traffic
from stage1.data.synth.weather import Exposure, develop, draw_exposure, expose
from stage1.data.synth.worksite import plan_blockade, plan_occluder, plan_worksite
from stage1.errors import Stage1Error

MIN_VISIBLE = 48 / 64**2
"""Least share of the pixels that must show road work in a positive scene, edges apart: 48 pixels at 64 x 64."""
MIN_CONTRAST = 30.0
"""Least difference to the scene without its work zone, in the strongest channel, for a pixel to count (0 to 255)."""
_SUPERSAMPLING = 2
_CROWDED_ATTEMPTS = 5  # then what stands near is cleared away
_FREE_ATTEMPTS = 9  # then the camera's own lane is closed
_ATTEMPTS = 15


@dataclass(frozen=True, slots=True)
class Scene:
    """One rendered street scene.

    Args:
        image: uint8 [H,W,3] RGB.
        label: 1 with road work, 0 without.
        drive: Number of the drive.
        frame: Number within the drive.
        weather: day, dusk, rain, haze or night.
        setting: city, suburb, rural or highway.
        hard: A positive planned far away or partly hidden.
        work: Kinds of the work zone's things, far to near; empty in a negative.
        lookalikes: Kinds of the things to be mistaken for road work.
        visible_pixels: Pixels that show road work with enough contrast; 0 in a negative.
    """

    image: NDArray[np.uint8]
    label: int
    drive: int
    frame: int
    weather: str
    setting: str
    hard: bool
    work: tuple[str, ...]
    lookalikes: tuple[str, ...]
    visible_pixels: int


@dataclass(frozen=True, slots=True)
class Drive:
    """What one drive decides for its frames."""

    look: Look
    labels: tuple[int, ...]


def render_scene(config: SynthConfig, drive: int, frame: int) -> Scene:
    """Render one scene; a pure function of its arguments.

    Args:
        config: The generator's settings.
        drive: In [0, config.num_drives).
        frame: In [0, config.frames_per_drive).

    Raises:
        Stage1Error: No visible work zone could be planned; not known to happen.
    """
    plan = _drive(config.seed, config.positive_rate, config.frames_per_drive, drive)
    look, label = plan.look, plan.labels[frame]
    rng = Random(f"{config.seed}/{drive}/{frame}")  # noqa: S311 (pictures, not secrets)
    ground = plan_ground(look, *wander(look, rng), rng)
    exposure = draw_exposure(look, rng)
    street = plan_scenery(ground, rng) + plan_traffic(ground, rng)
    crowd_rate = config.lookalike_rate if label == 0 else 0.35 * config.lookalike_rate
    number = rng.randint(2, 4) if rng.random() < crowd_rate else 0
    street += plan_lookalikes(ground, rng, number)
    hard = label == 1 and rng.random() < config.hard_rate
    if label:
        image, street, visible = _show_work(ground, street, exposure, rng, hard, config.image_size)
    else:
        image = develop(_paint(ground, street, exposure, config.image_size)[0], exposure)
        visible = 0
    street.sort(key=lambda item: -item.z)
    return Scene(
        image=image,
        label=label,
        drive=drive,
        frame=frame,
        weather=look.weather,
        setting=look.setting,
        hard=hard,
        work=tuple(item.kind for item in street if item.role in ("site", "work")),
        lookalikes=tuple(item.kind for item in street if item.role == "lookalike"),
        visible_pixels=visible,
    )


@lru_cache(maxsize=64)
def _drive(seed: int, positive_rate: float, frames: int, drive: int) -> Drive:
    """Draw a drive's look, and which of its frames meet road work: drives differ in how much they meet."""
    rng = Random(f"{seed}/{drive}")  # noqa: S311 (pictures, not secrets)
    look = draw_look(rng)
    spread = min(positive_rate, 1.0 - positive_rate)
    expected = (positive_rate + rng.uniform(-0.5, 0.5) * spread) * frames
    positives = int(expected + rng.random())
    labels = [1] * positives + [0] * (frames - positives)
    rng.shuffle(labels)
    return Drive(look, tuple(labels))


def _show_work(
    ground: Ground, street: list[Item], exposure: Exposure, rng: Random, hard: bool, size: int
) -> tuple[NDArray[np.uint8], list[Item], int]:
    """Add a work zone that can be seen; return the image, everything in it and the pixels that show it.

    An attempt that shows too little is followed by one nearer; what hides it is cleared away after some, and at last
    the camera's own lane is closed right ahead, which no road layout can push out of the picture.
    """
    distance = rng.uniform(9.0, 16.0) if hard else rng.uniform(5.2, 10.5)
    hidden = hard and rng.random() < 0.5
    for attempt in range(_ATTEMPTS):
        items = list(street) if attempt < _CROWDED_ATTEMPTS else [item for item in street if item.z > 12.0]
        if attempt < _FREE_ATTEMPTS:
            work = plan_worksite(ground, rng, distance if attempt == 0 else max(6.0, distance * 0.8**attempt))
            if hidden and attempt < _CROWDED_ATTEMPTS:
                items.append(plan_occluder(ground, rng, work[0]))
        else:
            work = plan_blockade(ground, rng, 8.0 * 0.9 ** (attempt - _FREE_ATTEMPTS))
        items += work
        seen, without = _paint(ground, items, exposure, size)
        visible = count_visible(seen, without)
        if visible >= MIN_VISIBLE * size**2:
            return develop(seen, exposure), items, visible
    raise Stage1Error(
        f"no work zone could be seen in {_ATTEMPTS} attempts at one scene ({ground.look.weather}, {size} px). "
        "This is a fault of the generator: please report the configuration; another seed avoids it."
    )


def count_visible(seen: NDArray[np.float32], without: NDArray[np.float32]) -> int:
    """Count the pixels that show road work: they differ enough, and do not lie at the very edge.

    Args:
        seen: The picture [H,W,3] in 0 to 255, before noise.
        without: The same picture without what makes it positive.
    """
    margin = len(seen) // 20
    inside = np.s_[margin:-margin, margin:-margin]
    return int(np.count_nonzero(np.abs(seen[inside] - without[inside]).max(axis=2) >= MIN_CONTRAST))


def _paint(
    ground: Ground, items: list[Item], exposure: Exposure, size: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Paint far to near; return the exposed picture and the one without its work items, each [H,W,3] before noise."""
    canvas = paint_ground(ground, size * _SUPERSAMPLING)
    bare: Canvas | None = None
    for item in sorted(items, key=lambda item: -item.z):
        if item.role == "work":
            bare = bare or canvas.copy()
        elif bare is not None:
            item.paint(bare.at(item.x, item.z))
        item.paint(canvas.at(item.x, item.z))
    seen = expose(canvas.image.reduce(_SUPERSAMPLING), exposure)
    return seen, seen if bare is None else expose(bare.image.reduce(_SUPERSAMPLING), exposure)
