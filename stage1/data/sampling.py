"""How often each image is seen in an epoch when one class is wanted more often than it occurs.

Shapes: N images.
"""

import numpy as np
from numpy.typing import NDArray


def class_copies(labels_N: NDArray[np.int8], positive_share: float, *, seed: int) -> NDArray[np.int64]:
    """Return how often each image is seen, int64 [N], summing to N with round(positive_share * N) positives.

    Images of one class are seen equally often or once apart, so none is lost to chance as it is when images are drawn
    with replacement. Which ones are seen once more depends on the seed: one for every epoch.

    Args:
        labels_N: 0 or 1, both present.
        positive_share: In (0, 1).

    >>> class_copies(np.array([1, 0, 0, 0, 0, 0], np.int8), 0.5, seed=0)[0]
    3
    """
    total = len(labels_N)
    num_positives = min(max(1, round(positive_share * total)), total - 1)
    copies_N = np.zeros(total, np.int64)
    rng = np.random.default_rng(seed)
    for label, wanted in ((1, num_positives), (0, total - num_positives)):
        members = np.flatnonzero(labels_N == label)
        often, once_more = divmod(wanted, len(members))
        copies_N[members] = often
        copies_N[rng.permutation(members)[:once_more]] += 1
    return copies_N
