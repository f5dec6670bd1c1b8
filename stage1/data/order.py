"""In which order images are seen: pure functions, so that an epoch resumes at any step by counting.

Images in shards are mixed in two stages, because a shard comes whole: the shards are shuffled, and the images of every
`window` of them are shuffled together. Images that lie in one place are one shard, so their order is one permutation.

Shapes: N images of a data set, M of an epoch (M = N unless images are repeated).
"""

import numpy as np
from numpy.typing import NDArray

from stage1.errors import BadData


def epoch_order(
    shard_N: NDArray[np.int64], *, seed: int, window: int, copies_N: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Return the images of one epoch in order, int64 [M].

    Args:
        shard_N: Number of the shard that holds each image.
        seed: One for every epoch.
        window: Shards whose images are mixed, at least 1.
        copies_N: How often each image is seen; None: once.
    """
    rng = np.random.default_rng(seed)
    shards_S, within_N = np.unique(shard_N, return_inverse=True)
    place_S = rng.permutation(len(shards_S)) if len(shards_S) > 1 else np.zeros(len(shards_S), np.int64)
    rows_M = np.arange(len(shard_N)) if copies_N is None else np.repeat(np.arange(len(shard_N)), copies_N)
    mixed_M = rows_M[rng.permutation(len(rows_M))]
    window_M = place_S[within_N[mixed_M]] // window
    ordered_M: NDArray[np.int64] = mixed_M[np.argsort(window_M, kind="stable")]
    return ordered_M


def batches_of_rank(
    order_M: NDArray[np.int64], batch_size: int, *, rank: int = 0, num_ranks: int = 1
) -> list[NDArray[np.int64]]:
    """Return the batches of one rank: its run of the order, cut into batches that differ by one image at most.

    Every image of the order is in exactly one batch of one rank, and all ranks have equally many batches. A rank's run
    is contiguous, so that it reads few shards that another one reads too.

    Args:
        batch_size: Largest batch, at least 2 where there are several ranks.
        rank: 0 to num_ranks - 1.

    Raises:
        BadData: There are fewer images than ranks.
    """
    if len(order_M) < num_ranks:
        raise BadData(f"Need at least one image a rank, got {len(order_M)} for {num_ranks} ranks. Use fewer ranks.")
    longest = -(-len(order_M) // num_ranks)
    num_batches = -(-longest // batch_size)
    return np.array_split(np.array_split(order_M, num_ranks)[rank], num_batches)
