"""Poisson counts by table: the tables hold the distribution, and draws follow it on both sides of the highest rate."""

import numpy as np
import pytest
from scipy.stats import chisquare, poisson

from stage1.metrics.poisson_table import PoissonTable, _alias, poisson_probabilities

RATES = [0.0, 1e-9, 0.3, 1.0, 17.5, 64.0, 100.0]


@pytest.mark.parametrize("rate", RATES)
def test_probabilities_are_those_of_scipy(rate):
    assert poisson_probabilities(rate) == pytest.approx(poisson.pmf(np.arange(256), rate), rel=1e-11, abs=1e-300)


@pytest.mark.parametrize("rate", RATES)
def test_columns_and_aliases_add_up_to_the_distribution(rate):
    share, alias = _alias(poisson_probabilities(rate))
    drawn = share + np.bincount(alias, 1 - share, minlength=256)
    assert (share > -1e-12).all()
    assert drawn / 256 == pytest.approx(poisson.pmf(np.arange(256), rate), abs=1e-14)


def test_what_the_table_leaves_out_is_as_rare_as_it_says():
    assert poisson.sf(255, 100.0) < 1e-37


@pytest.mark.parametrize("rate", [0.3, 17.5, 100.0, 100.5])
def test_draws_follow_the_distribution(rate):
    rng = np.random.default_rng(0)
    counts = PoissonTable(np.full(400_000, rate))(rng)
    low, high = int(poisson.ppf(0.002, rate)), int(poisson.ppf(0.998, rate))
    edges = np.clip(counts, low, high) - low
    expected = poisson.pmf(np.arange(low, high + 1), rate)
    expected[0], expected[-1] = poisson.cdf(low, rate), poisson.sf(high - 1, rate)
    assert chisquare(np.bincount(edges, minlength=high - low + 1), expected * 400_000).pvalue > 0.001


def test_each_place_has_its_own_rate():
    rate = np.array([200.0, 0.0, 3.0, 150.0, 3.0, 60.0])
    table, rng = PoissonTable(rate), np.random.default_rng(1)
    counts = np.array([table(rng) for _ in range(4000)])
    assert counts.mean(axis=0) == pytest.approx(rate, abs=4 * np.sqrt(200 / 4000))
    assert counts.var(axis=0) == pytest.approx(rate, rel=0.12)
    assert abs(np.corrcoef(counts[:, 2], counts[:, 4])[0, 1]) < 4 / np.sqrt(4000)


@pytest.mark.parametrize("rate", [[], [0.0, 0.0], [500.0]])
def test_either_kind_of_place_may_be_missing(rate):
    counts = PoissonTable(np.array(rate))(np.random.default_rng(0))
    assert counts.shape == (len(rate),)
    assert counts == pytest.approx(np.array(rate), abs=150)
