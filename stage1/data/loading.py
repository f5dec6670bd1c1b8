"""Pixels of manifest rows: decoded by Preprocessing in threads, kept in memory when they fit.

Every file's bytes are compared with the manifest's digest before they are decoded: what the split saw is what is used.

Shapes: N rows, B rows of one batch, S image_size.
"""

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from stage1 import events
from stage1.data.decode import read_bytes
from stage1.data.manifest import Rows
from stage1.data.pool import num_cpus, ordered_map
from stage1.data.preprocess import Preprocessing
from stage1.errors import BadArtifact, BadImage

_CHUNK = 64


class ImageBatches:
    """Batches of uint8 [B,S,S,3] by row index, the same bytes whether or not the data set fits in memory.

    Args:
        rows: Rows of a manifest.
        preprocessing: The one definition of what the model sees.
        memory_limit_mb: All N images are decoded now and kept if they need at most this many MiB (N * S * S * 3
            bytes); otherwise every batch is decoded when it is taken.
        num_threads: Default: the processors of this process.

    Raises:
        BadArtifact: A file is gone or was changed since the split.
        BadImage: A file cannot be used with this preprocessing (its max_pixels is below that of the split).
    """

    def __init__(
        self, rows: Rows, preprocessing: Preprocessing, memory_limit_mb: float, num_threads: int | None = None
    ) -> None:
        self._preprocessing = preprocessing
        self._threads = num_threads or num_cpus()
        self._uris = rows.table["uri"].to_pylist()
        self._digests = rows.table["digest"].to_pylist()
        self._root = rows.root
        self._kept: NDArray[np.uint8] | None = None
        if len(rows) * preprocessing.image_size**2 * 3 <= memory_limit_mb * 2**20:
            self._kept = self._decode(np.arange(len(rows)), tell=True)

    def __len__(self) -> int:
        return len(self._uris)

    @property
    def in_memory(self) -> bool:
        """Whether all images are decoded and kept."""
        return self._kept is not None

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images of these row indices, uint8 [B,S,S,3], a new array."""
        return self._decode(indices) if self._kept is None else self._kept[indices]

    def batches(self, indices_of_batches: Iterable[NDArray[np.int64]]) -> Iterator[NDArray[np.uint8]]:
        """Yield take(indices) for each, the next batch being decoded while the caller uses the present one."""
        if self._kept is not None:
            yield from map(self.take, indices_of_batches)
            return
        yield from ordered_map(self.take, indices_of_batches, num_threads=1, ahead=1)

    def _decode(self, indices: NDArray[np.int64], *, tell: bool = False) -> NDArray[np.uint8]:
        size = self._preprocessing.image_size
        images_BSS3 = np.empty((len(indices), size, size, 3), np.uint8)
        chunk = min(_CHUNK, -(-len(indices) // (4 * self._threads)) or 1)

        def fill(start: int) -> None:
            for position in range(start, min(start + chunk, len(indices))):
                images_BSS3[position] = self._load(int(indices[position]))

        starts = range(0, len(indices), chunk)
        for done, _ in enumerate(
            ordered_map(fill, starts, num_threads=self._threads, ahead=4 * self._threads), start=1
        ):
            if tell and done % 32 == 0:
                events.progress(done * chunk, len(indices), "image")
        return images_BSS3

    def _load(self, index: int) -> NDArray[np.uint8]:
        path = self._root / self._uris[index]
        try:
            data = read_bytes(path, max_pixels=self._preprocessing.max_pixels)
        except BadImage as error:
            raise BadArtifact(
                f"{error} It was there when the data were split: restore it or run `stage1 split`."
            ) from error
        if hashlib.sha256(data).digest() != self._digests[index]:
            raise BadArtifact(f"{path} was changed since the split. Restore it, or run `stage1 split` again.")
        try:
            return self._preprocessing.load(data)
        except BadImage as error:
            raise BadImage(f"{path}: {error}", error.reason) from error


def load_images(rows: Rows, preprocessing: Preprocessing, num_threads: int | None = None) -> NDArray[np.uint8]:
    """Return all images of the rows, uint8 [N,S,S,3].

    Raises:
        BadArtifact: A file is gone or was changed since the split.
    """
    return ImageBatches(rows, preprocessing, float("inf"), num_threads).take(np.arange(len(rows)))
