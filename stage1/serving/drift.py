"""How far the latest answers have moved from what the bundle said of val_test.

PSI, the population stability index over the reference's bins: sum_i (a_i - e_i) ln(a_i / e_i), with a the shares in
service and e those of val_test, half an image added to every bin so that an empty one is no infinity. 0 is no change;
by custom 0.1 is worth a look and 0.25 is a shift. Chance alone gives about (bins - 1)(1/n + 1/m) for n and m images.

Shapes: N images.
"""

import threading
from collections import deque
from collections.abc import Sequence

import numpy as np

from stage1.bundle import Answer
from stage1.bundle.reference import OUTCOMES, Reference


def outcome_of(answer: Answer, positive: str) -> str:
    """Return one of OUTCOMES."""
    if answer.answer == "defer":
        return "defer"
    return "exit_positive" if answer.label == positive else "exit_negative"


def psi(counts: Sequence[int], reference: Sequence[int]) -> float:
    """Return the population stability index of two histograms over the same bins.

    >>> round(psi([10, 10], [10, 10]), 4)
    0.0
    """
    a = (np.asarray(counts, np.float64) + 0.5) / (sum(counts) + 0.5 * len(counts))
    e = (np.asarray(reference, np.float64) + 0.5) / (sum(reference) + 0.5 * len(reference))
    return float(np.sum((a - e) * np.log(a / e)))


class Window:
    """The latest answers of one bundle. Safe for any number of threads."""

    def __init__(self, reference: Reference | None, size: int) -> None:
        """Compare with `reference`, where there is one, over the latest `size` images."""
        self.reference = reference
        self._lock = threading.Lock()
        self._seen: deque[tuple[str, int | None]] = deque(maxlen=size)
        self._outcomes = dict.fromkeys(OUTCOMES, 0)
        self._bins = [0] * (len(reference.counts) if reference else 0)

    def add(self, outcomes: Sequence[str], probability_N: Sequence[float]) -> None:
        """Take in answers: outcomes of OUTCOMES and P(positive), NaN where the model gave no finite number."""
        bins: list[int | None] = [None] * len(outcomes)
        if self.reference is not None:
            bins = [
                int(index) if np.isfinite(probability) else None
                for index, probability in zip(self.reference.bins_N(probability_N), probability_N, strict=True)
            ]
        with self._lock:
            for entry in zip(outcomes, bins, strict=True):
                if len(self._seen) == self._seen.maxlen:
                    self._count(*self._seen[0], -1)
                self._seen.append(entry)
                self._count(*entry, 1)

    def _count(self, outcome: str, index: int | None, step: int) -> None:
        self._outcomes[outcome] += step
        if index is not None:
            self._bins[index] += step

    @property
    def num_images(self) -> int:
        """Images in the window."""
        return len(self._seen)

    @property
    def deferral_rate(self) -> float:
        """Share of the window that was deferred; NaN while it is empty."""
        with self._lock:
            return self._outcomes["defer"] / len(self._seen) if self._seen else float("nan")

    @property
    def score_psi(self) -> float:
        """PSI of P(positive) in the window; NaN while it is empty or where the bundle carries no reference."""
        with self._lock:
            if self.reference is None or not sum(self._bins):
                return float("nan")
            return psi(self._bins, self.reference.counts)
