"""The outcome of known fits does not change without being seen (pinned.json; pinned.py says how to write it anew)."""

import json

import pytest

from tests.policy.pinned import CASES, FILE, outcome_of

PINNED = json.loads(FILE.read_text(encoding="utf-8"))


def assert_alike(found, expected, where):
    """Compare words and whole numbers exactly, other numbers to nine digits (platforms differ in the last)."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_alike(found[key], expected[key], f"{where}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_alike(one, other, f"{where}/{number}")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-6 if "dirichlet" in where else 1e-9, abs=1e-9), where
    else:
        assert (type(found), found) == (type(expected), expected), where


@pytest.mark.parametrize("name", CASES)
def test_a_known_fit_gives_what_it_gave(name):
    assert_alike(json.loads(json.dumps(outcome_of(name))), PINNED[name], name)


def test_nothing_is_pinned_that_is_not_asked():
    assert list(PINNED) == sorted(CASES)
    seen = {policy["evidence"]["bound_by"] for case in PINNED.values() for policy in case.values()}
    assert seen == {"aim", "certificate", "nothing", "expectation"}, "every way to stop is among them"
