"""What others may import from stage1.conformal, and that the examples in its docstrings are true."""

import doctest
import importlib
import pkgutil

import pytest

import stage1.conformal as room

MODULES = [module.name for module in pkgutil.walk_packages(room.__path__, room.__name__ + ".")]

PUBLIC = [
    "Bound",
    "Effective",
    "ScrcThresholds",
    "allowed_losses",
    "certifiable_misses",
    "certifiable_misses_each",
    "crc_needs",
    "crc_threshold",
    "effective",
    "fnr_upper_bound",
    "hoeffding_bentkus_bound",
    "hoeffding_bentkus_needs",
    "hoeffding_bentkus_p_values",
    "korn_graubard",
    "ltt",
    "p_values",
    "positives_needed",
    "scrc_i",
    "scrc_i_needs",
    "scrc_i_v2",
    "scrc_i_v2_needs",
    "scrc_t",
    "upper_bound",
]


def test_every_public_name_exists_and_is_listed_in_order():
    assert room.__all__ == PUBLIC
    assert all(hasattr(room, name) for name in room.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
