"""How good probabilities are: NLL, Brier score, calibration error.

`probability` is P(y = 1) per image (N) or one row of class probabilities (NK, rows summing to 1). Gate on NLL and
Brier; a calibration error is biased upwards and depends on its bins, so it is shown beside `ece_expected`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from stage1.errors import BadData
from stage1.metrics.arrays import Bools, Floats, Integers, binary, refuse_rows, same_length, vector

Kind = Literal["top_label", "positive"]
Bins = Literal["width", "mass"]


@dataclass(frozen=True)
class Reliability:
    """One row (B) per bin that holds an image: its edges, count, mean probability and observed rate."""

    low: Floats
    high: Floats
    count: Integers
    mean_probability: Floats
    rate: Floats


def nll(probability: ArrayLike, label_N: ArrayLike, *, floor: float = 1e-12) -> float:
    """Return the mean negative log-likelihood in nats; probabilities below `floor` count as `floor` (finite)."""
    return float(nll_terms(probability, label_N, floor).mean())


def nll_terms(probability: ArrayLike, label_N: ArrayLike, floor: float) -> Floats:
    """Return each image's negative log-likelihood."""
    rows, labels = class_probabilities(probability, label_N)
    terms: Floats = -np.log(np.maximum(rows[np.arange(len(rows)), labels], floor))
    return terms


def brier(probability: ArrayLike, label_N: ArrayLike) -> float:
    """Return the Brier score: mean (p - y)^2 for P(y = 1), the sum over classes for rows of probabilities.

    >>> brier([0.5, 1.0], [1, 1])
    0.125
    """
    return float(brier_terms(probability, label_N).mean())


def brier_terms(probability: ArrayLike, label_N: ArrayLike) -> Floats:
    """Return each image's squared distance from the truth."""
    rows, labels = class_probabilities(probability, label_N)
    truth = np.zeros_like(rows)
    truth[np.arange(len(rows)), labels] = 1
    squared: Floats = ((rows - truth) ** 2).sum(axis=1)
    return squared / 2 if np.ndim(probability) == 1 else squared


def ece(
    probability: ArrayLike,
    label_N: ArrayLike,
    *,
    kind: Kind = "top_label",
    bins: Bins = "width",
    num_bins: int = 15,
) -> float:
    """Return the expected calibration error: the mean over images of |observed rate - mean probability| of their bin.

    Args:
        probability: P(y = 1) per image, or rows of class probabilities (`top_label` only).
        label_N: Class per image.
        kind: `top_label` bins the highest probability and asks how often that class is right; `positive` bins
            P(y = 1) and asks how often y is 1. They are different numbers.
        bins: Of equal width, (low, high] with 0 in the first; or of equal mass, tied values never parted.
        num_bins: At least 1; empty bins count nothing.

    Reference: Naeini et al., AAAI 2015; equal mass: Nguyen and O'Connor 2015.
    """
    table = reliability(probability, label_N, kind=kind, bins=bins, num_bins=num_bins)
    gap = np.abs(table.rate - table.mean_probability)
    return float((table.count * gap).sum() / table.count.sum())


def reliability(
    probability: ArrayLike,
    label_N: ArrayLike,
    *,
    kind: Kind = "positive",
    bins: Bins = "width",
    num_bins: int = 15,
) -> Reliability:
    """Return the table behind `ece` (same arguments), for a reliability diagram."""
    score, hit = judged(probability, label_N, kind)
    bin_N, edges = _binned(score, bins, num_bins)
    count = np.bincount(bin_N, minlength=len(edges) - 1)
    held = count > 0
    mean = np.bincount(bin_N, score, minlength=len(count))[held] / count[held]
    rate = np.bincount(bin_N, hit, minlength=len(count))[held] / count[held]
    return Reliability(edges[:-1][held], edges[1:][held], count[held], mean, rate)


def ece_expected(
    probability: ArrayLike,
    *,
    kind: Kind = "top_label",
    bins: Bins = "width",
    num_bins: int = 15,
    num_simulations: int = 200,
    seed: int = 0,
) -> float:
    """Return what `ece` would be, on average, were these probabilities perfectly calibrated.

    Labels are drawn from the probabilities; an `ece` near this value is no evidence of miscalibration.
    """
    placeholder = np.zeros(len(np.asarray(probability)))
    score, _ = judged(probability, placeholder, kind)
    bin_N, _ = _binned(score, bins, num_bins)
    expected = np.bincount(bin_N, score)
    rng = np.random.default_rng(seed)
    total = 0.0
    for _ in range(num_simulations):
        hit = rng.random(len(score)) < score
        total += float(np.abs(np.bincount(bin_N[hit], minlength=len(expected)) - expected).sum())
    return total / num_simulations / len(score)


def class_probabilities(probability: ArrayLike, label_N: ArrayLike) -> tuple[Floats, Integers]:
    """Return (rows of class probabilities, labels), both checked."""
    array = np.asarray(probability, dtype=np.float64)
    if array.ndim == 1:
        positive = vector("probability", array)
        labels = binary("label", label_N).astype(np.int64)
        rows = np.column_stack([1 - positive, positive])
    elif array.ndim == 2 and array.shape[1] >= 2:
        rows, labels = array, vector("label", label_N).astype(np.int64)
        sums = rows.sum(axis=1)
        refuse_rows("probability", ~(np.abs(sums - 1) < 1e-4), sums, "a sum of 1")
        refuse_rows("label", (labels < 0) | (labels >= rows.shape[1]), labels, f"a class below {rows.shape[1]}")
    else:
        raise BadData(f"probability needs shape (N,) or (N, K) with K >= 2, got {array.shape}.")
    same_length(probability=rows, label=labels)
    outside: Bools = np.any((rows < 0) | (rows > 1 + 1e-6), axis=1)
    refuse_rows("probability", outside, array, "numbers in [0, 1]")
    return rows, labels


def judged(probability: ArrayLike, label_N: ArrayLike, kind: Kind) -> tuple[Floats, Floats]:
    """Return (the probability that is judged, 1 where what it claims came true)."""
    rows, labels = class_probabilities(probability, label_N)
    if kind == "top_label":
        top = rows.argmax(axis=1)
        return rows[np.arange(len(rows)), top], (top == labels).astype(np.float64)
    if kind == "positive" and rows.shape[1] == 2:
        return rows[:, 1], (labels == 1).astype(np.float64)
    raise BadData(
        f"kind must be 'top_label', or 'positive' with two classes; got {kind!r} with {rows.shape[1]} classes."
    )


def check_bins(bins: Bins, num_bins: int) -> None:
    """Refuse bins that do not exist."""
    if num_bins < 1:
        raise BadData(f"num_bins must be at least 1, got {num_bins}.")
    if bins not in ("width", "mass"):
        raise BadData(f"bins must be 'width' or 'mass', got {bins!r}.")


def _binned(score_N: Floats, bins: Bins, num_bins: int) -> tuple[Integers, Floats]:
    """Return (bin of each score, edges of the bins)."""
    check_bins(bins, num_bins)
    if bins == "width":
        edges = np.linspace(0.0, 1.0, num_bins + 1)
    else:
        ranked = np.sort(score_N)
        inner = [ranked[int(cut) - 1] for cut in np.arange(1, num_bins) * len(ranked) / num_bins if cut >= 1]
        edges = np.unique(np.concatenate([[0.0], inner, [1.0]]))
    return np.clip(np.searchsorted(edges, score_N, side="left") - 1, 0, len(edges) - 2), edges
