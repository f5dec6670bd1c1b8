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


def test_every_public_name_exists_and_is_listed_in_order():
    assert room.__all__ == PUBLIC
    assert all(hasattr(room, name) for name in room.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
