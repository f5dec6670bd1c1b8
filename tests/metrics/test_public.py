"""What others may import from stage1.metrics, and that the examples in its docstrings are true."""

import doctest
import importlib
import pkgutil

import pytest

import stage1.metrics as room

MODULES = [module.name for module in pkgutil.walk_packages(room.__path__, room.__name__ + ".")]

PUBLIC = [
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


def test_every_public_name_exists_and_is_listed_in_order():
    assert room.__all__ == PUBLIC
    assert all(hasattr(room, name) for name in room.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
