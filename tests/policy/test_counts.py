"""Counts along a sweep equal counting afresh at every candidate, with groups and ties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stage1.policy.fitting.counts import one, sweep

pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), max_size=25)


def afresh(miss, groups):
    counted = one(np.asarray(miss, dtype=bool), np.asarray(groups, dtype=np.int64))
    return counted.errors[0], counted.answered[0], counted.moments[0].tolist(), counted.num_groups[0]


@given(pairs, pairs, st.booleans())
def test_a_sweep_is_counting_again_and_again(swept, base, joining):
    swept = sorted(swept)
    scores = np.array([s for s, _ in swept], dtype=float)
    groups = np.array([g for _, g in swept], dtype=np.int64)
    others = np.array([g for _, g in base], dtype=np.int64)
    throughout = others if joining else np.concatenate([groups, others])
    counts = sweep(scores, groups, throughout, len(throughout), joining=joining)
    for candidate, errors in enumerate(counts.errors):
        wrong = np.arange(len(swept)) < errors
        rows = wrong if joining else np.ones(len(swept), dtype=bool)
        miss = np.concatenate([wrong[rows], np.zeros(len(others), dtype=bool)])
        expected = afresh(miss, np.concatenate([groups[rows], others]))
        found = counts.take(slice(candidate, candidate + 1))
        assert (found.errors[0], found.answered[0]) == expected[:2]
        assert found.moments[0] == pytest.approx(expected[2])
        assert found.num_groups[0] == expected[3]
    # Candidates lie between distinct scores, never inside a tie.
    assert counts.errors.tolist() == [0, *np.cumsum(np.unique(scores, return_counts=True)[1]).tolist()]


def test_independent_images_have_no_moments():
    counts = sweep(np.array([1.0, 1.0, 2.0]), None, None, 10, joining=True)
    assert (counts.errors.tolist(), counts.answered.tolist()) == ([0, 2, 3], [10, 12, 13])
    assert counts.moments is None
    assert one(np.array([True, False]), None).answered.tolist() == [2]
