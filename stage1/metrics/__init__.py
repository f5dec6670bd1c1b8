"""Numbers about predictions: arrays in, numbers out. Confidence is always "higher is surer"; rates are fractions.

    selective       risk-coverage curves, AURC, AUGRC        ranking     AUROC, failure AUROC
    classification  accuracy, MCC                            probability NLL, Brier, ECE and its expectation
    resampling      shared bootstrap weights                 weighted    the statistics that take them
    intervals       one call for one interval

Nothing here needs more than numpy.
"""

from stage1.metrics.classification import accuracy, mcc
from stage1.metrics.intervals import interval
from stage1.metrics.probability import Reliability, brier, ece, ece_expected, nll, reliability
from stage1.metrics.ranking import auroc, failure_auroc
from stage1.metrics.resampling import Interval, Resampler, WeightedStatistic, percentile
from stage1.metrics.selective import RiskCoverage, augrc, aurc, eaurc, risk_coverage
from stage1.metrics.weighted import (
    difference,
    weighted_augrc,
    weighted_auroc,
    weighted_generalized_risk,
    weighted_mcc,
    weighted_mean,
    weighted_ratio,
)

__all__ = [
    "Interval",
    "Reliability",
    "Resampler",
    "RiskCoverage",
    "WeightedStatistic",
    "accuracy",
    "augrc",
    "aurc",
    "auroc",
    "brier",
    "difference",
    "eaurc",
    "ece",
    "ece_expected",
    "failure_auroc",
    "interval",
    "mcc",
    "nll",
    "percentile",
    "reliability",
    "risk_coverage",
    "weighted_augrc",
    "weighted_auroc",
    "weighted_generalized_risk",
    "weighted_mcc",
    "weighted_mean",
    "weighted_ratio",
]
