"""Pixels of manifest rows: decoded by Preprocessing in threads, kept in memory when they fit.

Every image's bytes are compared with the manifest's digest before they are decoded: what the split saw is what is used,
whether it comes from where it was split, or from shards.

Shapes: N rows, B rows of one batch, S image_size.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from stage1 import events
from stage1.data.manifest import Rows
from stage1.data.origin import RowImages
from stage1.data.pool import num_cpus, ordered_map
from stage1.data.preprocess import Preprocessing
from stage1.errors import BadImage

if TYPE_CHECKING:
    from stage1.data.streaming import ShardedImages

_CHUNK = 16
_THREADS_OF_REQUESTS = 4


class ImageBytes(Protocol):
    """Where the bytes of rows come from."""

    def read(self, index: int, *, max_pixels: int) -> bytes:
        """Return the bytes of row `index`, compared with the manifest's digest. Thread-safe."""
        ...

    def address(self, index: int) -> str:
        """Return what a person calls row `index`."""
        ...


class ImageBatches:
    """Batches of uint8 [B,S,S,3] by row index, the same bytes wherever they come from and whatever fits in memory.

    Args:
        rows: Rows of a manifest; whole splits where `shards` is given.
        preprocessing: The one definition of what the model sees.
        memory_limit_mb: All N images are decoded now and kept if they need at most this many MiB (N * S * S * 3
            bytes); otherwise every batch is decoded when it is taken.
        num_threads: Default: the processors of this process; four times as many where every image is a request.
        shards: Where `stage1 data shard` packed the manifest; "" reads every image from where it was split.

    Attributes:
        shard_N: Number of the shard that holds each row; 0 everywhere without shards.

    Raises:
        BadArtifact: An image is gone or was changed since the split, or the shards are of another manifest.
        BadImage: An image cannot be used with this preprocessing (its max_pixels is below that of the split).
        StorageError: Object storage failed, after retries; the message names the key.
    """

    def __init__(
        self,
        rows: Rows,
        preprocessing: Preprocessing,
        memory_limit_mb: float,
        num_threads: int | None = None,
        *,
        shards: str = "",
    ) -> None:
        self._preprocessing = preprocessing
        waiting = not shards and any(root.startswith("s3://") for root in rows.roots)
        self._threads = num_threads or num_cpus() * (_THREADS_OF_REQUESTS if waiting else 1)
        self._sharded = _open_shards(rows, shards) if shards else None
        self._bytes: ImageBytes = self._sharded or RowImages(rows)
        self.shard_N = self._sharded.shard_N if self._sharded else np.zeros(len(rows), np.int64)
        self._kept: NDArray[np.uint8] | None = None
        if len(rows) * preprocessing.image_size**2 * 3 <= memory_limit_mb * 2**20:
            everything = np.arange(len(rows))
            with self._ahead(everything):
                self._kept = next(self._decoded([everything], tell=True))

    def __len__(self) -> int:
        return len(self.shard_N)

    @property
    def in_memory(self) -> bool:
        """Whether all images are decoded and kept."""
        return self._kept is not None

    def read(self, index: int) -> bytes:
        """Return the file's bytes of one row, compared with the manifest's digest."""
        return self._bytes.read(index, max_pixels=self._preprocessing.max_pixels)

    def address(self, index: int) -> str:
        """Return what a person calls row `index`."""
        return self._bytes.address(index)

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images of these row indices, uint8 [B,S,S,3], a new array."""
        return next(self._decoded([indices])) if self._kept is None else self._kept[indices]

    def batches(self, indices_of_batches: Iterable[NDArray[np.int64]]) -> Iterator[NDArray[np.uint8]]:
        """Yield take(indices) for each, the next batches being fetched and decoded while the caller uses this one."""
        if self._kept is not None:
            yield from map(self.take, indices_of_batches)
            return
        parts = list(indices_of_batches)
        with self._ahead(np.concatenate([np.empty(0, np.int64), *parts])):
            yield from self._decoded(parts)

    def files(self, indices: NDArray[np.int64]) -> Iterator[bytes]:
        """Yield read(index) for each, reading ahead."""
        with self._ahead(indices):
            yield from ordered_map(self.read, indices.tolist(), num_threads=self._threads, ahead=4 * self._threads)

    def _ahead(self, order_M: NDArray[np.int64]) -> AbstractContextManager[None]:
        return self._sharded.ahead(order_M) if self._sharded else nullcontext()

    def _decoded(self, parts: list[NDArray[np.int64]], *, tell: bool = False) -> Iterator[NDArray[np.uint8]]:
        """Yield the images of each part; threads work on chunks of one part after the other without a pause."""
        size = self._preprocessing.image_size
        largest = max((len(part) for part in parts), default=0)
        chunk = min(_CHUNK, -(-largest // (4 * self._threads)) or 1)

        def pieces() -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64], int]]:
            for part in parts:
                images_BSS3 = np.empty((len(part), size, size, 3), np.uint8)
                for start in range(0, max(1, len(part)), chunk):
                    yield images_BSS3, part, start

        def fill(piece: tuple[NDArray[np.uint8], NDArray[np.int64], int]) -> tuple[NDArray[np.uint8], int, int]:
            images_BSS3, part, start = piece
            stop = min(start + chunk, len(part))
            for position in range(start, stop):
                self._load(int(part[position]), images_BSS3[position])
            return images_BSS3, start // chunk, stop

        ahead = self._threads * 4 if tell else self._threads + 2 * -(-largest // chunk)
        for images_BSS3, number, stop in ordered_map(fill, pieces(), num_threads=self._threads, ahead=ahead):
            if tell and number % 32 == 31:
                events.progress(stop, len(images_BSS3), "image")
            if stop == len(images_BSS3):
                yield images_BSS3

    def _load(self, index: int, out_SS3: NDArray[np.uint8]) -> None:
        data = self.read(index)
        try:
            self._preprocessing.load(data, out_SS3)
        except BadImage as error:
            raise BadImage(f"{self._bytes.address(index)}: {error}", error.reason) from error


def load_images(rows: Rows, preprocessing: Preprocessing, num_threads: int | None = None) -> NDArray[np.uint8]:
    """Return all images of the rows, uint8 [N,S,S,3].

    Raises:
        BadArtifact: An image is gone or was changed since the split.
    """
    return ImageBatches(rows, preprocessing, float("inf"), num_threads).take(np.arange(len(rows)))


def _open_shards(rows: Rows, uri: str) -> "ShardedImages":
    """Import webdataset, and with it torch, only where shards are read."""
    from stage1.data.streaming import ShardedImages

    return ShardedImages(rows, uri)
