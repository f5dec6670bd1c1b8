"""Jackknife, BCa and the analytic interval: against loops, against scipy, and by their coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap
from scipy.stats._resampling import _bca_interval

from stage1.errors import BadConfig, BadData
from stage1.metrics import (
    Resampler,
    accuracy,
    augrc,
    augrc_interval,
    auroc,
    bca,
    failure_auroc,
    interval,
    jackknife_augrc,
    jackknife_auroc,
    weighted_augrc,
    weighted_mean,
)
from stage1.metrics.bca import acceleration

rows = st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), min_size=2, max_size=25)


def simulated(num_images=150, seed=0, share=0.2):
    rng = np.random.default_rng(seed)
    error = rng.random(num_images) < share
    return np.round(rng.normal(size=num_images) - error, 1), error


@given(rows)
def test_leaving_out_is_what_it_says(triples):
    score, truth, groups = (np.array(column) for column in zip(*triples, strict=True))
    for names in (None, groups):
        codes = np.arange(len(score)) if names is None else groups
        kept = [codes != code for code in np.unique(codes)]
        for fast, plain in ((jackknife_augrc, augrc), (jackknife_auroc, auroc)):
            expected = [plain(score[keep], truth[keep]) if keep.any() else np.nan for keep in kept]
            assert fast(score, truth, names) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("num_groups", [7, 150])
def test_weights_leave_out_each_group_once(num_groups):
    confidence, error = simulated()
    groups = np.arange(150) % num_groups
    by_weights = Resampler(150, groups).jackknife(weighted_augrc(confidence, error))
    assert by_weights == pytest.approx(jackknife_augrc(confidence, error, groups), abs=1e-12)


def test_above_a_thousand_units_random_parts_are_left_out(monkeypatch):
    monkeypatch.setattr("stage1.metrics.resampling._BLOCK_ELEMENTS", 2500 * 300)
    blocks = list(Resampler(2500, seed=3).without())
    assert [len(block) for block in blocks] == [300, 300, 300, 100]
    left_out = 1 - np.concatenate(blocks)
    assert left_out.sum(axis=0).tolist() == [1] * 2500
    assert sorted(left_out.sum(axis=1)) == [2] * 500 + [3] * 500
    assert np.diff(left_out.argmax(axis=0)).tolist() != sorted(np.diff(left_out.argmax(axis=0)).tolist())
    assert len(np.concatenate(list(Resampler(1000).without()))) == 1000


def scipy_bca(confidence, error, draws, level=0.95):
    """scipy's own percentiles and acceleration for our draws."""
    rows = np.arange(len(error))

    def statistic(index, axis=-1):
        return np.apply_along_axis(lambda row: augrc(confidence[row], error[row]), axis, index)

    low, high, bend = _bca_interval((rows,), statistic, -1, (1 - level) / 2, draws, None, np)
    return np.quantile(draws, [low, high]).ravel(), float(np.ravel(bend)[0])


def test_bca_is_scipys_on_the_same_draws():
    confidence, error = simulated(share=0.05)
    draws = Resampler(150, num_resamples=500).evaluate({"a": weighted_augrc(confidence, error)})["a"]
    ends, bend = scipy_bca(confidence, error, draws)
    left_out = jackknife_augrc(confidence, error)
    assert abs(bend) > 0.03
    assert acceleration(left_out) == pytest.approx(bend, abs=1e-12)
    found = bca(augrc(confidence, error), draws, left_out)
    assert (found.low, found.high) == pytest.approx(tuple(ends), abs=1e-12)
    narrow = bca(augrc(confidence, error), draws, left_out, 0.5)
    assert (narrow.low, narrow.high) == pytest.approx(tuple(scipy_bca(confidence, error, draws, 0.5)[0]), abs=1e-12)


def test_bca_is_scipys_within_monte_carlo_error():
    confidence, error = simulated(share=0.08)
    rows = np.arange(150)
    theirs = bootstrap(
        (rows,), lambda row: augrc(confidence[row], error[row]), vectorized=False, n_resamples=2000, rng=1, method="BCa"
    ).confidence_interval
    ours = interval(augrc, confidence, error, method="bca", num_resamples=8000)
    spread = theirs.high - theirs.low
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.08 * spread)


def test_ties_with_the_value_count_half():
    draws = np.array([1.0, 2.0, 2.0, 3.0])
    assert bca(2.0, draws, np.array([1.0, 1.0]), 0.5) == bca(2.0, draws, np.array([5.0, 7.0]), 0.5)
    # The bias is none and nothing bends: plain quartiles.
    found = bca(2.0, draws, np.ones(3), 0.5)
    assert (found.low, found.high) == pytest.approx((1.75, 2.25))


@pytest.mark.parametrize("draws", [[2.0, 3.0], [0.0, 0.5], [np.nan, np.nan]])
def test_draws_on_one_side_have_no_bca_interval(draws):
    found = bca(1.0, np.array(draws), np.array([0.9, 1.2, 1.3]))
    assert found.value == 1
    assert np.isnan([found.low, found.high]).all()


def test_what_does_not_exist_is_left_out():
    with_gaps = bca(2.0, np.array([1.0, np.nan, 2.0, 3.5]), np.array([1.0, np.nan, 1.5, 4.0]), 0.6)
    assert with_gaps == bca(2.0, np.array([1.0, 2.0, 3.5]), np.array([1.0, 1.5, 4.0]), 0.6)
    assert acceleration(np.array([np.nan])) == 0
    # d = (1, 0, -1) + mean 2 of (1, 2, 6): d = 2, 1, -3.
    assert acceleration(np.array([1.0, 2.0, 6.0])) == pytest.approx((8 + 1 - 27) / 6 / 14**1.5)


