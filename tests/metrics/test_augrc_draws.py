"""AUGRC drawn in the number of errors: the distribution is that of the ordinary bootstrap."""

import itertools

import numpy as np
import pytest
from scipy.stats import ks_2samp

from stage1.metrics import Resampler, augrc, interval, weighted_augrc
from stage1.metrics.augrc_draws import AugrcDraws


def sample(num_images, share, levels, seed):
    rng = np.random.default_rng(seed)
    error = rng.random(num_images) < share
    confidence = rng.normal(size=num_images) - error
    return (np.round(confidence * levels) / levels if levels else confidence), error


@pytest.mark.parametrize(
    ("num_images", "share", "levels"), [(40, 0.3, 2), (300, 0.1, 0), (2000, 0.02, 3), (300, 0.9, 0), (3000, 0.003, 0)]
)
def test_the_draws_are_those_of_the_plain_bootstrap(num_images, share, levels):
    confidence, error = sample(num_images, share, levels, 1)
    ours = AugrcDraws(confidence, error)(6000, 5)
    plain = Resampler(num_images, num_resamples=6000, seed=6).evaluate({"a": weighted_augrc(confidence, error)})["a"]
    assert ks_2samp(ours, plain).pvalue > 0.001


def test_mean_and_variance_are_those_of_all_resamples():
    confidence, error = np.array([1.0, 2.0, 2.0, 4.0, 3.0]), np.array([False, True, False, True, False])
    every = [augrc(confidence[list(rows)], error[list(rows)]) for rows in itertools.product(range(5), repeat=5)]
    draws = AugrcDraws(confidence, error)(10000, 0)
    assert draws.mean() == pytest.approx(np.mean(every), abs=4 * np.std(every) / 100)
    assert draws.var() == pytest.approx(np.var(every), rel=0.06)
    assert set(draws.round(9)) <= set(np.round(every, 9))


@pytest.mark.parametrize(
    ("confidence", "error", "values"),
    [
        ([0.3], [1], {0.5}),
        ([0.3], [0], {0.0}),
        ([1.0, 2.0, 3.0], [0, 0, 0], {0.0}),
        ([1.0, 2.0, 3.0], [1, 1, 1], {0.5}),
        # m errors of 3: m^2 / 2 among themselves; all beneath the right (first) or tied with them (second).
        ([1.0, 2.0, 2.0], [1, 0, 0], {m * m / 18 for m in range(4)}),
        ([2.0, 2.0, 2.0], [1, 0, 0], {m / 6 for m in range(4)}),
        # All above the right: every drawn right image counts fully.
        ([3.0, 2.0, 2.0], [1, 0, 0], {(m * m / 2 + m * (3 - m)) / 9 for m in range(4)}),
    ],
)
def test_small_samples_give_only_the_values_that_exist(confidence, error, values):
    draws = AugrcDraws(np.array(confidence), np.array(error, dtype=bool))(400, 0)
    assert {round(float(draw), 12) for draw in draws} == {round(value, 12) for value in values}


def test_neither_the_number_of_resamples_nor_of_threads_changes_a_draw(monkeypatch):
    confidence, error = sample(200, 0.2, 0, 3)
    draws = AugrcDraws(confidence, error)
    many = draws(60, 4)
    assert many.shape == (60,)
    assert np.array_equal(draws(60, 4), many)
    assert not np.array_equal(draws(60, 5), many)
    assert len(np.unique(many)) > 50
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert np.array_equal(draws(60, 4), many)
    assert np.array_equal(draws(25, 4), many[:25])


def test_interval_uses_these_draws_for_independent_images():
    confidence, error = sample(200, 0.2, 0, 3)
    found = interval(augrc, confidence, error, num_resamples=300, seed=8, confidence=0.8)
    low, high = np.quantile(AugrcDraws(confidence, error)(300, 8), [0.1, 0.9])
    assert (found.value, found.low, found.high) == pytest.approx((augrc(confidence, error), low, high), abs=1e-15)
