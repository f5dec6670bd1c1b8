"""The price of the limit: what a policy would answer at other limits is what fitting it there says."""

import pytest

from stage1.policy import Aim, CalibrateConfig, Constraint, fit, fit_all, price, price_columns
from tests.policy.scenes import scenes

CONFIG = CalibrateConfig(price_limits=(0.02, 0.05, 0.1))
ROWS, PLANNING = scenes(3000, 0), scenes(3000, 1)


@pytest.fixture(scope="module")
def rows():
    return price(fit_all(ROWS, CONFIG, PLANNING), ROWS, CONFIG, PLANNING)


def test_there_is_a_row_for_every_policy_and_limit(rows):
    expected = [(name, limit) for name in ("softmax", "gate", "scrc") for limit in CONFIG.price_limits]
    assert [(row.policy, row.max_fnr) for row in rows] == expected


def test_a_row_is_what_a_fit_at_that_limit_says():
    for row in price(fit_all(ROWS, CONFIG, PLANNING), ROWS, CONFIG, PLANNING):
        config = CONFIG.model_copy(update={"constraint": Constraint(max_fnr=row.max_fnr)})
        fitted = fit(row.policy, ROWS, config, PLANNING)
        seen = fitted.evidence
        assert row.feasible == fitted.feasible
        assert row.coverage == seen.answered / 3000
        assert (row.answered_positives, row.misses, row.fnr_upper) == (
            seen.answered_positives, seen.misses, seen.fnr_upper
        )  # fmt: skip


def test_columns_hold_the_rows(rows):
    found = price_columns(rows)
    assert found["policy"] == [row.policy for row in rows]
    assert found["coverage"] == [row.coverage for row in rows]
    assert price_columns([]) == {name: [] for name in found}


def test_no_limits_give_no_rows_and_no_data_no_coverage():
    few = scenes(40, 0)
    assert price(fit_all(few, CONFIG), few, CONFIG.model_copy(update={"price_limits": ()})) == []
    assert {row.coverage for row in price(fit_all(few, CONFIG), few, CONFIG)} == {0.0}


def test_rows_follow_the_limit_the_plan_and_the_aim():
    """Compared one by one with fits, so that nothing of the configuration is left out on the way."""
    config = CalibrateConfig(
        constraint=Constraint(max_fpr=0.1, confidence=0.9), aim=Aim(pass_probability=0.99), price_limits=(0.03, 0.2)
    )
    rows = price(fit_all(ROWS, config, PLANNING), ROWS, config, PLANNING)
    assert {row.feasible for row in rows} == {True}
    for row in rows:
        constraint = config.constraint.model_copy(update={"max_fnr": row.max_fnr})
        fitted = fit(row.policy, ROWS, config.model_copy(update={"constraint": constraint}), PLANNING)
        seen = fitted.evidence
        assert (row.coverage, row.answered_positives) == (seen.answered / 3000, seen.answered_positives)
        assert (row.misses, row.fnr_upper) == (seen.misses, seen.fnr_upper)
