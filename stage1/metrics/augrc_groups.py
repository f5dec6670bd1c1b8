"""AUGRC of resamples of whole groups, or of shared counts, by one product of sparse integers.

Images of one group that lie between the same two errors, or on the same one, count alike. They are one entry of a
matrix of places by groups, whose product with the drawn counts gives the images at each place; cumulated, those beneath
each error. All sums are of integers, each as small as its bound allows.

Legend: G groups, P places, L distinct confidences of errors, B resamples of one block, R resamples in all.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from scipy import sparse

from stage1.metrics.arrays import Bools, Floats, Integers

_AT_ONCE = 16  # resamples: a group's counts fill at most one cache line
_BLOCK_ELEMENTS = 4_000_000


class AugrcOfGroups:
    """Computes AUGRC from the number of times that each group was drawn.

    Args:
        confidence_N: Finite, higher is surer.
        error_N: True where the prediction is wrong.
        group_N: Group of each image, 0 to num_groups - 1.
        num_groups: Groups, also those without an image.
    """

    def __init__(self, confidence_N: Floats, error_N: Bools, group_N: Integers, num_groups: int) -> None:
        levels, level_of_error = np.unique(confidence_N[error_N], return_inverse=True)
        # Even places lie between errors' confidences, odd places on them.
        place = np.searchsorted(levels, confidence_N, side="left") + np.searchsorted(levels, confidence_N, side="right")
        self._images_PG = _counted(place, group_N, (2 * len(levels) + 1, num_groups))
        self._errors_LG = _counted(level_of_error, group_N[error_N], (len(levels), num_groups))
        self._num_images = len(place)
        self._most = int(self._images_PG.sum(axis=1).max())
        self._at_once = max(1, min(_AT_ONCE, _BLOCK_ELEMENTS // sum(self._images_PG.shape)))

    def __call__(self, counts: Iterable[Integers]) -> Floats:
        """Return AUGRC of each resample (R) from the counts of each, (G) integers of which some are positive."""
        values: list[Floats] = []
        rest: Iterator[Integers] = iter(counts)
        while block := list(islice(rest, self._at_once)):
            values.append(self._block(np.stack(block, axis=1)))
        return np.concatenate(values)

    def _block(self, counts_GB: Integers) -> Floats:
        often = int(counts_GB.max())
        counts_GB = counts_GB.astype(_integers_up_to(self._most * often))
        at_PB = self._images_PG @ counts_GB
        up_to_PB = np.cumsum(at_PB, axis=0, dtype=_integers_up_to(2 * self._num_images * often))
        # Beneath a level is all up to the place before it, ties at half.
        twice_LB = up_to_PB[:-1:2] + up_to_PB[1::2]
        pairs = np.einsum("lb,lb->b", self._errors_LG @ counts_GB, twice_LB, dtype=np.int64)
        area: Floats = pairs / 2 / up_to_PB[-1].astype(np.float64) ** 2
        return area


def _counted(row: Integers, column: Integers, shape: tuple[int, int]) -> sparse.csr_array:
    """Return how often each (row, column) occurs."""
    cell = (row.astype(np.int32), column.astype(np.int32))
    counted = sparse.csr_array((np.ones(len(row), dtype=np.int32), cell), shape=shape)
    return counted.astype(_integers_up_to(int(counted.data.max(initial=0))))


def _integers_up_to(highest: int) -> np.dtype[Any]:
    """Return the smallest signed integers that hold `highest`: the products wait for memory, not for arithmetic."""
    return np.min_scalar_type(-highest - 1)
