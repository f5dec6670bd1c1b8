"""Which images stand in which step: a pure function of (seed, epoch, step), so that a run resumes by counting.

Shapes: B images in a batch of all processes together, b of them this process's own, H W pixels.
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
from stage1.training.processes import ALONE, Processes


@dataclass(frozen=True)
class Batch:
    """One step's rows, and the images of those that this process works on: `start` says where they stand in the rows.

    With one process that is all of them.
    """

    rows_B: NDArray[np.int64]
    images_bHW3: Tensor
    start: int = 0


def derived_seed(*numbers: int) -> int:
    """Return a seed that is a hash of `numbers`: streams of different steps are independent."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


class Sampler:
    """A fresh order every epoch, cut into batches of at most `batch_size` images that differ by one at most.

    So every image is seen once an epoch, and no batch is so small that its statistics mean nothing. Images in shards
    are mixed in windows of shards; see stage1.data.order. With `positive_share` an epoch has as many images as ever,
    but that share of positives; see stage1.data.sampling.

    Several processes share every batch. Images that lie in one place are batched as for one process, so that the number
    of processes changes nothing but speed; of images in shards each process has a run of the order, so that it reads
    few shards that another one reads too.

    Args:
        batch_size: Of all processes together.
        window: Shards whose images are mixed.
        labels_N: Label of each image; needed where `positive_share` is given.
        positive_share: Wanted share of positives in an epoch, in (0, 1); None takes every image once.
        processes: Those that share every batch.

    Raises:
        BadData: There are no images, or a batch would have fewer than there are processes.
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
        processes: Processes = ALONE,
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
        self._processes = processes
        batches = self.rows_of_epoch(0)
        self.steps_per_epoch = len(batches)
        if (smallest := min(map(len, batches))) < processes.count:
            raise BadData(
                f"{len(images)} images in batches of at most {batch_size} make one of {smallest}, too few for "
                f"{processes.count} processes. Use fewer processes, or a batch_size of at least {2 * processes.count}."
            )

    def rows_of_epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        """Return the rows of every batch of `epoch`; there is at least one batch."""
        copies_N = None
        if self._labels_N is not None and self._positive_share is not None:
            seed = derived_seed(self.seed, epoch, 0, 2)
            copies_N = class_copies(self._labels_N, self._positive_share, seed=seed)
        seed = derived_seed(self.seed, epoch)
        shard_N = self.images.shard_N
        order_M = epoch_order(shard_N, seed=seed, window=self.window, copies_N=copies_N)
        num_ranks = self._processes.count
        if num_ranks == 1 or (shard_N == shard_N[0]).all():
            return batches_of_rank(order_M, self.batch_size)
        size = max(1, self.batch_size // num_ranks)
        runs = [batches_of_rank(order_M, size, rank=rank, num_ranks=num_ranks) for rank in range(num_ranks)]
        return [np.concatenate(parts) for parts in zip(*runs, strict=True)]

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield the batches of `epoch` from `first_step` on, reading this process's images ahead."""
        rank, num_ranks = self._processes.rank, self._processes.count
        whole = self.rows_of_epoch(epoch)[first_step:]
        cuts = [np.array_split(rows_B, num_ranks) for rows_B in whole]
        own = [parts[rank] for parts in cuts]
        for rows_B, parts, images_bHW3 in zip(whole, cuts, self.images.batches(own), strict=True):
            yield Batch(rows_B, torch.from_numpy(images_bHW3), sum(map(len, parts[:rank])))
