"""Error rates of a policy with one-sided upper bounds, and the numbers that carry intervals.

Three rates that people mix up are kept apart: misses among the answered positives (the gate's), misses over all
positives, and P(miss) over all images.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stage1.conformal import upper_bound
from stage1.evaluation.rows import TestRows
from stage1.metrics import Resampler, WeightedStatistic, weighted_augrc, weighted_mean, weighted_ratio
from stage1.policy import ExitPolicy

Number = float | None


def number(value: float) -> Number:
    """A JSON number, or None where there is none."""
    return float(value) if math.isfinite(value) else None


def intervals(
    resampler: Resampler, statistics: Mapping[str, WeightedStatistic], confidence: float
) -> dict[str, dict[str, Number]]:
    """Return every statistic with its interval as JSON.

    One group has no spread to resample: its interval would have no width and look like certainty, so it has no ends,
    and whatever needs an end refuses.
    """
    found = resampler.intervals(statistics, confidence)
    seen = resampler.num_units > 1
    return {
        name: {
            "value": number(interval.value),
            "low": number(interval.low) if seen else None,
            "high": number(interval.high) if seen else None,
        }
        for name, interval in found.items()
    }


def augrc_interval(
    found: dict[str, Number], wrong_N: NDArray[np.bool_], groups_N: NDArray[np.object_], confidence: float
) -> dict[str, Number]:
    """Return the interval of AUGRC; without a single mistake, an end that the number of images supports.

    Resampling rows that hold no mistake gives 0 every time, as if 20 images and 20,000 proved the same. A classifier
    that errs at the rate p has at most p - p^2/2, reached where its mistakes are what it is surest of (the closed form
    with every mistake above every right answer); so the end is that of the upper bound of p.
    """
    if wrong_N.any() or found["high"] is None:
        return found
    rate = upper_bound(wrong_N, groups_N, (1 + confidence) / 2).upper
    return {**found, "high": number(rate - rate**2 / 2)}


def error_rate(
    error_M: NDArray[np.bool_], groups_M: NDArray[np.object_], confidence: float, errors: str, total: str
) -> dict[str, Any]:
    """Return a rate with its one-sided upper bound: the larger of exact and cluster-aware.

    Args:
        error_M: One entry for each of the images (M) that the rate is about; none gives no value and the bound 1.
        groups_M: Their groups.
        confidence: Of the bound.
        errors, total: What the two counts are called.
    """
    bound = upper_bound(error_M, groups_M, confidence)
    return {
        "value": number(bound.value),
        "upper": number(bound.upper),
        errors: int(error_M.sum()),
        total: len(error_M),
        "bound": bound.bound,
        "design_effect": number(bound.design_effect),
    }


def policy_rates(policy: ExitPolicy, rows: TestRows, confidence: float) -> dict[str, Any]:
    """Return the counts and bounded error rates of a policy on the test rows."""
    decisions = policy.decide(rows.logits_N2, rows.gate_N)
    answered_N, positive_N = decisions.answered, rows.positive_N
    called_N = decisions.label == 1
    miss_N = answered_N & positive_N & ~called_N
    alarm_N = answered_N & ~positive_N & called_N
    groups_N = rows.groups_N
    answered_pos, answered_neg = answered_N & positive_N, answered_N & ~positive_N
    return {
        "fnr_answered": error_rate(miss_N[answered_pos], groups_N[answered_pos], confidence, "misses", "positives"),
        "fpr_answered": error_rate(
            alarm_N[answered_neg], groups_N[answered_neg], confidence, "false_alarms", "negatives"
        ),
        "fnr_all": error_rate(miss_N[positive_N], groups_N[positive_N], confidence, "misses", "positives"),
        "p_miss": error_rate(miss_N, groups_N, confidence, "misses", "images"),
        "confusion": {
            "answered_tp": int((answered_pos & called_N).sum()),
            "answered_fn": int(miss_N.sum()),
            "answered_tn": int((answered_neg & ~called_N).sum()),
            "answered_fp": int(alarm_N.sum()),
            "deferred_pos": int((~answered_N & positive_N).sum()),
            "deferred_neg": int((~answered_N & ~positive_N).sum()),
        },
    }


def policy_intervals(policy: ExitPolicy, rows: TestRows, resampler: Resampler, confidence: float) -> dict[str, Any]:
    """Return coverage, accuracy among the answered and AUGRC with bootstrap intervals.

    AUGRC asks how well the policy's confidence ranks the classifier's mistakes (the more probable class is wrong),
    whatever label the policy's thresholds would give.
    """
    decisions = policy.decide(rows.logits_N2, rows.gate_N)
    answered_N = decisions.answered
    right_N = answered_N & ((decisions.label == 1) == rows.positive_N)
    found = intervals(
        resampler,
        {
            "coverage": weighted_mean(answered_N.astype(float)),
            "accuracy_answered": weighted_ratio(right_N.astype(float), answered_N.astype(float)),
            "augrc": weighted_augrc(policy.confidence(rows.logits_N2, rows.gate_N), rows.wrong_N),
        },
        confidence,
    )
    found["augrc"] = augrc_interval(found["augrc"], rows.wrong_N, rows.groups_N, confidence)
    return found
