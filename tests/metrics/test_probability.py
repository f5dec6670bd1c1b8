"""NLL, Brier and calibration errors: arithmetic, edges of bins, and the value expected under calibration."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stage1.errors import BadData
from stage1.metrics import accuracy, brier, ece, ece_expected, mcc, nll, reliability, weighted_ece


def test_nll_and_brier_by_hand():
    assert nll([0.5, 0.8], [1, 0]) == pytest.approx(-(np.log(0.5) + np.log(0.2)) / 2)
    assert brier([0.5, 0.8], [1, 0]) == pytest.approx((0.25 + 0.64) / 2)
    assert brier([[0.5, 0.5], [0.2, 0.8]], [1, 0]) == pytest.approx((2 * 0.25 + 2 * 0.64) / 2)


def test_certain_and_wrong_stays_finite():
    assert nll([0.0], [1]) == pytest.approx(-np.log(1e-12))
    assert nll([1.0], [1]) == 0
    assert brier([0.0], [1]) == 1


def test_top_label_and_positive_ece_are_different_numbers():
    probability, label = [0.2, 0.4, 0.9], [0, 1, 1]
    # Bins of width 1/2: {.2, .4} holds one positive of two at mean .3; {.9} one of one.
    assert ece(probability, label, kind="positive", num_bins=2) == pytest.approx((2 * abs(0.5 - 0.3) + 0.1) / 3)
    # Top labels .8 right, .6 wrong, .9 right: one bin, two of three at mean 2.3 / 3.
    assert ece(probability, label, kind="top_label", num_bins=2) == pytest.approx(abs(2 / 3 - 2.3 / 3))


def test_bins_are_open_below_and_closed_above():
    table = reliability([0.0, 0.5, 1.0], [0, 1, 1], num_bins=2)
    assert table.count.tolist() == [2, 1]
    assert table.low.tolist() == [0, 0.5]
    assert table.high.tolist() == [0.5, 1]


def test_equal_mass_bins_hold_equal_counts_and_never_part_ties():
    assert reliability(np.arange(1, 11) / 20, np.zeros(10), bins="mass", num_bins=5).count.tolist() == [2] * 5
    assert reliability(np.full(10, 0.3), np.zeros(10), bins="mass", num_bins=5).count.tolist() == [10]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30), st.integers(1, 20))
def test_ece_lies_in_the_unit_interval_and_ignores_order(pairs, num_bins):
    probability, label = np.array([p for p, _ in pairs]), np.array([y for _, y in pairs])
    for bins in ("width", "mass"):
        value = ece(probability, label, kind="positive", bins=bins, num_bins=num_bins)
        assert 0 <= value <= 1
        assert ece(probability[::-1], label[::-1], kind="positive", bins=bins, num_bins=num_bins) == pytest.approx(
            value
        )


def test_expected_ece_is_the_published_bias_of_a_calibrated_model():
    rng = np.random.default_rng(1)  # not the seed of the simulated labels
    small = np.mean([ece_expected(rng.random(100), kind="positive", num_simulations=20) for _ in range(20)])
    large = ece_expected(rng.random(5000), kind="positive", num_simulations=50)
    assert small == pytest.approx(0.12, abs=0.005)
    assert large == pytest.approx(0.017, abs=0.002)


def test_expected_ece_is_deterministic_by_seed():
    probability = np.linspace(0.01, 0.99, 50)
    assert ece_expected(probability, seed=3) == ece_expected(probability, seed=3)
    assert ece_expected(probability, seed=3) != ece_expected(probability, seed=4)


def test_mcc_and_accuracy_by_hand():
    prediction, label = [1, 1, 0, 0, 1], [1, 0, 0, 1, 1]  # tp 2, fp 1, tn 1, fn 1
    assert accuracy(prediction, label) == 3 / 5
    assert mcc(prediction, label) == pytest.approx((2 * 1 - 1 * 1) / np.sqrt(3 * 3 * 2 * 2))
    assert mcc([1, 0], [0, 1]) == -1
    assert np.isnan(mcc([1, 1], [1, 0]))


@pytest.mark.parametrize(
    ("probability", "label", "options", "message"),
    [
        ([1.2], [1], {}, "numbers in"),
        ([[0.5, 0.6]], [1], {}, "a sum of 1 in every row; row 0"),
        ([[0.5, 0.5]], [2], {}, "a class below 2"),
        ([0.5], [1], {"num_bins": 0}, "num_bins must be at least 1"),
        ([0.5], [1], {"bins": "log"}, "bins must be 'width' or 'mass'"),
        ([[0.2, 0.3, 0.5]], [1], {"kind": "positive"}, "'positive' with two classes"),
        ([[[0.5]]], [1], {}, r"shape \(N,\) or \(N, K\)"),
    ],
)
def test_bad_probabilities_are_refused(probability, label, options, message):
    with pytest.raises(BadData, match=message):
        ece(probability, label, **options)


def test_a_value_on_an_edge_belongs_to_the_bin_below():
    # Both in (0, 1/2]: mean 3/8, rate 1/2. Parted, the gaps would be 1/2 and 1/4.
    for value in (
        ece([0.5, 0.25], [1, 0], kind="positive", num_bins=2),
        weighted_ece([0.5, 0.25], [1, 0], kind="positive", num_bins=2)(np.ones((1, 2)))[0],
    ):
        assert value == 1 / 8


def test_fifteen_bins_unless_told():
    # 0.61 and 0.66 share (9/15, 10/15]; 14 bins part them at 9/14, 16 at 10/16. One of two is right: |1/2 - 0.635|.
    probability, label = [0.61, 0.66], [1, 0]
    assert ece(probability, label) == pytest.approx(0.135)
    assert weighted_ece(probability, label)(np.ones((1, 2)))[0] == pytest.approx(0.135)
    table = reliability(probability, label)
    assert (table.low.tolist(), table.high.tolist()) == ([9 / 15], [10 / 15])


def test_bins_of_equal_mass_end_at_one():
    table = reliability([0.2, 0.4, 0.6, 0.8], [0, 1, 0, 1], bins="mass", num_bins=2)
    assert (table.low.tolist(), table.high.tolist()) == ([0, 0.4], [0.4, 1])
    assert table.mean_probability == pytest.approx([0.3, 0.7])
    assert table.rate.tolist() == [0.5, 0.5]


def test_rounding_above_one_is_taken_and_more_is_not():
    rows = [[1 + 5e-7, 0.0]]
    for bins in ("width", "mass"):
        table = reliability(rows, [0], kind="top_label", bins=bins)
        assert (table.count.tolist(), table.high.tolist()) == ([1], [1])
    with pytest.raises(BadData, match=r"^probability needs numbers in"):
        brier([[1 + 5e-5, 0.0]], [0])


def test_single_precision_is_computed_in_double():
    rows = np.array([[0.1, 0.9], [0.3, 0.7]], dtype=np.float32)
    first, second = (float(value) for value in rows[0])
    third, fourth = (float(value) for value in rows[1])
    assert brier(rows, [1, 0]) == pytest.approx(
        (first**2 + (1 - second) ** 2 + (1 - third) ** 2 + fourth**2) / 2, abs=1e-15
    )


def test_expected_ece_by_hand():
    # A half errs by a half whatever is drawn; certainty never errs.
    assert ece_expected([0.5], kind="positive") == 0.5
    assert ece_expected([1.0, 0.0], kind="positive") == 0
    # Two bins of one image: E|y - p| = 2 p (1 - p) = 3/8 each; three standard errors of 2,000 draws.
    found = ece_expected([0.25, 0.75], kind="positive", num_bins=2, num_simulations=2000)
    assert found == pytest.approx(3 / 8, abs=3 * 0.25 * np.sqrt(3 / 16 / 2 / 2000) * 2)


def test_expected_ece_draws_two_hundred_times_with_seed_zero():
    probability = np.linspace(0.01, 0.99, 50)
    assert ece_expected(probability) == ece_expected(probability, num_simulations=200, seed=0)
    assert ece_expected(probability) != ece_expected(probability, num_simulations=201, seed=0)
