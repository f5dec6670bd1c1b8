"""Counts along a sweep: how errors and answers add up as a threshold passes one score after another.

Legend: N swept rows in the order in which they become errors, T candidates (before the first score, then one per
distinct score), G groups.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """One entry per candidate; moments and num_groups are None for independent images."""

    errors: Integers
    answered: Integers
    moments: Floats | None = None
    num_groups: Integers | None = None

    def take(self, candidates: slice | Integers) -> "Counts":
        """Return some candidates."""
        return Counts(
            self.errors[candidates],
            self.answered[candidates],
            None if self.moments is None else self.moments[candidates],
            None if self.num_groups is None else self.num_groups[candidates],
        )


def one(miss_N: NDArray[np.bool_], groups_N: Integers | None) -> Counts:
    """Return the counts of a single rule: which of its answered images are errors."""
    errors, answered = np.array([miss_N.sum()]), np.array([len(miss_N)])
    if groups_N is None:
        return Counts(errors, answered)
    size = np.bincount(groups_N).astype(np.float64)
    wrong = np.bincount(groups_N, miss_N)
    moments = np.array([[(wrong**2).sum(), (wrong * size).sum(), (size**2).sum()]])
    return Counts(errors, answered, moments, np.array([(size > 0).sum()]))


def sweep(
    scores_N: Floats, groups_N: Integers | None, base_groups: Integers | None, num_base: int, *, joining: bool
) -> Counts:
    """Count along a sweep in which every row of `scores_N`, in the given order, becomes an error.

    Args:
        scores_N: Sorted either way; rows of one score turn together.
        groups_N: Their groups, or None.
        base_groups: Groups of the images that are answered, and right, throughout; None without groups.
        num_base: Their number.
        joining: True when a row is answered only once it is an error (it was deferred before); False when the rows are
            answered throughout and `base` includes them.
    """
    ends = np.flatnonzero(np.append(scores_N[1:] != scores_N[:-1], True)) if len(scores_N) else np.empty(0, np.int64)
    errors = np.append(0, ends + 1)
    answered = num_base + (errors if joining else np.zeros_like(errors))
    if groups_N is None or base_groups is None:
        return Counts(errors, answered)
    base_G = np.bincount(base_groups, minlength=int(groups_N.max(initial=-1)) + 1).astype(np.float64)
    before = _occurrences_before(groups_N)
    size = base_G[groups_N] + (before if joining else 0)
    wrong2 = 2.0 * before + 1
    product = before + size + 1 if joining else size
    size2 = 2 * size + 1 if joining else np.zeros(len(size))
    start = np.array([[0.0, 0.0, (base_G**2).sum()]])
    moments = np.concatenate([start, start + np.cumsum(np.column_stack([wrong2, product, size2]), axis=0)])
    fresh = np.cumsum((size == 0) & (before == 0)) if joining else np.zeros(len(size), dtype=np.int64)
    groups = (base_G > 0).sum() + np.append(0, fresh)
    return Counts(errors, answered, moments[errors], groups[errors])


def _occurrences_before(groups_N: Integers) -> Floats:
    """Return, for each row, how many earlier rows have its group."""
    order = np.argsort(groups_N, kind="stable")
    ranked = groups_N[order]
    first = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1])) if len(ranked) else np.empty(0, np.int64)
    starts = np.repeat(first, np.diff(np.append(first, len(ranked))))
    before = np.empty(len(groups_N), dtype=np.float64)
    before[order] = np.arange(len(groups_N)) - starts
    return before
