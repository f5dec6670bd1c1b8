"""Sums over pairs of images, and what each image or group contributes to them: for jackknife and analytic intervals.

AUGRC and AUROC are sums over pairs (i, j) of a_i b_j s(i, j), s = 1 where j scores below i and 1/2 where they tie. One
sort gives every image's share, so leaving each image or group out once costs n log n, not n times n.

Legend: N images, G groups.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from stage1.metrics.arrays import Bools, Floats, Integers, binary, group_codes, quotient, scored


@dataclass(frozen=True)
class PairSums:
    """The sum over all pairs, and per group what it takes part in.

    touched: pairs whose first member is in the group plus pairs whose second is; within: pairs with both in it.
    first, second, images: the sums of a, of b and of 1 over the group.
    """

    total: float
    touched_G: Floats
    within_G: Floats
    first_G: Floats
    second_G: Floats
    images_G: Floats

    @property
    def left_out_G(self) -> Floats:
        """The sum over pairs without each group."""
        left: Floats = self.total - self.touched_G + self.within_G
        return left


def pair_sums(score_N: Floats, first_N: Floats, second_N: Floats, groups_N: ArrayLike | None = None) -> PairSums:
    """Return the sums of first_i * second_j * s(i, j); groups of one where `groups_N` is None."""
    codes, num_groups = group_codes(groups_N, len(score_N))
    together = np.zeros(len(score_N), dtype=np.int64)

    def per_group(values_N: Floats) -> Floats:
        sums: Floats = np.bincount(codes, values_N, minlength=num_groups).astype(np.float64)
        return sums

    as_first = first_N * weight_beneath(score_N, second_N, together)
    as_second = second_N * (first_N.sum() - weight_beneath(score_N, first_N, together))
    inside = first_N * weight_beneath(score_N, second_N, codes)
    return PairSums(
        float(as_first.sum()),
        per_group(as_first + as_second),
        per_group(inside),
        per_group(first_N),
        per_group(second_N),
        np.bincount(codes, minlength=num_groups).astype(np.float64),
    )


def weight_beneath(score_N: Floats, weight_N: Floats, codes_N: Integers) -> Floats:
    """Return, per image, the weight of its group's images that score below it, ties (itself among them) at half."""
    order = np.lexsort((score_N, codes_N))
    score, code = score_N[order], codes_N[order]
    cumulated = np.append(0.0, np.cumsum(weight_N[order]))
    new_code = np.append(True, code[1:] != code[:-1])
    new_run = new_code | np.append(True, score[1:] != score[:-1])
    starts = np.flatnonzero(new_run)
    ends = np.append(starts[1:], len(order))
    halfway = (cumulated[starts] + cumulated[ends]) / 2
    base = cumulated[np.flatnonzero(new_code)]
    result = np.empty(len(order))
    result[order] = halfway[np.cumsum(new_run) - 1] - base[np.cumsum(new_code) - 1]
    return result


def augrc_sums(confidence_N: ArrayLike, error_N: ArrayLike, groups_N: ArrayLike | None = None) -> PairSums:
    """Return the pairs behind AUGRC: a wrong image and any image less sure than it."""
    confidence, error = scored(confidence_N, error_N)
    return pair_sums(confidence, error.astype(np.float64), np.ones(len(error)), groups_N)


def jackknife_augrc(confidence_N: ArrayLike, error_N: ArrayLike, groups_N: ArrayLike | None = None) -> Floats:
    """Return AUGRC without each image, or without each group, in n log n; NaN where nothing is left."""
    sums = augrc_sums(confidence_N, error_N, groups_N)
    return quotient(sums.left_out_G, (sums.images_G.sum() - sums.images_G) ** 2)


def jackknife_auroc(score_N: ArrayLike, label_N: ArrayLike, groups_N: ArrayLike | None = None) -> Floats:
    """Return AUROC without each image, or without each group, in n log n; NaN where a class is missing."""
    score, label = scored(score_N, label_N, "score", "label")
    sums = pair_sums(score, label.astype(np.float64), (~label).astype(np.float64), groups_N)
    positives, negatives = sums.first_G.sum() - sums.first_G, sums.second_G.sum() - sums.second_G
    return quotient(sums.left_out_G, positives * negatives)


def jackknife_failure_auroc(confidence_N: ArrayLike, error_N: ArrayLike, groups_N: ArrayLike | None = None) -> Floats:
    """Return the AUROC of failure without each image or group."""
    right: Bools = ~binary("error", error_N)
    return jackknife_auroc(confidence_N, right, groups_N)
