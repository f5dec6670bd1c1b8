"""A picture of the scenes for people: large ones as they are drawn, small ones as a network sees them."""

import os
import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from stage1.data.synth.config import SynthConfig
from stage1.data.synth.scene import Scene, render_scene

_COLUMNS = 10
_TILE = 128
_GAP = 4
_MARGIN = 20
_CAPTION = 30
_LARGE = 4
_INK = (38, 40, 44)
_ROWS: tuple[tuple[str, Callable[[Scene], bool], int], ...] = (
    ("Road work", lambda scene: scene.label == 1 and not scene.hard, 2),
    ("Road work, far away or partly hidden", lambda scene: scene.hard, 2),
    ("No road work, but things mistaken for it", lambda scene: scene.label == 0 and len(scene.lookalikes) > 2, 2),
    ("No road work", lambda scene: scene.label == 0 and not scene.lookalikes, 1),
)


def contact_sheet(out: Path, config: SynthConfig) -> Path:
    """Write a JPG of scenes: a row drawn large, then rows of each kind as a network sees them, each of another drive.

    Args:
        out: The file to write; its folder is made.
        config: What the scenes are drawn with; about 80 drives fill the sheet with as many looks.

    Returns:
        `out`.
    """
    width = _COLUMNS * (_TILE + _GAP) - _GAP + 2 * _MARGIN
    big = (width - 2 * _MARGIN - (_LARGE - 1) * _GAP) // _LARGE
    rows = sum(count for _, _, count in _ROWS)
    height = 2 * _MARGIN + _CAPTION * (len(_ROWS) + 1) + big + _GAP + rows * (_TILE + _GAP)
    sheet = Image.new("RGB", (width, height), (252, 252, 250))
    y = _caption(sheet, _MARGIN, "Scenes drawn at a higher resolution")
    for index, scene in enumerate(_large_scenes(config, big)):
        sheet.paste(Image.fromarray(scene.image), (_MARGIN + index * (big + _GAP), y))
    y += big + _GAP
    used: set[int] = set()
    for title, wanted, count in _ROWS:
        y = _caption(sheet, y, f"{title}  ({config.image_size} px, as the network sees it)")
        for index, scene in enumerate(_pick(config, wanted, count * _COLUMNS, used)):
            tile = Image.fromarray(scene.image).resize((_TILE, _TILE), Image.Resampling.BICUBIC)
            row, column = divmod(index, _COLUMNS)
            sheet.paste(tile, (_MARGIN + column * (_TILE + _GAP), y + row * (_TILE + _GAP)))
        y += count * (_TILE + _GAP)
    return _save(sheet, out)


def _caption(sheet: Image.Image, y: int, text: str) -> int:
    """Write a caption; return where the tiles below it begin."""
    ImageDraw.Draw(sheet).text((_MARGIN, y + 8), text, _INK, ImageFont.load_default(15))
    return y + _CAPTION


def _pick(config: SynthConfig, wanted: Callable[[Scene], bool], number: int, used: set[int]) -> list[Scene]:
    """Return scenes of a kind, each of a drive that the sheet has not shown while there are such drives."""
    found: list[Scene] = []
    for drive, frame in product(range(config.num_drives), range(config.frames_per_drive)):
        if len(found) == number:
            break
        if drive in used:
            continue
        scene = render_scene(config, drive, frame)
        if wanted(scene):
            found.append(scene)
            used.add(drive)
    return found


def _large_scenes(config: SynthConfig, side: int) -> list[Scene]:
    """Return one positive scene each by day, at dusk, in rain or haze, and one negative at night."""
    large = config.model_copy(update={"image_size": side})
    kinds = (("day", 1), ("dusk", 1), ("rain", 1), ("night", 1))
    found = []
    for weather, label in kinds:
        for drive, frame in product(range(config.num_drives), range(min(4, config.frames_per_drive))):
            scene = render_scene(config, drive, frame)
            if scene.weather == weather and scene.label == label and len(scene.work) > 3 and not scene.hard:
                found.append(render_scene(large, drive, frame))
                break
    return found


def _save(sheet: Image.Image, out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{out.name}.", suffix=".jpg", dir=out.parent)
    os.close(handle)
    partial = Path(name)
    try:
        sheet.save(partial, quality=90, subsampling=0)
        partial.chmod(0o644)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return out