@pytest.mark.parametrize("statistic", [auroc, failure_auroc, augrc, accuracy])
def test_interval_puts_the_parts_together(statistic):
    confidence, error = simulated()
    score = confidence if statistic is not accuracy else confidence > 0
    groups = np.arange(150) // 3
    plain = interval(statistic, score, error, groups=groups, method="bca", num_resamples=200, seed=2)
    by_rows = interval(
        lambda s, e: statistic(s, e), score, error, groups=groups, method="bca", num_resamples=200, seed=2
    )
    assert (plain.low, plain.high) == pytest.approx((by_rows.low, by_rows.high), abs=1e-12)


def test_a_paired_difference_has_a_bca_interval():
    confidence, error = simulated()
    other = np.roll(confidence, 1)
    fast = interval(augrc, confidence, error, minus=(other, error), method="bca", num_resamples=200)
    slow = interval(lambda c, e: augrc(c, e), confidence, error, minus=(other, error), method="bca", num_resamples=200)
    assert (fast.value, fast.low, fast.high) == pytest.approx((slow.value, slow.low, slow.high), abs=1e-12)
    assert fast.value == pytest.approx(augrc(confidence, error) - augrc(other, error), abs=1e-15)


def test_bca_covers_a_skewed_mean_better_than_percentiles():
    covered = {"percentile": 0, "bca": 0}
    for seed in range(300):
        values = np.random.default_rng(seed).exponential(size=25)
        resampler = Resampler(25, num_resamples=400, seed=seed)
        mean = weighted_mean(values)
        draws = resampler.evaluate({"mean": mean})["mean"]
        ends = {
            "percentile": np.quantile(draws, [0.05, 0.95]),
            "bca": (lambda found: (found.low, found.high))(bca(values.mean(), draws, resampler.jackknife(mean), 0.9)),
        }
        for name, (low, high) in ends.items():
            covered[name] += low <= 1 <= high
    assert covered["bca"] > covered["percentile"]
    assert covered["bca"] / 300 == pytest.approx(0.9, abs=3 * np.sqrt(0.9 * 0.1 / 300))


@pytest.mark.parametrize("size", [1, 4])
def test_the_analytic_interval_covers(size):
    rng = np.random.default_rng(0)

    def draw(num_groups):
        shared = rng.normal(size=num_groups).repeat(size)
        error = shared + rng.normal(size=num_groups * size) > 1.8
        return np.round(rng.normal(size=len(error)) - error, 1), error, np.arange(num_groups).repeat(size)

    confidence, error, _ = draw(100_000)
    truth = augrc(confidence, error)
    covered = 0
    for _ in range(600):
        confidence, error, groups = draw(150)
        found = augrc_interval(confidence, error, groups, confidence=0.9)
        covered += found.low <= truth <= found.high
    assert covered / 600 == pytest.approx(0.9, abs=3 * np.sqrt(0.9 * 0.1 / 600))


@pytest.mark.parametrize("groups", [None, np.arange(1500) // 5])
def test_the_analytic_interval_is_near_the_bootstrap(groups):
    confidence, error = simulated(1500)
    exact = augrc_interval(confidence, error, groups)
    drawn = interval(augrc, confidence, error, groups=groups, num_resamples=4000)
    spread = drawn.high - drawn.low
    assert exact.value == pytest.approx(augrc(confidence, error), abs=1e-15)
    assert (exact.low, exact.high) == pytest.approx((drawn.low, drawn.high), abs=0.06 * spread)


def test_the_analytic_interval_by_hand():
    # c = 1, 2 and only the second is wrong: pairs (2,1) = 1 and (2,2) = 1/2, AUGRC 3/8.
    found = augrc_interval([1.0, 2.0], [0, 1], confidence=0.6826894921370859)
    # Touched: image 1 in one pair; image 2 first in 3/2 and second in 1/2. Influence: 1/4 - 3/8 and 2/4 - 3/8.
    deviation = np.sqrt(2 * (1 / 8**2 + 1 / 8**2))
    assert found.value == 3 / 8
    assert np.log(found.high / found.value) == pytest.approx(deviation / found.value)
    assert np.log(found.value / found.low) == pytest.approx(deviation / found.value)


@pytest.mark.parametrize(
    ("error", "groups", "value"), [([0, 0, 0], None, 0), ([1, 0, 0], ["a", "a", "a"], 1 / 18), ([1], None, 0.5)]
)
def test_nothing_to_see_has_no_analytic_interval(error, groups, value):
    found = augrc_interval(np.arange(len(error)), error, groups)
    assert found.value == pytest.approx(value)
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: augrc_interval([1.0], [1], confidence=0), BadConfig, r"^confidence must lie in \(0, 1\), got 0\.$"),
        (lambda: augrc_interval([1.0], [1], confidence=1), BadConfig, r"^confidence must lie in \(0, 1\), got 1\.$"),
        (lambda: augrc_interval([1.0], [1], [1, 2]), BadData, "one label for each of 1 images"),
        (lambda: bca(1.0, np.ones(2), np.ones(2), 1.5), BadConfig, "got 1.5"),
        (lambda: interval(augrc, [1.0], [1], method="normal"), BadConfig, "^method must be 'percentile' or 'bca', got"),
    ],
)
def test_bad_requests_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
