"""Rates among the accepted and coverage at a risk: by hand, exact at the edge, and equal on every weighted path."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stage1.errors import BadConfig, BadData
from stage1.metrics import (
    aurc,
    brier,
    coverage_at_risk,
    eaurc,
    ece,
    interval,
    nll,
    selective_accuracy,
    selective_fnr,
    selective_fpr,
    weighted_aurc,
    weighted_brier,
    weighted_coverage_at_risk,
    weighted_eaurc,
    weighted_ece,
    weighted_nll,
    weighted_selective_accuracy,
    weighted_selective_fnr,
    weighted_selective_fpr,
)

CONFIDENCE = [0.9, 0.8, 0.8, 0.7, 0.6]
PREDICTION = [1, 0, 1, 0, 1]
LABEL = [1, 1, 0, 0, 0]
rows = st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.booleans(), st.integers(0, 3)), min_size=1, max_size=25)


@pytest.mark.parametrize(
    ("chosen", "right", "fnr", "fpr"),
    [
        ({"coverage": 0.2}, 1, 0, np.nan),
        ({"coverage": 0.21}, 1 / 3, 1 / 2, 1),  # the tied pair comes whole
        ({"coverage": 0.6}, 1 / 3, 1 / 2, 1),
        ({"coverage": 0.8}, 2 / 4, 1 / 2, 1 / 2),
        ({"coverage": 1}, 2 / 5, 1 / 2, 2 / 3),
        ({"threshold": 0.8}, 1 / 3, 1 / 2, 1),
        ({"threshold": 0.81}, 1, 0, np.nan),
        ({"threshold": 1.0}, np.nan, np.nan, np.nan),
    ],
)
def test_rates_by_hand(chosen, right, fnr, fpr):
    for function, expected in ((selective_accuracy, right), (selective_fnr, fnr), (selective_fpr, fpr)):
        assert function(CONFIDENCE, PREDICTION, LABEL, **chosen) == pytest.approx(expected, nan_ok=True)


def test_a_tenth_is_a_tenth():
    # 0.1 * 3 > 0.3 in floats; three of ten images are a coverage of 0.3 and one error of ten a risk of 0.1.
    confidence = -np.arange(10.0)
    label = np.arange(10) < 3
    assert selective_accuracy(confidence, np.ones(10), label, coverage=0.3) == 1
    assert selective_accuracy(confidence, np.ones(10), label, coverage=0.1 + 0.2) == 1
    assert coverage_at_risk(confidence, np.arange(10) == 9, risk=0.1) == 1


def test_a_rate_is_read_to_ten_million():
    # 1 error of 10,000,000 is within 1e-7; 1 of 9,999,999 is not.
    at_risk = weighted_coverage_at_risk([2.0, 1.0], [0, 1], risk=1e-7)
    assert at_risk(np.array([[9_999_999.0, 1.0], [9_999_998.0, 1.0]])).tolist() == [1, 9_999_998 / 9_999_999]
    # The first 1,234,567 of 10,000,000 are just enough for a coverage of 0.1234567; one fewer is not.
    accuracy = weighted_selective_accuracy([2.0, 1.0], [1, 0], [1, 1], coverage=0.1234567)
    whole = 10_000_000.0
    found = accuracy(np.array([[1_234_567.0, whole - 1_234_567.0], [1_234_566.0, whole - 1_234_566.0]]))
    assert found.tolist() == [1, 1_234_566 / whole]


@pytest.mark.parametrize(
    ("error", "risk", "coverage"),
    [
        ([0, 1, 0, 0, 0], 0.2, 1),  # above the risk in between, and back
        ([0, 1, 0, 0, 0], 0.1, 0.2),
        ([1, 0, 0, 0, 0], 0, 0),
        ([0, 0, 0, 0, 1], 0, 0.8),
        ([0, 0, 1, 1, 1], 1 / 3, 0.6),
        ([0, 0, 0, 0, 0], 0, 1),
        ([1, 1, 1, 1, 1], 1, 1),
    ],
)
def test_coverage_at_a_risk_by_hand(error, risk, coverage):
    assert coverage_at_risk(CONFIDENCE, error, risk=risk) == coverage


@given(rows)
def test_weights_mean_the_same_as_repeated_rows(table):
    score, guess, label, weights = (np.array(column) for column in zip(*table, strict=True))
    if weights.sum() == 0:
        weights[0] = 1
    repeat = [np.repeat(column, weights) for column in (score, guess, label)]
    probability = score / 5
    calls = [(weighted_aurc, aurc, "sl", {}), (weighted_eaurc, eaurc, "sl", {})]
    calls += [(weighted_coverage_at_risk, coverage_at_risk, "sl", {"risk": risk}) for risk in (0, 0.25, 0.5)]
    for chosen in ({"coverage": 0.5}, {"coverage": 0.37}, {"threshold": 3.0}):
        calls += [
            (weighted_selective_accuracy, selective_accuracy, "sgl", chosen),
            (weighted_selective_fnr, selective_fnr, "sgl", chosen),
            (weighted_selective_fpr, selective_fpr, "sgl", chosen),
        ]
    calls += [
        (weighted_nll, nll, "pl", {}),
        (weighted_nll, nll, "pl", {"floor": 1e-3}),
        (weighted_brier, brier, "pl", {}),
    ]
    for bins in ("width", "mass"):
        for kind in ("positive", "top_label"):
            for num_bins in (1, 3, 10):
                options = {"bins": bins, "kind": kind, "num_bins": num_bins}
                calls.append((weighted_ece, ece, "pl", options))
    calls.append((weighted_ece, ece, "pl", {}))
    for weighted, plain, names, options in calls:
        whole = [{"s": score, "g": guess, "l": label, "p": probability}[name] for name in names]
        parts = [{"s": repeat[0], "g": repeat[1], "l": repeat[2], "p": repeat[0] / 5}[name] for name in names]
        both = np.stack([weights, np.ones_like(weights)]).astype(float)
        expected = [plain(*parts, **options), plain(*whole, **options)]
        assert weighted(*whole, **options)(both) == pytest.approx(expected, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    ("statistic", "names"),
    [
        (aurc, "ce"),
        (eaurc, "ce"),
        (nll, "py"),
        (brier, "py"),
        (partial(coverage_at_risk, risk=0.1), "ce"),
        (partial(ece, kind="positive", bins="mass", num_bins=5), "py"),
        (partial(selective_fnr, coverage=0.6), "cgy"),
        (partial(selective_fpr, threshold=0.2), "cgy"),
        (partial(selective_accuracy, coverage=0.9), "cgy"),
    ],
)
@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_every_number_has_the_interval_of_its_rows(statistic, names, method):
    rng = np.random.default_rng(3)
    probability = rng.random(60).round(1)
    label = rng.random(60) < probability
    columns = {"p": probability, "y": label, "c": abs(probability - 0.5), "g": probability >= 0.5}
    columns["e"] = columns["g"] != label
    arrays = [columns[name] for name in names]
    options = {"groups": np.arange(60) // 2, "method": method, "num_resamples": 60}
    fast = interval(statistic, *arrays, **options)
    slow = interval(lambda *parts: statistic(*parts), *arrays, **options)
    assert (fast.value, fast.low, fast.high) == pytest.approx((slow.value, slow.low, slow.high), abs=1e-9)
    assert fast.value == pytest.approx(statistic(*arrays), abs=1e-12)


def test_arguments_bound_by_position_are_called_on_rows():
    fixed = partial(lambda scale, values: scale * float(np.mean(values)), 3.0)
    assert interval(fixed, [1.0, 1.0], num_resamples=5).high == 3


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: selective_fnr([1.0], [1], [1]),
            BadConfig,
            "^Give either a coverage or a threshold, got coverage=None",
        ),
        (lambda: selective_fnr([1.0], [1], [1], coverage=1, threshold=1), BadConfig, "coverage=1 and threshold=1"),
        (lambda: selective_fpr([1.0], [1], [1], coverage=0), BadConfig, r"^coverage must lie in \(0, 1\], got 0\.$"),
        (lambda: selective_fpr([1.0], [1], [1], coverage=1.1), BadConfig, r"coverage must lie in \(0, 1\], got 1.1"),
        (lambda: coverage_at_risk([1.0], [1], risk=-0.1), BadConfig, r"^risk must lie in \[0, 1\], got -0.1"),
        (lambda: coverage_at_risk([np.inf], [1], risk=0), BadData, "^confidence needs a finite number .* holds inf"),
        (lambda: selective_accuracy([np.nan], [1], [1], coverage=1), BadData, "^confidence needs a finite number"),
        (lambda: selective_accuracy([1.0], [1, 0], [1, 0], coverage=1), BadData, "{'confidence': 1, 'prediction': 2}"),
        (lambda: weighted_ece([0.5], [1], bins="log"), BadData, "bins must be"),
    ],
)
def test_bad_requests_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
