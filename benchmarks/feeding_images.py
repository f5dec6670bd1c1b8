"""How fast images are fed: from files and shards, from a folder and a real MinIO server, against the decoder itself.

    python benchmarks/feeding_images.py [--quick] [--images FOLDER]

One run measures everything in turn, several times over, and compares medians:
- limit: the same decoder (Preprocessing) on bytes in memory, in as many threads as the loader may use;
- ours: batches in shuffled order, every image compared with its digest, from files and from shards;
- peer: torchvision ImageFolder + DataLoader with the same resizing (Pillow, bicubic, squashed), shuffled.
The server runs on the same processors and takes its share of them.
"""

import argparse
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

sys.path.insert(0, str(Path(__file__).parent.parent))

from stage1.data import SPLITS, ImageBatches, Preprocessing, Rows, SplitConfig, make_split
from stage1.data.packing import pack
from stage1.data.pool import num_cpus, ordered_map
from stage1.data.synth import SynthConfig, render_scene
from stage1.training.batches import Sampler
from tests.servers.minio import start_minio

SIZE, BATCH = 224, 64
PREPROCESSING = Preprocessing(image_size=SIZE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer images, one round")
    parser.add_argument("--images", type=Path, help="folder of JPEGs; default: drawn street scenes of 320 pixels")
    given = parser.parse_args()
    count, rounds = (300, 1) if given.quick else (3000, 5)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, minio(Path(folder)) as client:
        place = Path(folder)
        total_bytes = lay_out(place / "images", given.images, count)
        client.make_bucket("feeding")
        for path in (place / "images").rglob("*.jpg"):
            client.fput_object("feeding", f"images/{path.relative_to(place / 'images')}", str(path))
        local, remote = (
            make_split(source, SplitConfig())[0] for source in (str(place / "images"), "s3://feeding/images")
        )
        pack(local, str(place / "shards"), megapixels=8)
        pack(remote, "s3://feeding/shards", megapixels=8)
        rows = local.rows(*SPLITS, allowed=SPLITS)
        far = remote.rows(*SPLITS, allowed=SPLITS)
        size = f"{total_bytes / len(rows) / 1e3:.0f} kB each"
        print(f"{len(rows):,} JPEGs, {size}, to {SIZE} x {SIZE}, {num_cpus()} threads")
        in_memory = [path.read_bytes() for path in (place / "images").rglob("*.jpg")]
        ways: dict[str, Callable[[], int]] = {
            "limit: the decoder alone": lambda: decode_only(in_memory),
            "ours, files, local": feeding(rows, ""),
            "ours, shards, local": feeding(rows, str(place / "shards")),
            "ours, files, MinIO": feeding(far, ""),
            "ours, shards, MinIO": feeding(far, "s3://feeding/shards"),
            "ImageFolder + DataLoader": lambda: image_folder(place / "images"),
        }
        check_equal(rows, far, place)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                began = time.perf_counter()
                seen = way()
                rates[name].append(seen / (time.perf_counter() - began))
        report(rates)


def report(rates: dict[str, list[float]]) -> None:
    """Print medians, and medians of the ratios within a round, which other programs disturb less."""
    limit, peer = rates["limit: the decoder alone"], rates["ImageFolder + DataLoader"]
    print(f"{'':28}{'images/s':>10}{'of limit':>10}{'of peer':>9}")
    for name, found in rates.items():
        of_limit, of_peer = (
            statistics.median(a / b for a, b in zip(found, other, strict=True)) for other in (limit, peer)
        )
        print(f"{name:28}{statistics.median(found):>10,.0f}{of_limit:>10.2f}{of_peer:>9.2f}")


def decode_only(images: list[bytes]) -> int:
    """Decode bytes that are in memory, in threads."""
    chunks = [images[start : start + 16] for start in range(0, len(images), 16)]

    def decode_all(chunk: list[bytes]) -> int:
        return len([PREPROCESSING.load(data) for data in chunk])

    return sum(ordered_map(decode_all, chunks, num_threads=num_cpus(), ahead=8))


def feeding(rows: Rows, shards: str) -> Callable[[], int]:
    """Return what takes one epoch, nothing kept in memory; each call is another epoch."""
    sampler = Sampler(ImageBatches(rows, PREPROCESSING, 0, shards=shards), BATCH, seed=0)
    epochs = iter(range(10**9))
    return lambda: sum(len(batch.rows_B) for batch in sampler.epoch(next(epochs)))


def image_folder(folder: Path) -> int:
    """Feed the same pictures as torchvision's users do: worker processes, PIL transforms."""
    transform = v2.Compose([v2.Resize((SIZE, SIZE), interpolation=v2.InterpolationMode.BICUBIC), v2.PILToTensor()])
    loader = DataLoader(ImageFolder(folder, transform), BATCH, shuffle=True, num_workers=num_cpus())
    return sum(len(labels) for _, labels in loader)


def check_equal(rows: Rows, far: Rows, place: Path) -> None:
    """Say whether every way gives the same pixels."""
    some = np.arange(0, len(rows), 7)
    ours = [
        ImageBatches(part, PREPROCESSING, 0, shards=shards).take(some)
        for part, shards in ((rows, ""), (rows, str(place / "shards")), (far, ""), (far, "s3://feeding/shards"))
    ]
    equal = all(np.array_equal(ours[0], each) for each in ours[1:])
    resize = v2.Resize((SIZE, SIZE), interpolation=v2.InterpolationMode.BICUBIC)
    peers = np.stack([np.asarray(resize(Image.open(io.BytesIO(data)).convert("RGB"))) for data in raw(rows, some)])
    print(f"pixels equal among ours: {equal}; equal to the peer's: {np.array_equal(ours[0], peers)}")


def raw(rows: Rows, some: np.ndarray) -> Iterator[bytes]:
    """Yield the files of some rows."""
    return ImageBatches(rows, PREPROCESSING, 0).files(some)


def lay_out(folder: Path, source: Path | None, count: int) -> int:
    """Copy JPEGs in turn, or draw them, into two class folders until there are `count`; return their bytes together."""
    found = sorted(source.rglob("*.jpg"))[:count] if source else []
    total = 0
    for number in range(count):
        picture = number % len(found) if found else number
        to = folder / ("roadwork" if picture % 3 == 0 else "clear") / f"{number}.jpg"
        to.parent.mkdir(parents=True, exist_ok=True)
        data = found[picture].read_bytes() if found else drawn(number)
        to.write_bytes(data)
        total += len(data)
    return total


def drawn(number: int) -> bytes:
    """Draw one street scene as a JPEG of 320 pixels."""
    config = SynthConfig(num_drives=number // 24 + 1, frames_per_drive=24, image_size=320)
    stream = io.BytesIO()
    picture = render_scene(config, drive=number // 24, frame=number % 24).image
    Image.fromarray(picture).save(stream, "JPEG", quality=88)
    return stream.getvalue()


@contextmanager
def minio(folder: Path) -> Iterator["object"]:
    """Start a server of our own and let stage1 find it."""
    (folder / "server").mkdir()
    process, server = start_minio(folder / "server")
    os.environ.update(server.environment)
    try:
        yield server.client
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
