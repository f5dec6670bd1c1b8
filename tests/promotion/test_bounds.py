"""The gate's own bound, from the counts alone: beside scipy's, and never below what is reported."""

import pytest
from scipy.stats import beta, binomtest

from stage1.promotion.bounds import rate_bound
from stage1.promotion.evidence import Evidence, Unusable


def reported(value: float, upper: float = 0.0, effect: float = 1.0) -> Evidence:
    return Evidence({"value": value, "upper": upper, "design_effect": effect}, "rate")


@pytest.mark.parametrize(("failures", "trials"), [(0, 149), (6, 906), (1, 2), (50, 1850), (149, 150)])
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_a_report_that_claims_too_little_is_overruled_by_the_counts(failures, trials, confidence):
    share, bound = rate_bound(reported(failures / trials), failures, trials, confidence)
    assert share == failures / trials
    # scipy's two-sided interval at 2 c - 1 ends at the one-sided bound at c.
    exact = binomtest(failures, trials).proportion_ci(2 * confidence - 1, method="exact").high
    assert bound == pytest.approx(exact, rel=1e-9)


def test_a_design_effect_divides_the_counts():
    _, bound = rate_bound(reported(6 / 900, effect=3.0), 6, 900, 0.95)
    assert bound == pytest.approx(beta.ppf(0.95, 2 + 1, 300 - 2), rel=1e-12)


@pytest.mark.parametrize("effect", [0.0, 0.5, 1.0])
def test_a_design_effect_below_one_earns_nothing(effect):
    assert rate_bound(reported(6 / 900, effect=effect), 6, 900, 0.95) == rate_bound(reported(6 / 900), 6, 900, 0.95)


def test_all_failures_bound_nothing():
    assert rate_bound(reported(1.0), 30, 30, 0.95) == (1.0, 1.0)


def test_a_larger_report_is_kept():
    assert rate_bound(reported(0.0, upper=0.7), 0, 1000, 0.95) == (0.0, 0.7)


@pytest.mark.parametrize("effect", [-0.1, 1e6 + 0.5])
def test_an_impossible_design_effect_is_refused(effect):
    with pytest.raises(Unusable, match=r"design_effect must lie between 0 and 1e\+06"):
        rate_bound(reported(0.0, effect=effect), 0, 1000, 0.95)
