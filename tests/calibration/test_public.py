"""What others may import from stage1.calibration, and that the examples in its docstrings are true."""

import doctest
import importlib
import pkgutil

import pytest

import stage1.calibration as room

MODULES = [module.name for module in pkgutil.walk_packages(room.__path__, room.__name__ + ".")]

PUBLIC = ["Dirichlet", "Platt", "Temperature"]


def test_every_public_name_exists_and_is_listed_in_order():
    assert room.__all__ == PUBLIC
    assert all(hasattr(room, name) for name in room.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
