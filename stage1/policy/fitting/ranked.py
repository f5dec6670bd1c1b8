"""One class of val_calib in the order of its margins, sorted once and read by every rule that is tried.

Legend: N rows of the class, ascending margins.
"""

from dataclasses import dataclass

import numpy as np

from stage1.policy.fitting.counts import Counts, Integers, sweep
from stage1.policy.fitting.judge import Judge
from stage1.policy.predictions import Bools, Floats, Predictions


@dataclass(frozen=True)
class Ranked:
    """rows_N: row numbers in the predictions; d_N: their margins, ascending; groups_N: their groups, or None."""

    rows_N: Integers
    d_N: Floats
    groups_N: Integers | None

    def __len__(self) -> int:
        return len(self.d_N)

    @classmethod
    def positives(cls, predictions: Predictions) -> "Ranked":
        """Return the positives in order."""
        return cls._of(predictions, predictions.positives_in_order)

    @classmethod
    def negatives(cls, predictions: Predictions) -> "Ranked":
        """Return the negatives in order."""
        return cls._of(predictions, predictions.negatives_in_order)

    @classmethod
    def _of(cls, predictions: Predictions, rows_N: Integers) -> "Ranked":
        return cls(rows_N, predictions.margin[rows_N], predictions.group_codes(rows_N))

    def take(self, kept: slice | Bools | Integers) -> "Ranked":
        """Return some rows, still ascending."""
        return Ranked(self.rows_N[kept], self.d_N[kept], None if self.groups_N is None else self.groups_N[kept])

    def misses_below(self, start: int, judge: Judge) -> tuple[Counts, Floats]:
        """Sweep negative_below upwards: rows before `start` become errors one score after another, the rest are right.

        Returns:
            Counts of the candidates as far as the plain binomial test can carry, one beyond included, and the distinct
            margins between them.
        """
        reach = _whole_tie(self.d_N[:start], judge.most_joining(len(self) - start) + 1)
        swept, right = self.take(slice(0, reach)), self.take(slice(start, None))
        counts = sweep(swept.d_N, swept.groups_N, right.groups_N, len(right), joining=True)
        return counts, np.unique(swept.d_N)

    def alarms_from_above(self, judge: Judge) -> tuple[Counts, Floats]:
        """Sweep positive_from downwards: rows become errors from the highest margin on; all are answered throughout.

        Returns:
            Counts of the candidates as far as the plain binomial test can carry, one beyond included, and the distinct
            margins between them, descending.
        """
        descending = -self.d_N[::-1]
        reach = _whole_tie(descending, judge.most_among(len(self)) + 1)
        groups = None if self.groups_N is None else self.groups_N[::-1][:reach]
        counts = sweep(descending[:reach], groups, self.groups_N, len(self), joining=False)
        return counts, -np.unique(descending[:reach])


def parting(distinct: Floats, taken: int) -> float:
    """Return the threshold that lets the `taken` highest of the descending scores through and no more."""
    failing = float(distinct[taken])
    if taken == 0:
        return float(np.nextafter(failing, np.inf))
    return float(max((failing + float(distinct[taken - 1])) / 2, np.nextafter(failing, np.inf)))


def _whole_tie(scores_N: Floats, count: int) -> int:
    """Return how many leading rows hold the first `count` and whatever is tied with the last of them."""
    if count >= len(scores_N):
        return len(scores_N)
    return int(np.searchsorted(scores_N, scores_N[max(count, 1) - 1], side="right"))
