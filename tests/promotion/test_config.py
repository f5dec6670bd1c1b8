import math
from typing import Any

import pytest
from pydantic import ValidationError

from stage1.promotion import GateConfig
from stage1.promotion.bounds import confidence_at


def test_defaults_are_those_of_the_methods() -> None:
    limits = GateConfig()
    assert (limits.constraint.max_fnr, limits.constraint.max_fpr, limits.constraint.confidence) == (0.02, 0.05, 0.95)
    assert limits.on_repeat_look == "warn"
    assert limits.max_augrc == pytest.approx(0.96 * 0.04 / 2 + 0.04**2 / 2), "random ranking at an accuracy of .96"


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("min_coverage", [0, -0.1, 1.01, math.nan]),
        ("max_augrc", [0, 0.51, math.nan]),
        ("champion_margin", [-0.001, 0.51, math.inf]),
        ("min_groups", [1, 2.5]),
        ("on_repeat_look", ["ignore"]),
        ("max_fnr", [0.02]),
    ],
)
def test_impossible_limits_are_refused(field: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ValidationError, match=field):
            GateConfig.model_validate({field: value})


@pytest.mark.parametrize(
    ("field", "value"), [("min_coverage", 1), ("max_augrc", 0.5), ("champion_margin", 0), ("min_groups", 2)]
)
def test_the_ends_of_the_ranges_are_allowed(field: str, value: float) -> None:
    assert getattr(GateConfig.model_validate({field: value}), field) == value


def test_limits_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        GateConfig().min_coverage = 0.1  # type: ignore[misc]


def test_the_errors_of_all_looks_add_up_to_the_whole() -> None:
    spent = [1 - confidence_at(look, 0.95, spend=True) for look in range(1, 20_001)]
    assert sum(spent) == pytest.approx(0.05, abs=2e-6)  # the rest of the series is below .05 * .61 / 20,000
    assert sum(spent) < 0.05
    assert confidence_at(7, 0.95, spend=False) == 0.95
