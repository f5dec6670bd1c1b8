"""Bootstrap intervals: the fast path is the slow path, groups widen, pairs narrow, seeds repeat."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stage1.errors import BadConfig, BadData
from stage1.metrics import (
    Interval,
    Resampler,
    accuracy,
    augrc,
    auroc,
    brier,
    difference,
    failure_auroc,
    interval,
    mcc,
    percentile,
    risk_coverage,
    weighted_augrc,
    weighted_auroc,
    weighted_generalized_risk,
    weighted_mcc,
    weighted_mean,
    weighted_ratio,
)

rows = st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 3)), min_size=1, max_size=25)


@given(rows)
def test_weights_mean_the_same_as_repeated_rows(triples):
    score = np.array([s for s, _, _ in triples], dtype=float)
    label = np.array([y for _, y, _ in triples])
    weights = np.array([w for _, _, w in triples])
    if weights.sum() == 0:
        weights[0] = 1
    repeated, truth = np.repeat(score, weights), np.repeat(label, weights)
    guess = repeated > 2
    cases = [
        (weighted_augrc(score, label), augrc(repeated, truth)),
        (weighted_auroc(score, label), auroc(repeated, truth)),
        (weighted_mcc(score > 2, label), mcc(guess, truth)),
        (weighted_mean(score), repeated.mean()),
        (weighted_ratio(score * label, label), repeated[truth].mean() if truth.any() else np.nan),
    ]
    for statistic, expected in cases:
        assert statistic(weights[None, :].astype(float))[0] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def simulated(num_images=400, seed=0):
    rng = np.random.default_rng(seed)
    error = rng.random(num_images) < 0.1
    return rng.normal(size=num_images) - error, error


def test_fast_and_slow_paths_agree_on_the_same_resamples():
    confidence, error = simulated()
    groups = np.arange(400) // 4
    fast = interval(augrc, confidence, error, groups=groups, num_resamples=200, seed=1)
    slow = interval(lambda c, e: augrc(c, e), confidence, error, groups=groups, num_resamples=200, seed=1)
    assert (fast.value, fast.low, fast.high) == pytest.approx((slow.value, slow.low, slow.high), abs=1e-12)


def test_resampling_cells_is_resampling_images():
    confidence, error = simulated()
    cells = interval(augrc, confidence, error, num_resamples=4000)
    images = Resampler(400, num_resamples=4000, seed=9).intervals({"a": weighted_augrc(confidence, error)})["a"]
    spread = images.high - images.low
    assert cells.low == pytest.approx(images.low, abs=0.06 * spread)
    assert cells.high == pytest.approx(images.high, abs=0.06 * spread)


def test_the_interval_covers_at_its_confidence():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        hit = rng.random(200) < 0.3
        found = Resampler(200, num_resamples=400, seed=seed).intervals({"p": weighted_mean(hit)}, 0.9)["p"]
        covered += found.low <= 0.3 <= found.high
    assert abs(covered / 200 - 0.9) < 3 * np.sqrt(0.9 * 0.1 / 200)


def test_groups_that_share_their_fate_widen_the_interval():
    fate = np.random.default_rng(0).random(40) < 0.5
    values = np.repeat(fate, 25)
    alone = interval(accuracy, values, np.ones(1000))
    grouped = interval(accuracy, values, np.ones(1000), groups=np.repeat(np.arange(40), 25))
    # 40 groups of 25 equal images are worth 40 images: 5 times the width.
    assert (grouped.high - grouped.low) / (alone.high - alone.low) == pytest.approx(5, rel=0.15)


def test_groups_of_one_are_independent_images():
    confidence, error = simulated()
    named = Resampler(400, [f"g{i:03d}" for i in range(400)], num_resamples=50, seed=2)
    plain = Resampler(400, num_resamples=50, seed=2)
    statistic = {"a": weighted_augrc(confidence, error)}
    assert np.array_equal(named.evaluate(statistic)["a"], plain.evaluate(statistic)["a"])


def test_a_paired_difference_of_equal_models_is_exactly_zero():
    confidence, error = simulated()
    assert interval(augrc, confidence, error, minus=(confidence, error), num_resamples=50) == Interval(0, 0, 0)


def test_a_paired_difference_is_narrower_than_an_unpaired_one():
    confidence, error = simulated()
    other = confidence + np.random.default_rng(5).normal(scale=0.1, size=400)
    paired = interval(augrc, confidence, error, minus=(other, error))
    alone = interval(augrc, confidence, error)
    assert paired.high - paired.low < (alone.high - alone.low) / 3
    assert paired.value == pytest.approx(augrc(confidence, error) - augrc(other, error), abs=1e-15)


def test_the_sign_of_a_difference_is_first_minus_second():
    first, second = weighted_mean([1.0, 1.0]), weighted_mean([0.0, 0.0])
    assert difference(first, second)(np.ones((1, 2)))[0] == 1


@pytest.mark.parametrize("statistic", [auroc, failure_auroc, accuracy, mcc])
def test_every_fast_statistic_reports_its_plain_value(statistic):
    rng = np.random.default_rng(3)
    label = rng.random(60) < 0.5
    score = (rng.random(60) < 0.5) if statistic in (accuracy, mcc) else rng.normal(size=60)
    found = interval(statistic, score, label, num_resamples=50)
    assert found.value == pytest.approx(statistic(score, label))
    assert found.low <= found.value <= found.high


def test_any_function_of_rows_has_an_interval():
    rng = np.random.default_rng(4)
    probability = rng.random(80)
    label = rng.random(80) < probability
    found = interval(brier, probability, label, num_resamples=100)
    assert found.low < found.value == brier(probability, label) < found.high
    zero = interval(brier, probability, label, minus=(probability, label), num_resamples=20)
    assert zero == Interval(0, 0, 0)


def test_blocks_do_not_change_the_draws(monkeypatch):
    whole = np.concatenate(list(Resampler(30, num_resamples=20, seed=1).blocks()))
    monkeypatch.setattr("stage1.metrics.resampling._BLOCK_ELEMENTS", 90)
    parts = list(Resampler(30, num_resamples=20, seed=1).blocks())
    assert [len(part) for part in parts] == [3] * 6 + [2]
    assert np.array_equal(np.concatenate(parts), whole)
    assert (whole.sum(axis=1) == 30).all()


def test_the_band_passes_through_the_curve():
    confidence, error = simulated(50)
    curve = risk_coverage(confidence, error)
    band = weighted_generalized_risk(confidence, error, curve.coverage)
    assert Resampler(50).observed(band) == pytest.approx(curve.generalized_risk)
    drawn = Resampler(50, num_resamples=7).evaluate({"band": band})["band"]
    assert drawn.shape == (7, len(curve.coverage))
    assert drawn.min() >= 0


def test_a_statistic_that_does_not_exist_has_no_interval():
    found = interval(auroc, [1.0, 2.0], [1, 1], num_resamples=10)
    assert np.isnan([found.value, found.low, found.high]).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Resampler(0), BadConfig, "got 0 and 2000"),
        (lambda: Resampler(3, num_resamples=0), BadConfig, "got 3 and 0"),
        (lambda: Resampler(3, ["a"]), BadData, "one label for each of 3 images"),
        (lambda: percentile(0.5, np.ones(3), 1.0), BadConfig, r"confidence must lie in \(0, 1\), got 1.0"),
        (lambda: interval(augrc, [1.0], [0, 1]), BadData, "one row per image"),
        (lambda: interval(augrc, [], []), BadData, "at least one image"),
    ],
)
def test_bad_requests_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_two_thousand_resamples_unless_told_otherwise():
    rng = np.random.default_rng(6)
    images = rng.random(50), rng.random(50) < 0.5
    assert interval(brier, *images) == interval(brier, *images, num_resamples=2000)
    assert interval(brier, *images) != interval(brier, *images, num_resamples=1999)


def test_the_seed_chooses_the_resamples():
    confidence, error = simulated(50)
    first = interval(auroc, confidence, error, num_resamples=300, seed=1)
    resampler = Resampler(50, num_resamples=300, seed=1)
    assert first == resampler.intervals({"a": weighted_auroc(confidence, error)})["a"]
    assert first != interval(auroc, confidence, error, num_resamples=300, seed=2)


@pytest.mark.parametrize(("statistic", "plain"), [(auroc, lambda s, y: auroc(s, y)), (augrc, lambda s, y: augrc(s, y))])
@pytest.mark.parametrize("confidence", [0.95, 0.6])
def test_bca_of_a_paired_difference_by_groups_is_that_of_the_rows(statistic, plain, confidence):
    score, error = simulated(120)
    other = (score + np.random.default_rng(8).normal(scale=0.5, size=120), error)
    groups = np.repeat(np.arange(30), 4)
    options = {"groups": groups, "method": "bca", "num_resamples": 300, "confidence": confidence}
    fast = interval(statistic, score, error, minus=other, **options)
    slow = interval(plain, score, error, minus=other, **options)
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=1e-10)
    without = interval(statistic, score, error, minus=other, **{**options, "groups": None})
    assert (without.low, without.high) != (fast.low, fast.high)


def test_bca_is_wider_the_more_confidence_is_asked():
    score, error = simulated(200)
    wide, narrow = (interval(auroc, score, error, method="bca", num_resamples=500, confidence=c) for c in (0.95, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high
    # Normal quantiles: 1.96 against 0.67.
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(1.96 / 0.6745, rel=0.15)


def test_what_an_interval_cannot_be_made_of_is_said():
    with pytest.raises(BadData, match=r"^An interval needs at least one image\.$"):
        interval(np.mean, [])
    with pytest.raises(BadData, match=r"array_0.*array_1"):
        interval(accuracy, [1, 0], [1])
