"""AUGRC from the counts of groups: the same number as on the repeated rows, to the last bit that matters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stage1.metrics import Resampler, augrc, difference, interval, percentile, weighted_augrc
from stage1.metrics.augrc_groups import AugrcOfGroups

rows = st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), min_size=1, max_size=25)


@given(rows, st.lists(st.tuples(*[st.integers(0, 3)] * 4), min_size=1, max_size=20))
def test_counts_mean_the_same_as_repeated_rows(triples, drawn):
    confidence = np.array([c for c, _, _ in triples], dtype=float)
    error = np.array([e for _, e, _ in triples])
    group = np.array([g for _, _, g in triples])
    # A resample without an image has no AUGRC: its group 0 to 3 are drawn once more.
    counts = [np.array(c) + (not np.array(c)[group].any()) for c in drawn]
    found = AugrcOfGroups(confidence, error, group, 4)(counts)
    expected = [augrc(np.repeat(confidence, c[group]), np.repeat(error, c[group])) for c in counts]
    assert found == pytest.approx(np.array(expected), abs=1e-14)


@pytest.mark.parametrize("size", [1, 7, 300, 40_000])
def test_one_group_of_ties_drawn_often_does_not_overflow(size):
    # All tied: the drawn share of errors, halved, whatever the counts.
    confidence, error = np.zeros(2 * size), np.arange(2 * size) < size
    of_groups = AugrcOfGroups(confidence, error, error.astype(np.int64), 2)
    counts = [np.array([3, 1]), np.array([1, 0]), np.array([0, 2]), np.array([120, 140])]
    assert of_groups(counts) == pytest.approx(np.array([1 / 8, 0, 1 / 2, 140 / 260 / 2]), abs=1e-15)


@pytest.mark.parametrize(("error", "value"), [([0, 0, 0], 0.0), ([1, 1, 1], 0.5)])
def test_samples_of_one_kind(error, value):
    of_groups = AugrcOfGroups(np.array([1.0, 2.0, 3.0]), np.array(error, dtype=bool), np.array([0, 0, 1]), 2)
    assert of_groups([np.array([1, 1]), np.array([2, 0])]) == pytest.approx(np.full(2, value))


@pytest.mark.parametrize("elements", [1, 100, 4_000_000])
def test_blocks_do_not_change_the_values(monkeypatch, elements):
    rng = np.random.default_rng(0)
    confidence, error, groups = rng.normal(size=90).round(1), rng.random(90) < 0.3, np.arange(90) // 3
    monkeypatch.setattr("stage1.metrics.augrc_groups._BLOCK_ELEMENTS", elements)
    resampler = Resampler(90, groups, num_resamples=35, seed=1)
    found = AugrcOfGroups(confidence, error, resampler.unit_N, resampler.num_units)(resampler.counts())
    assert found == pytest.approx(resampler.evaluate({"a": weighted_augrc(confidence, error)})["a"], abs=1e-14)


@pytest.mark.parametrize("groups", [None, np.arange(300) % 40])
def test_paired_differences_are_those_of_shared_weights(groups):
    rng = np.random.default_rng(2)
    confidence, error, other = rng.normal(size=300), rng.random(300) < 0.2, rng.random(300) < 0.3
    found = interval(augrc, confidence, error, minus=(-confidence, other), groups=groups, num_resamples=100, seed=3)
    weighted = difference(weighted_augrc(confidence, error), weighted_augrc(-confidence, other))
    resampler = Resampler(300, groups, num_resamples=100, seed=3)
    expected = percentile(resampler.observed(weighted), resampler.evaluate({"d": weighted})["d"])
    assert (found.value, found.low, found.high) == pytest.approx(
        (expected.value, expected.low, expected.high), abs=1e-14
    )
