"""Packing a manifest's images into shards: original bytes, checked against the manifest, atomically and resumably."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import webdataset  # type: ignore[import-untyped]
from PIL import Image

from stage1 import events
from stage1.data.decode import FORMATS, MAX_PIXELS
from stage1.data.manifest import SPLITS, Manifest, Rows
from stage1.data.origin import RowImages
from stage1.data.pool import num_cpus, ordered_map
from stage1.data.shards import INDEX, Planned, Shard, ShardIndex, plan
from stage1.errors import BadData, Conflict
from stage1.storage import Store, open_reader, open_store

_PARQUET_SHARDS_AT_ONCE = 64
_SUFFIXES = {"JPEG": "jpg", "TIFF": "tif"}


@dataclass(frozen=True)
class Packed:
    """What lies at the address now, and how many of its shards were there before."""

    num_images: int
    num_shards: int
    num_bytes: int
    num_found: int


def pack(manifest: Manifest, out: str, *, megapixels: float = 128.0, num_threads: int | None = None) -> Packed:
    """Pack every row of a manifest; what an earlier call packed is kept.

    Equal manifests and `megapixels` give equal objects. The index is written last: without it nothing is read.

    Args:
        manifest: What `stage1 split` wrote.
        out: A folder or s3://bucket/prefix that holds nothing else.
        megapixels: Pixels of a shard's images, in millions; 128 are about 20 to 40 MB of JPEG.
        num_threads: For reading images; default: the processors of this process.

    Raises:
        BadData: `out` holds something else.
        BadArtifact: An image is gone or was changed since the split.
        StorageError: Images cannot be read, or shards not written.
    """
    rows = manifest.rows(*SPLITS, allowed=SPLITS, unlabeled=True)
    planned = plan(rows, megapixels)
    wanted = [shard for shards in planned.values() for shard in shards]
    store = open_store(out)
    found = set(store.list())
    _refuse_foreign(out, found - {INDEX} - {shard.key for shard in wanted})
    missing = [shard for shard in wanted if shard.key not in found]
    _write(store, rows, missing, num_threads or num_cpus())
    sizes = {entry.path: entry.num_bytes for entry in open_reader(out).list()}
    series = {
        name: tuple(Shard(key=each.key, num_rows=len(each.rows), num_bytes=sizes[each.key]) for each in shards)
        for name, shards in planned.items()
    }
    _write_index(store, out, ShardIndex(data_digest=manifest.data_digest, series=series))
    return Packed(len(rows), len(wanted), sum(sizes[shard.key] for shard in wanted), len(wanted) - len(missing))


def _refuse_foreign(out: str, others: set[str]) -> None:
    if others:
        raise BadData(
            f"{out} holds {len(others):,} other objects, such as {min(others)}: shards of another manifest or of "
            "another --megapixels, or no shards at all. Give an address of its own, or empty this one."
        )


def _write(store: Store, rows: Rows, missing: Sequence[Planned], num_threads: int) -> None:
    """Write these shards; rows of parquet files are read file by file, for many shards at once."""
    images = RowImages(rows)
    place_N = np.empty(len(rows), np.int64)
    place_N[images.storage_order()] = np.arange(len(rows))
    at_once = _PARQUET_SHARDS_AT_ONCE if any(".parquet#" in uri for uri in rows.table["uri"].to_pylist()) else 1
    total, done = sum(len(shard.rows) for shard in missing), 0
    for first in range(0, len(missing), at_once):
        shards = missing[first : first + at_once]
        members = np.concatenate([shard.rows for shard in shards])
        reading = members[np.argsort(place_N[members])].tolist()
        read = ordered_map(
            lambda row: images.read(row, max_pixels=MAX_PIXELS), reading, num_threads=num_threads, ahead=4 * num_threads
        )
        data = dict(zip(reading, read, strict=True))
        for shard in shards:
            tar = _tar(rows, shard, data)
            try:
                store.put_new(shard.key, tar)
            except Conflict:
                events.note(f"shard {shard.key} was written by somebody else meanwhile")
            done += len(shard.rows)
            events.progress(done, total, "image")


def _tar(rows: Rows, shard: Planned, data: dict[int, bytes]) -> bytes:
    """Take the shard's images out of `data` and write them as webdataset's samples."""
    stream = io.BytesIO()
    with webdataset.TarWriter(stream, encoder=False, mtime=0) as writer:
        for row in shard.rows.tolist():
            image, label = data.pop(row), rows.table["label"][row].as_py()
            writer.write({"__key__": rows.table["id"][row].as_py(), "cls": b"%d" % label, _suffix(image): image})
    return stream.getvalue()


def _suffix(image: bytes) -> str:
    with Image.open(io.BytesIO(image), formats=FORMATS) as opened:
        name = str(opened.format)
    return _SUFFIXES.get(name, name.lower())


def _write_index(store: Store, out: str, index: ShardIndex) -> None:
    data = index.to_bytes()
    try:
        store.put_new(INDEX, data)
    except Conflict:
        if store.get(INDEX).data != data:
            raise BadData(
                f"{out} has the {INDEX} of another manifest. Give an address of its own, or empty this one."
            ) from None
