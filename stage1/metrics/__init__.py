"""Numbers about predictions: arrays in, numbers out. Confidence is always "higher is surer"; rates are fractions.

    selective       risk-coverage curves, AURC, AUGRC        ranking     AUROC, failure AUROC
    selective_rates FNR, FPR, accuracy, coverage at a risk   probability NLL, Brier, ECE and its expectation
    classification  accuracy, MCC
    resampling      shared bootstrap weights                 weighted*   the statistics that take them
    augrc_draws     resampling AUGRC by its errors           pairs, bca  jackknife and BCa
    intervals       one call for one interval                analytic    AUGRC's interval without resampling

Nothing here needs more than numpy.
"""

from stage1.metrics.analytic import augrc_interval
from stage1.metrics.bca import bca
from stage1.metrics.classification import accuracy, mcc
from stage1.metrics.intervals import interval
from stage1.metrics.pairs import jackknife_augrc, jackknife_auroc
from stage1.metrics.probability import Reliability, brier, ece, ece_expected, nll, reliability
from stage1.metrics.ranking import auroc, failure_auroc
from stage1.metrics.resampling import Interval, Resampler, WeightedStatistic, percentile
from stage1.metrics.selective import RiskCoverage, augrc, aurc, eaurc, risk_coverage
from stage1.metrics.selective_rates import coverage_at_risk, selective_accuracy, selective_fnr, selective_fpr
from stage1.metrics.weighted import (
    difference,
    weighted_augrc,
    weighted_auroc,
    weighted_generalized_risk,
    weighted_mcc,
    weighted_mean,
    weighted_ratio,
)
from stage1.metrics.weighted_curves import (
    weighted_aurc,
    weighted_coverage_at_risk,
    weighted_eaurc,
    weighted_selective_accuracy,
    weighted_selective_fnr,
    weighted_selective_fpr,
)
from stage1.metrics.weighted_probability import weighted_brier, weighted_ece, weighted_nll

__all__ = [
    "Interval",
    "Reliability",
    "Resampler",
    "RiskCoverage",
    "WeightedStatistic",
    "accuracy",
    "augrc",
    "augrc_interval",
    "aurc",
    "auroc",
    "bca",
    "brier",
    "coverage_at_risk",
    "difference",
    "eaurc",
    "ece",
    "ece_expected",
    "failure_auroc",
    "interval",
    "jackknife_augrc",
    "jackknife_auroc",
    "mcc",
    "nll",
    "percentile",
    "reliability",
    "risk_coverage",
    "selective_accuracy",
    "selective_fnr",
    "selective_fpr",
    "weighted_augrc",
    "weighted_aurc",
    "weighted_auroc",
    "weighted_brier",
    "weighted_coverage_at_risk",
    "weighted_eaurc",
    "weighted_ece",
    "weighted_generalized_risk",
    "weighted_mcc",
    "weighted_mean",
    "weighted_nll",
    "weighted_ratio",
    "weighted_selective_accuracy",
    "weighted_selective_fnr",
    "weighted_selective_fpr",
]
