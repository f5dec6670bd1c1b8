"""AUGRC, AURC and risk-coverage: published vectors, the definition, and what no ranking may change."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stage1.errors import BadData
from stage1.metrics import augrc, aurc, auroc, eaurc, failure_auroc, risk_coverage, weighted_generalized_risk
from stage1.metrics.weighted import distinct

rows = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40)


def unpack(pairs):
    return np.array([c for c, _ in pairs], dtype=float), np.array([e for _, e in pairs])


def by_definition(confidence, error):
    """Area under (coverage, P(wrong and accepted)), one point per distinct threshold, trapezoids from (0, 0)."""
    points = [(0.0, 0.0)]
    for threshold in sorted(set(confidence), reverse=True):
        accepted = confidence >= threshold
        points.append((accepted.mean(), (accepted & error).mean()))
    return sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in itertools.pairwise(points))


def test_augrc_of_the_published_vectors():
    confidence = [0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.51]
    assert augrc(confidence, [0, 0, 1, 0, 0, 1, 0, 1, 0, 1]) == pytest.approx(0.15, abs=1e-15)
    assert augrc([0.9, 0.8, 0.7, 0.6], [0, 0, 0, 1]) == 0.03125


@given(rows)
def test_augrc_is_the_area_under_the_generalized_risk_curve(pairs):
    confidence, error = unpack(pairs)
    assert augrc(confidence, error) == pytest.approx(by_definition(confidence, error), abs=1e-12)


@given(rows, st.randoms())
def test_augrc_does_not_depend_on_the_order_of_rows(pairs, random):
    shuffled = random.sample(pairs, len(pairs))
    assert augrc(*unpack(shuffled)) == augrc(*unpack(pairs))


@given(rows)
def test_augrc_follows_from_accuracy_and_failure_auroc(pairs):
    confidence, error = unpack(pairs)
    wrong = error.mean()
    if 0 < wrong < 1:
        expected = (1 - failure_auroc(confidence, error)) * wrong * (1 - wrong) + wrong**2 / 2
        assert augrc(confidence, error) == pytest.approx(expected, abs=1e-12)


@given(rows)
def test_augrc_lies_between_a_perfect_ranking_and_half(pairs):
    confidence, error = unpack(pairs)
    assert error.mean() ** 2 / 2 - 1e-12 <= augrc(confidence, error) <= 0.5


@given(rows)
def test_a_monotone_map_of_the_confidence_changes_nothing(pairs):
    confidence, error = unpack(pairs)
    assert augrc(np.exp(confidence), error) == augrc(confidence, error)
    assert aurc(np.exp(confidence), error) == aurc(confidence, error)


def test_extreme_classifiers():
    confidence = np.arange(10.0)
    assert augrc(confidence, np.zeros(10)) == 0
    assert aurc(confidence, np.zeros(10)) == 0
    assert augrc(confidence, np.ones(10)) == 0.5
    assert aurc(confidence, np.ones(10)) == 1
    assert eaurc(confidence, np.ones(10)) == 0


def test_equal_scores_are_one_step():
    curve = risk_coverage(np.ones(4), [0, 1, 0, 0])
    assert curve.coverage.tolist() == [1.0]
    assert curve.selective_risk.tolist() == [0.25]
    assert curve.generalized_risk.tolist() == [0.25]
    assert augrc(np.ones(4), [0, 1, 0, 0]) == 0.25 / 2


def test_risk_coverage_by_hand():
    curve = risk_coverage([3, 2, 2, 1], [0, 1, 0, 1])
    assert curve.threshold.tolist() == [3, 2, 1]
    assert curve.coverage.tolist() == [0.25, 0.75, 1.0]
    assert curve.selective_risk.tolist() == [0, 1 / 3, 0.5]
    assert curve.generalized_risk.tolist() == [0, 0.25, 0.5]
    # Trapezoids, the first risk held down to coverage 0: 0 + (0 + 1/3) / 2 * 0.5 + (1/3 + 1/2) / 2 * 0.25
    assert aurc([3, 2, 2, 1], [0, 1, 0, 1]) == pytest.approx(1 / 12 + 5 / 48)


def test_the_generalized_risk_starts_at_nothing_and_is_linear():
    # Accepted together: one of the four at c = 3, wrong; then all, two wrong.
    band = weighted_generalized_risk([3, 2, 2, 2], [1, 0, 1, 0], [0, 0.125, 0.25, 0.625, 1])
    assert band(np.ones((1, 4)))[0] == pytest.approx([0, 0.125, 0.25, 0.375, 0.5], abs=1e-15)


def test_ties_keep_the_order_of_their_rows():
    order, last = distinct(np.tile([1.0, 0.0], 500))
    assert order.tolist() == [*range(1, 1000, 2), *range(0, 1000, 2)]
    assert last.tolist() == [499, 999]


def test_auroc_counts_ties_half():
    assert auroc([1, 1, 2], [0, 1, 1]) == (0.5 + 1) / 2
    assert np.isnan(auroc([1, 2], [1, 1]))


@pytest.mark.parametrize(
    ("confidence", "error", "message"),
    [
        ([1.0, np.nan], [0, 1], "confidence needs a finite number in every row; row 1 of 2"),
        ([1.0, 2.0], [0, 2], "error needs 0 or 1 in every row; row 1 of 2 holds 2"),
        ([], [], "confidence is empty"),
        ([1.0, 2.0], [0], "{'confidence': 2, 'error': 1}"),
        ([[1.0]], [0], r"got an array of shape \(1, 1\)"),
    ],
)
def test_bad_arrays_are_refused_by_the_row(confidence, error, message):
    with pytest.raises(BadData, match=message):
        augrc(confidence, error)
