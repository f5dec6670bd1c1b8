"""curves.json: finite, in order, thinned, and each point what a loop finds at that threshold."""

import json

import numpy as np
import pytest

from stage1.evaluation.curves import curves
from tests.evaluation.making import CONFIG, gate, make_rows, simulated, softmax


@pytest.mark.parametrize("count", [1, 2, 3, 99, 100, 101, 3000])
def test_curves_are_finite_and_rise_with_coverage(count: int) -> None:
    found = curves(simulated(count, noise=3), {"softmax": softmax(), "gate": gate(0.5)}, CONFIG)
    json.dumps(found, allow_nan=False)
    assert set(found["policies"]) == {"softmax", "gate"}
    for policy in found["policies"].values():
        curve = policy["risk_coverage"]
        assert (np.diff(curve["coverage"]) > 0).all()
        assert (np.diff(curve["generalized_risk"]) >= 0).all()
        assert curve["coverage"][-1] == 1
        assert len(curve["coverage"]) == min(count, 100)
        assert curve["selective_risk"] == pytest.approx(
            np.divide(curve["generalized_risk"], curve["coverage"]).tolist()
        )
        if count > 1:
            assert (np.array(curve["low"]) <= curve["high"]).all()
            assert len(curve["low"]) == len(curve["high"]) == len(curve["coverage"])


def test_the_band_holds_the_curve_where_there_is_much_to_resample() -> None:
    curve = curves(simulated(800, noise=3, group_size=4), {"softmax": softmax()}, CONFIG)["policies"]["softmax"]
    low, middle, high = (np.array(curve["risk_coverage"][name]) for name in ("low", "generalized_risk", "high"))
    assert ((low <= middle) & (middle <= high)).all()
    assert high[-1] - low[-1] > 0.02, "a binomial share of 800 has a 95 % interval of about .06"


def test_a_single_group_has_curves_and_no_band() -> None:
    curve = curves(simulated(30, group_size=30), {"softmax": softmax()}, CONFIG)["policies"]["softmax"]["risk_coverage"]
    assert (curve["low"], curve["high"]) == ([], [])
    assert len(curve["coverage"]) == 30


def test_each_point_of_the_roc_is_what_its_threshold_gives() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 80)
    rows = make_rows((labels + rng.normal(size=80)).round(1).tolist(), labels.tolist())
    roc = curves(rows, {"softmax": softmax()}, CONFIG)["roc"]
    assert roc["threshold"] == sorted(set(roc["threshold"]), reverse=True)
    for fpr, tpr, threshold in zip(roc["fpr"], roc["tpr"], roc["threshold"], strict=True):
        called = rows.probability_N >= threshold
        assert tpr == pytest.approx(called[labels == 1].mean())
        assert fpr == pytest.approx(called[labels == 0].mean())
    assert (roc["fpr"][-1], roc["tpr"][-1]) == (1, 1)


def test_reliability_counts_every_image_once() -> None:
    rows = simulated(500, noise=3)
    bins = curves(rows, {"softmax": softmax()}, CONFIG)["reliability"]["bins"]
    assert sum(each["count"] for each in bins) == 500
    for each in bins:
        held = (rows.probability_N > each["low"]) & (rows.probability_N <= each["high"])
        assert each["count"] == held.sum()
        assert each["positive_rate"] == pytest.approx(rows.positive_N[held].mean())
        assert each["mean_probability"] == pytest.approx(rows.probability_N[held].mean())


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_has_a_flat_roc_of_finite_numbers(label: int) -> None:
    found = curves(make_rows([1.0, 2.0, -1.0], [label] * 3), {"softmax": softmax()}, CONFIG)
    json.dumps(found, allow_nan=False)
    assert found["roc"]["fpr" if label else "tpr"] == [0, 0, 0]
