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
from stage1.data.order import batches_of_rank, epoch_order
from stage1.data.sampling import class_copies
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
    """A fresh order every epoch, cut into batches of at most `batch_size` images that differ by one at most.

    So every image is seen once an epoch, and no batch is so small that its statistics mean nothing. Images in shards
    are mixed in windows of shards; see stage1.data.order. With `positive_share` an epoch has as many images as ever,
    but that share of positives; see stage1.data.sampling.

    Args:
        window: Shards whose images are mixed.
        labels_N: Label of each image; needed where `positive_share` is given.
        positive_share: Wanted share of positives in an epoch, in (0, 1); None takes every image once.
        rank: Which of the `num_ranks` processes this is; each sees a part of every epoch, all of them the whole.

    Raises:
        BadData: There are no images, or fewer than ranks.
    """

    def __init__(
        self,
        images: ImageBatches,
        batch_size: int,
        seed: int,
        *,
        window: int = 8,
        labels_N: NDArray[np.int8] | None = None,
        positive_share: float | None = None,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        if not len(images):
            raise BadData(
                "the training split is empty, so nothing can be learnt. Give split.fractions.train more, or add data."
            )
        if (labels_N is None) != (positive_share is None):
            raise ValueError("labels_N and positive_share belong together")
        self.images = images
        self.batch_size = batch_size
        self.seed = seed
        self.window = window
        self._labels_N = labels_N
        self._positive_share = positive_share
        self._rank, self._num_ranks = rank, num_ranks
        self.steps_per_epoch = len(self.rows_of_epoch(0))

    def rows_of_epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        """Return the rows of every batch of `epoch`; there is at least one batch."""
        copies_N = None
        if self._labels_N is not None and self._positive_share is not None:
            seed = derived_seed(self.seed, epoch, 0, 2)
            copies_N = class_copies(self._labels_N, self._positive_share, seed=seed)
        seed = derived_seed(self.seed, epoch)
        order = epoch_order(self.images.shard_N, seed=seed, window=self.window, copies_N=copies_N)
        return batches_of_rank(order, self.batch_size, rank=self._rank, num_ranks=self._num_ranks)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield the batches of `epoch` from `first_step` on, reading ahead."""
        rows = self.rows_of_epoch(epoch)[first_step:]
        for rows_B, images_BHW3 in zip(rows, self.images.batches(rows), strict=True):
            yield Batch(rows_B, torch.from_numpy(images_BHW3))
