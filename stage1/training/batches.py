"""Which images stand in which step: a pure function of (seed, epoch, step), so that a run resumes by counting.

Shapes: B images in a batch, H W pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stage1.data.loading import ImageBatches
from stage1.errors import BadData


@dataclass(frozen=True)
class Batch:
    """One step's images, with the rows they came from."""

    rows_B: NDArray[np.int64]
    images_BHW3: Tensor


def derived_seed(*numbers: int) -> int:
    """Return a seed that is a hash of `numbers`: streams of different steps are independent."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


class Sampler:
    """A fresh permutation every epoch, cut into batches of at most `batch_size` images that differ by one at most.

    So every image is seen once an epoch, and no batch is so small that its statistics mean nothing.

    Raises:
        BadData: There are no images.
    """

    def __init__(self, images: ImageBatches, batch_size: int, seed: int) -> None:
        if not len(images):
            raise BadData(
                "the training split is empty, so nothing can be learnt. Give split.fractions.train more, or add data."
            )
        self.images = images
        self.batch_size = batch_size
        self.seed = seed

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch; at least 1."""
        return -(-len(self.images) // self.batch_size)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield the batches of `epoch` from `first_step` on, reading ahead."""
        order = np.random.default_rng(derived_seed(self.seed, epoch)).permutation(len(self.images))
        rows = np.array_split(order, self.steps_per_epoch)[first_step:]
        for rows_B, images_BHW3 in zip(rows, self.images.batches(rows), strict=True):
            yield Batch(rows_B, torch.from_numpy(images_BHW3))
