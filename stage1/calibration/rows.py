"""One score per row beside how many negatives and positives have it: raw images, or bins of very many of them.

Fits pass over rows in blocks, so that ten million images need their scores and two counts (1 byte each) and nothing
else of that length.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stage1.calibration.activations import Floats, Integers

Counts = Floats | NDArray[np.int8]

BLOCK = 1 << 16


@dataclass(frozen=True)
class Rows:
    """score_N: finite float64; negatives_N, positives_N: images of each class at that row, whole numbers >= 0."""

    score_N: Floats
    negatives_N: Counts
    positives_N: Counts

    @classmethod
    def of(cls, score_N: Floats, label_N: Integers) -> "Rows":
        """Return one row per image."""
        positive = (label_N == 1).astype(np.int8)
        return cls(score_N, 1 - positive, positive)

    def __len__(self) -> int:
        return len(self.score_N)

    @property
    def num_negatives(self) -> int:
        """Images of class 0."""
        return int(self.negatives_N.sum())

    @property
    def num_positives(self) -> int:
        """Images of class 1."""
        return int(self.positives_N.sum())

    def take(self, chosen: NDArray[np.bool_]) -> "Rows":
        """Return some rows."""
        return Rows(self.score_N[chosen], self.negatives_N[chosen], self.positives_N[chosen])

    def blocks(self) -> Iterator[slice]:
        """Yield slices that cover all rows, small enough for the processor's cache."""
        return blocks(len(self))

    @property
    def one_class(self) -> bool:
        """Whether only one class is there."""
        return not (self.num_negatives and self.num_positives)

    def parted(self, *, either_way: bool) -> bool:
        """Say whether a threshold leaves no overlap of the classes, positives above (touching at one value counts).

        Then the likelihood has no maximum. Scores that are all equal part nothing. either_way: or positives below.
        """
        low, high = float(self.score_N.min()), float(self.score_N.max())
        if low == high:
            return False
        is_negative, is_positive = self.negatives_N > 0, self.positives_N > 0
        upwards = self.score_N.max(initial=low, where=is_negative) <= self.score_N.min(initial=high, where=is_positive)
        downwards = self.score_N.max(initial=low, where=is_positive) <= self.score_N.min(
            initial=high, where=is_negative
        )
        return bool(upwards or (either_way and downwards))

    def smoothed(self) -> tuple[float, float]:
        """Return Platt's targets for a negative and for a positive: 1 / (N0 + 2) and (N1 + 1) / (N1 + 2).

        They are what a uniform prior makes of N images of a class, and keep the fit of parted classes finite.

        Reference: Platt 1999, section 2.2.
        """
        return 1 / (self.num_negatives + 2), (self.num_positives + 1) / (self.num_positives + 2)


def blocks(num_rows: int) -> Iterator[slice]:
    """Yield slices of at most BLOCK rows that cover all of them."""
    return (slice(start, start + BLOCK) for start in range(0, num_rows, BLOCK))


def binned(rows: Rows, fold_N: Integers, num_folds: int, num_bins: int) -> tuple[Rows, Integers]:
    """Return rows merged within narrow bins of the score, fold by fold, and their folds.

    Bins are equally wide in asinh(score): about that wide near 0, and of equal relative width far out. A row holds the
    mean score of its images, so what a smooth function of the score loses is of second order in the width.
    """
    squeezed = np.arcsinh(rows.score_N)
    low, high = float(squeezed.min()), float(squeezed.max())
    squeezed -= low
    squeezed *= (num_bins - 1) / max(high - low, 1e-9)
    cell_N = squeezed.astype(np.int32)
    del squeezed
    cell_N += fold_N.astype(np.int32) * num_bins
    cells = num_folds * num_bins
    negatives = np.bincount(cell_N, rows.negatives_N, cells).astype(np.float64, copy=False)
    positives = np.bincount(cell_N, rows.positives_N, cells).astype(np.float64, copy=False)
    both = negatives + positives
    filled = np.flatnonzero(both)
    total = np.bincount(cell_N, rows.score_N * (rows.negatives_N + rows.positives_N), cells)
    return Rows(total[filled] / both[filled], negatives[filled], positives[filled]), filled // num_bins
