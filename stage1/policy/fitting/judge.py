"""The two rules that stop a sweep: the certificate (the promise) and the aim (so that val_test confirms it).

Certificate: exact binomial p-value <= delta, for images in groups also that of Korn and Graubard's effective counts.
Aim: with k errors among m answered, the error rate beyond the (k+1)-th error's score is Beta(k + 1, m - k), so the
errors in an independent test are beta-binomial; the chance that they stay within what the test's bound allows must
reach the wanted probability.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, betaln, xlogy

from stage1.conformal import certifiable_misses_each, effective, p_values
from stage1.policy.base import BoundBy
from stage1.policy.fitting.counts import Counts, Integers

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Judge:
    """One error rate to be bounded.

    limit: tolerated rate; delta: of the certificate; confidence: of the test's own bound; aim: wanted chance to pass
    it; test_ratio: answered test images per answered calibration image.
    """

    limit: float
    delta: float
    confidence: float
    aim: float
    test_ratio: float

    def certified(self, counts: Counts) -> Bools:
        """Say for each candidate whether its p-value allows it."""
        errors, answered, _ = self._effective(counts)
        passed = self._passes(errors, answered)
        if counts.moments is not None:
            passed &= self._passes(counts.errors, counts.answered)
        return passed

    def _passes(self, errors_T: Floats | Integers, answered_T: Floats | Integers) -> Bools:
        """Compare p-values with delta; exact tails (a hundred times dearer) where Chernoff's bound leaves a doubt."""
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = errors_T / answered_T
            divergence = xlogy(rate, rate / self.limit) + xlogy(1 - rate, (1 - rate) / (1 - self.limit))
            passed: Bools = (rate < self.limit) & (answered_T * divergence >= -2 * np.log(self.delta))
        doubtful = np.flatnonzero(~passed)
        passed[doubtful] = p_values(errors_T[doubtful], answered_T[doubtful], self.limit) <= self.delta
        return passed

    def at(self, delta: float) -> "Judge":
        """Return the same judge with another delta for its certificate."""
        return replace(self, delta=delta)

    def most_among(self, answered: int) -> int:
        """Return the most errors among `answered` that the exact binomial test certifies, -1 when none would do."""
        return int(certifiable_misses_each([answered], self.limit, 1 - self.delta)[0])

    def most_joining(self, right: int) -> int:
        """Return the most errors that may join `right` right answers, -1 when not even none would be certified.

        Every error adds an answer and raises the p-value, so bisection finds it.
        """

        def passes(errors: int) -> bool:
            return bool(p_values([errors], [errors + right], self.limit)[0] <= self.delta)

        low, high = -1, 0
        while passes(high):
            low, high = high, 2 * high + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if passes(middle) else (low, middle)
        return low

    def pass_probability(self, counts: Counts) -> Floats:
        """Return each candidate's chance to pass an independent test of the expected size."""
        errors, answered, _ = self._effective(counts)
        tested = np.floor(answered * self.test_ratio + 1e-9).astype(np.int64)
        allowed = certifiable_misses_each(tested, self.limit, self.confidence)
        possible = (allowed >= 0) & (answered > errors)
        result = np.zeros(len(errors))
        for row in np.flatnonzero(possible):
            result[row] = _beta_binomial(allowed[row], tested[row], errors[row] + 1, answered[row] - errors[row])
        return result

    def upper(self, counts: Counts) -> Floats:
        """Return the upper bound of the rate at 1 - delta, the larger of the exact and the clustered one."""
        bounds = []
        for errors, answered in ((counts.errors, counts.answered), self._effective(counts)[:2]):
            some = np.asarray(errors) < np.asarray(answered)
            bound = np.ones(len(counts.errors))
            bound[some] = betaincinv(np.asarray(errors)[some] + 1, (answered - errors)[some], 1 - self.delta)
            bounds.append(bound)
        return np.maximum(*bounds)

    def design_effect(self, counts: Counts) -> Floats:
        """Return by how much groups inflate the variance of each candidate's error rate."""
        return self._effective(counts)[2]

    def _effective(self, counts: Counts) -> tuple[Floats, Floats, Floats]:
        errors, answered = counts.errors.astype(np.float64), counts.answered.astype(np.float64)
        if counts.moments is None or counts.num_groups is None:
            return errors, answered, np.ones(len(errors))
        result = effective(errors, answered, counts.moments, counts.num_groups, 1 - self.delta)
        return result.misses, result.positives, result.design_effect


@dataclass(frozen=True)
class Stop:
    """Where a sweep stopped: the last allowed candidate (-1: none), the rule that stopped it, the chance to pass."""

    candidate: int
    bound_by: BoundBy
    pass_probability: float


def _beta_binomial(most: int, trials: int, a: float, b: float) -> float:
    """Return P(X <= most) for a beta-binomial X; scipy.stats has it, some hundred times slower.

    Terms more than 40 standard deviations below the mean are left out: together they are below 1e-16.
    """
    mean = trials * a / (a + b)
    spread = np.sqrt(mean * b / (a + b) * (a + b + trials) / (a + b + 1))
    x = np.arange(max(0, int(mean - 40 * spread)), most + 1)
    log_p = betaln(x + a, trials - x + b) - betaln(trials - x + 1, x + 1) - betaln(a, b) - np.log(trials + 1)
    return float(min(np.exp(log_p).sum(), 1.0))


def stop(judge: Judge, counts: Counts) -> Stop:
    """Return the last candidate before the first failure of the certificate or, if stricter, of the aim.

    Where even the first candidate misses the aim but is certified, it is taken: the promise holds, and the chance to
    pass is told.
    """
    certified = judge.certified(counts)
    last = int(np.argmin(certified)) - 1 if not certified.all() else len(certified) - 1
    if last < 0:
        return Stop(-1, "certificate", 0.0)
    aimed = _last_aimed(judge, counts, last)
    taken = max(aimed, 0)
    chance = float(judge.pass_probability(counts.take(slice(taken, taken + 1)))[0])
    bound_by: BoundBy = "aim" if aimed < last else "certificate" if last < len(certified) - 1 else "nothing"
    return Stop(taken, bound_by, chance)


def _last_aimed(judge: Judge, counts: Counts, last: int) -> int:
    """Bisect for the last candidate that meets the aim; the chance falls along a sweep."""

    def aimed(candidate: int) -> bool:
        return bool(judge.pass_probability(counts.take(slice(candidate, candidate + 1)))[0] >= judge.aim)

    low, high, step = -1, 0, 1
    while high <= last and aimed(high):
        low, high, step = high, high + step, 2 * step
    high = min(high, last + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if aimed(middle) else (low, middle)
    return low
