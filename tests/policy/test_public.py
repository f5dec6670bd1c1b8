"""What others may import from stage1.policy, and that the examples in its docstrings are true."""

import doctest
import importlib
import pkgutil

import pytest

import stage1.policy as room

MODULES = [module.name for module in pkgutil.walk_packages(room.__path__, room.__name__ + ".")]

PUBLIC = [
    "POLICIES",
    "POLICY_FILES",
    "Aim",
    "CalibrateConfig",
    "Constraint",
    "Decisions",
    "Evidence",
    "ExitPolicy",
    "GatePolicy",
    "Plan",
    "PlanRow",
    "PolicyName",
    "Predictions",
    "Price",
    "ScrcOptions",
    "ScrcPolicy",
    "SoftmaxPolicy",
    "aimed_misses",
    "certify_probability",
    "choose",
    "coverage",
    "dumps",
    "fit",
    "fit_all",
    "load_policy",
    "plan",
    "positives_for_power",
    "price",
    "price_columns",
    "write_policy",
]


def test_every_public_name_exists_and_is_listed_in_order():
    assert room.__all__ == PUBLIC
    assert all(hasattr(room, name) for name in room.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
