"""Write a whole set of scenes: images/<drive>/<frame>.jpg, labels.csv and synth.json, all or nothing.

Everything is written into a hidden sibling folder that takes the place of `out` with one rename. The bytes depend on
the configuration and the code, never on how many processes draw: each scene has random numbers of its own. `synth.json`
records both with a digest of every image, so that the same request finds its earlier result and uses it again.

Speed: 650 to 780 scenes a second on one core that is free, so 12,000 images of 64 px cost 17 to 22 s of CPU,
which worker processes share a few drives at a time.
"""

import csv
import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image

from stage1 import events
from stage1.data.synth.config import SynthConfig
from stage1.data.synth.crew import map_drives
from stage1.data.synth.scene import MIN_VISIBLE, Scene, render_scene
from stage1.errors import BadInput, Stage1Error

SCHEMA = "stage1/synth/v1"
COLUMNS = ("path", "label", "group", "source")
_JPEG_QUALITY = 92


@dataclass(frozen=True, slots=True)
class SynthSummary:
    """What was written, or found already written.

    Args:
        num_images: Images in all.
        num_positives: Images with road work.
        num_hard: Positives planned far away or partly hidden.
        num_lookalikes: Negatives with something to be mistaken for road work.
        num_drives: Groups.
        by_weather: Images per weather, the `source` column.
        min_visible_pixels: Least number of pixels that show road work in any positive; 0 without positives.
        digest: SHA-256 over all image files, drive by drive.
        reused: True when an identical earlier result was found and nothing was written.
    """

    num_images: int
    num_positives: int
    num_hard: int
    num_lookalikes: int
    num_drives: int
    by_weather: dict[str, int]
    min_visible_pixels: int
    digest: str
    reused: bool


@dataclass(frozen=True, slots=True)
class DriveRecord:
    """What a worker tells about one drive that it wrote."""

    rows: tuple[tuple[str, int, str, str], ...]
    hard: int
    lookalikes: int
    visible: tuple[int, ...]
    digest: str


def synthesize(out: Path, config: SynthConfig, *, processes: int | None = None) -> SynthSummary:
    """Write a data set of street scenes that `stage1 split` reads, or use an identical earlier one again.

    Args:
        out: Folder to create. It may exist when it is empty or holds the result of the same config and code.
        config: What to draw.
        processes: Worker processes; by default one a core, none for a small set. The bytes do not depend on it.

    Returns:
        The numbers of the set.

    Raises:
        BadInput: `out` holds something else, or an earlier result that was changed.
        Stage1Error: The images could not be written; nothing is left behind.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        return _reuse(out, config)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            summary = _write(room, config, processes)
            room.chmod(0o755)
            room.replace(out)
        except BaseException:
            shutil.rmtree(room, ignore_errors=True)
            raise
    except OSError as error:
        number = config.num_drives * config.frames_per_drive
        size_mb = number * (0.6 * config.image_size**2 + 4096) / 1e6
        raise Stage1Error(
            f"could not write {number:,} images to {out}: {error.strerror or error}. They need about "
            f"{size_mb:,.0f} MB; make room there or choose another folder."
        ) from error
    return summary


def write_drive(config: SynthConfig, room: Path, drive: int) -> DriveRecord:
    """Draw one drive and write its images below `room`."""
    name = f"drive-{drive:04d}"
    folder = room / "images" / name
    folder.mkdir(parents=True)
    digest = hashlib.sha256()
    scenes = [render_scene(config, drive, frame) for frame in range(config.frames_per_drive)]
    rows = []
    for scene in scenes:
        encoded = BytesIO()
        Image.fromarray(scene.image).save(encoded, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        file = f"{scene.frame:03d}.jpg"
        (folder / file).write_bytes(encoded.getbuffer())
        digest.update(encoded.getbuffer())
        rows.append((f"images/{name}/{file}", scene.label, name, scene.weather))
    return DriveRecord(
        rows=tuple(rows),
        hard=sum(scene.hard for scene in scenes),
        lookalikes=sum(_has_lookalike(scene) for scene in scenes),
        visible=tuple(scene.visible_pixels for scene in scenes if scene.label),
        digest=digest.hexdigest(),
    )


def _has_lookalike(scene: Scene) -> bool:
    return scene.label == 0 and bool(scene.lookalikes)


def _write(room: Path, config: SynthConfig, processes: int | None) -> SynthSummary:
    """Fill the folder `room`."""
    records = []
    with closing(map_drives(write_drive, config, room, processes)) as crew:  # on Ctrl-C workers end before clean-up
        for record in crew:
            records.append(record)
            events.progress(len(records), config.num_drives, "drive")
    with (room / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(row for record in records for row in record.rows)
    summary = _summarize(records)
    content = {
        "schema": SCHEMA,
        **_request(config),
        "labels_sha256": hashlib.sha256((room / "labels.csv").read_bytes()).hexdigest(),
        "min_visible_share": MIN_VISIBLE,
        "summary": {key: value for key, value in asdict(summary).items() if key != "reused"},
    }
    text = json.dumps(content, sort_keys=True, indent=2, allow_nan=False)
    (room / "synth.json").write_text(text + "\n", encoding="utf-8")
    return summary


def _summarize(records: list[DriveRecord]) -> SynthSummary:
    rows = [row for record in records for row in record.rows]
    return SynthSummary(
        num_images=len(rows),
        num_positives=sum(row[1] for row in rows),
        num_hard=sum(record.hard for record in records),
        num_lookalikes=sum(record.lookalikes for record in records),
        num_drives=len(records),
        by_weather=dict(sorted(Counter(row[3] for row in rows).items())),
        min_visible_pixels=min((count for record in records for count in record.visible), default=0),
        digest=_digest(record.digest for record in records),
        reused=False,
    )


def _digest(parts: Iterator[str]) -> str:
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _request(config: SynthConfig) -> dict[str, Any]:
    """Return all that decides the bytes: the configuration, the generator's source and what it draws with."""
    source = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        source.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return {
        "config": config.model_dump(),
        "code": source.hexdigest(),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


def _reuse(out: Path, config: SynthConfig) -> SynthSummary:
    """Return the summary of an earlier result, or say why the folder cannot be used."""
    advice = "Choose another folder, or delete this one first."
    try:
        earlier = json.loads((out / "synth.json").read_text(encoding="utf-8"))
        request = {key: earlier[key] for key in _request(config)}
        summary = SynthSummary(**earlier["summary"], reused=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{out} exists and holds no earlier result of this command. {advice}") from error
    if request != _request(config):
        changed = [key for key, value in _request(config).items() if request[key] != value]
        raise BadInput(f"{out} holds scenes drawn with another {' and another '.join(changed)}. {advice}")
    if not _is_whole(out, str(earlier.get("labels_sha256")), summary.digest):
        raise BadInput(f"{out} holds scenes that were changed after they were written. {advice}")
    return summary


def _is_whole(out: Path, labels_sha256: str, digest: str) -> bool:
    """Return whether an earlier result still has the bytes that were written."""
    with suppress(OSError):
        labels = (out / "labels.csv").read_bytes()
        if hashlib.sha256(labels).hexdigest() != labels_sha256:
            return False
        drives: dict[str, Any] = {}
        for row in csv.DictReader(labels.decode().splitlines()):
            drives.setdefault(row["group"], hashlib.sha256()).update((out / row["path"]).read_bytes())
        return _digest(drive.hexdigest() for drive in drives.values()) == digest
    return False
