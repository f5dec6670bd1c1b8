"""Hoeffding-Bentkus: the formula by other means, what it costs beside the exact binomial, and that it holds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, entropy

from stage1.conformal import (
    fnr_upper_bound,
    hoeffding_bentkus_bound,
    hoeffding_bentkus_needs,
    hoeffding_bentkus_p_values,
    positives_needed,
)
from stage1.errors import BadData

SIZES = st.integers(1, 3000)
RATES = st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.5])


def by_definition(losses, samples, alpha):
    """min(exp(-n KL(mean || alpha)), e P(Binomial(n, alpha) <= ceil(losses))), at most 1."""
    mean = losses / samples
    hoeffding = np.exp(-samples * entropy([mean, 1 - mean], [alpha, 1 - alpha])) if mean < alpha else 1.0
    return min(hoeffding, np.e * binom.cdf(np.ceil(losses), samples, alpha), 1.0)


@given(SIZES, st.floats(0, 1), RATES)
def test_the_p_value_is_the_papers_formula(samples, share, alpha):
    losses = share * samples
    found = hoeffding_bentkus_p_values([losses], [samples], alpha)[0]
    assert found == pytest.approx(by_definition(losses, samples, alpha), rel=1e-9, abs=1e-300)


def test_many_candidates_at_once_and_none_of_their_samples():
    found = hoeffding_bentkus_p_values([0, 0, 3, 5], [0, 100, 400, 5], 0.02)
    assert found == pytest.approx([1.0, 0.98**100, by_definition(3, 400, 0.02), 1.0])


@settings(deadline=None)
@given(SIZES, st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
def test_the_bound_is_where_the_test_starts_to_refuse(samples, share, confidence):
    losses = share * samples * 0.99
    bound = hoeffding_bentkus_bound(losses, samples, confidence)
    assert losses / samples < bound <= 1
    if bound < 1 - 1e-9:
        refused = hoeffding_bentkus_p_values([losses], [samples], min(bound + 1e-7, 1 - 1e-12))[0]
        kept = hoeffding_bentkus_p_values([losses], [samples], bound - 1e-7)[0]
        assert refused <= 1 - confidence + 1e-9
        assert kept >= 1 - confidence - 1e-9


def test_the_bound_takes_the_better_of_the_two_tests():
    # Few losses: Hoeffding's relative entropy, exact without a loss. Just above a whole loss: it still beats e * tail.
    assert hoeffding_bentkus_bound(0, 149) == pytest.approx(1 - 0.05 ** (1 / 149))
    # Many whole losses: Bentkus', where P(Binomial <= 100) is .05 / e.
    bound = hoeffding_bentkus_bound(100, 1000)
    assert binom.cdf(100, 1000, bound) == pytest.approx(0.05 / np.e)
    assert np.exp(-1000 * entropy([0.1, 0.9], [bound, 1 - bound])) > 0.05


@given(st.integers(0, 300), st.integers(1, 3000))
def test_it_is_never_sharper_than_the_exact_binomial_on_whole_losses(misses, positives):
    misses = min(misses, positives)
    assert hoeffding_bentkus_bound(misses, positives) >= fnr_upper_bound(misses, positives) - 1e-12


def test_nothing_and_everything_bound_at_one():
    assert hoeffding_bentkus_bound(0, 0) == 1.0
    assert hoeffding_bentkus_bound(3, 3) == 1.0
    assert hoeffding_bentkus_bound(2.5, 3) < 1.0


@settings(deadline=None)
@given(st.floats(0, 30), RATES, st.sampled_from([0.8, 0.95, 0.99]))
def test_the_number_needed_is_the_first_that_proves(losses, max_risk, confidence):
    needed = hoeffding_bentkus_needs(max_risk, losses, confidence)
    assert by_definition(losses, needed, max_risk) <= 1 - confidence + 1e-12
    assert needed - 1 < losses or needed == 1 or by_definition(losses, needed - 1, max_risk) > 1 - confidence - 1e-12


def test_what_it_costs_beside_clopper_pearson():
    assert hoeffding_bentkus_needs(0.02) == positives_needed(0.02) == 149
    assert all(hoeffding_bentkus_needs(0.02, k) > positives_needed(0.02, k) for k in (1, 2, 5, 50))
    assert hoeffding_bentkus_needs(0.02, 10) / positives_needed(0.02, 10) == pytest.approx(1.13, abs=0.03)


@pytest.mark.parametrize("shape", ["bernoulli", "beta", "groups"])
def test_it_breaks_its_promise_at_most_as_often_as_delta(shape):
    """Mean risk exactly alpha: a bound below it, or a p-value <= delta, in at most delta of 4,000 runs."""
    rng, alpha, delta, runs = np.random.default_rng(0), 0.1, 0.1, 4000
    if shape == "bernoulli":
        losses = rng.binomial(300, alpha, size=runs).astype(float)
    elif shape == "beta":
        losses = rng.beta(0.1, 0.9, size=(runs, 300)).sum(axis=1)
    else:  # the share missed in each of 300 groups of 5, whose rates differ
        losses = (rng.binomial(5, rng.beta(0.4, 3.6, size=(runs, 300))) / 5).sum(axis=1)
    broken = (hoeffding_bentkus_p_values(losses, np.full(runs, 300), alpha) <= delta).mean()
    assert broken <= delta + 3 * np.sqrt(delta * (1 - delta) / runs)
    below = np.array([hoeffding_bentkus_bound(total, 300, 1 - delta) < alpha for total in losses[:300]])
    assert (below == (hoeffding_bentkus_p_values(losses[:300], np.full(300, 300), alpha) < delta)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hoeffding_bentkus_bound(2, 1), "losses must lie between 0 and samples, got 2 of 1"),
        (lambda: hoeffding_bentkus_bound(-1, 1), "between 0 and samples, got -1 of 1"),
        (lambda: hoeffding_bentkus_bound(0, 1, 1.0), r"confidence must lie in \(0, 1\), got 1.0"),
        (lambda: hoeffding_bentkus_needs(1.0), r"max_risk must lie in \(0, 1\), got 1.0"),
        (lambda: hoeffding_bentkus_needs(0.1, -1.0), "losses must be at least 0, got -1.0"),
        (lambda: hoeffding_bentkus_needs(0.1, 0, 0.0), "confidence"),
        (lambda: hoeffding_bentkus_p_values([0], [1], 0.0), "alpha"),
        (lambda: hoeffding_bentkus_p_values([2], [1], 0.1), "0 <= sum of losses <= number of samples"),
        (lambda: hoeffding_bentkus_p_values([-1], [1], 0.1), "0 <= sum of losses <= number of samples"),
        (lambda: hoeffding_bentkus_p_values([np.nan], [1], 0.1), "0 <= sum of losses <= number of samples"),
        (lambda: hoeffding_bentkus_p_values([0, 0], [1], 0.1), "0 <= sum of losses <= number of samples"),
        (lambda: hoeffding_bentkus_p_values([0], [1.5], 0.1), "samples must be whole numbers"),
    ],
)
def test_impossible_requests_are_refused(call, message):
    with pytest.raises(BadData, match=message):
        call()
