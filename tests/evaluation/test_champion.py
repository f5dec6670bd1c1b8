"""The paired comparison with the champion: it must tell better from worse, and a model from itself."""

from dataclasses import replace
from typing import Any

import pytest

from stage1.evaluation.champion import Champion
from stage1.evaluation.rows import TestRows as Rows
from stage1.metrics import augrc
from stage1.policy import ExitPolicy
from tests.evaluation.making import gate, judged, simulated, softmax

COUNT = 600


def champion(rows: Rows, policy: ExitPolicy | None = None, model_digest: str = "c" * 64) -> Champion:
    return Champion(
        digest="b" * 64,
        sequence=3,
        policy_name="softmax",
        policy=policy or softmax(),
        rows=rows,
        model_digest=model_digest,
    )


def compared(challenger: Rows, other: Champion, policy: ExitPolicy | None = None) -> dict[str, Any]:
    found: dict[str, Any] = judged(challenger, policy or softmax(), champion=other)["champion"]
    return found


def area(rows: Rows) -> float:
    return augrc(abs(rows.margin_N), rows.wrong_N)


def test_a_champion_compared_with_itself_differs_by_exactly_nothing_and_is_called_identical() -> None:
    rows = simulated(COUNT)
    found = compared(rows, champion(rows, model_digest="m" * 64))
    assert found["augrc_difference"] == {"value": 0.0, "low": 0.0, "upper": 0.0}
    assert found["identical"] is True
    assert (found["digest"], found["sequence"], found["policy"]) == ("b" * 64, 3, "softmax")
    assert found["model_digest"] == "m" * 64


def test_the_same_model_under_another_policy_is_not_identical() -> None:
    rows = simulated(COUNT)
    for policy in (softmax(-2.0, 2.0), gate(0.5)):
        assert compared(rows, champion(rows, policy, model_digest="m" * 64))["identical"] is False


def test_a_worse_champion_is_beaten_beyond_doubt() -> None:
    good, bad = simulated(COUNT, seed=1), simulated(COUNT, seed=2, noise=3)
    found = compared(good, champion(bad))
    difference = found["augrc_difference"]
    assert difference["value"] == pytest.approx(area(good) - area(bad))
    assert difference["low"] < difference["value"] < difference["upper"] < 0
    assert found["augrc"]["value"] == pytest.approx(area(bad)), "the champion's own number, from its own rows"
    assert found["identical"] is False


def test_a_better_champion_is_not_beaten() -> None:
    good, bad = simulated(COUNT, seed=1), simulated(COUNT, seed=2, noise=3)
    difference = compared(bad, champion(good))["augrc_difference"]
    assert 0 < difference["low"] < difference["value"] < difference["upper"]


def test_models_of_equal_skill_are_not_told_apart() -> None:
    difference = compared(simulated(COUNT, seed=1), champion(simulated(COUNT, seed=2)))["augrc_difference"]
    assert difference["low"] < 0 < difference["upper"]


def test_pairing_sees_a_small_difference_that_two_intervals_would_hide() -> None:
    """The champion is the challenger with ten images spoilt: their intervals overlap, the difference is sure."""
    rows = simulated(COUNT, noise=3)
    spoilt = rows.logits_N2.copy()
    right = [index for index in range(COUNT) if not rows.wrong_N[index]][:10]
    spoilt[right, 1] *= -1
    metrics = judged(rows, softmax(), champion=champion(replace(rows, logits_N2=spoilt)))
    mine, theirs = metrics["policies"]["softmax"]["augrc"], metrics["champion"]["augrc"]
    assert mine["high"] > theirs["low"]
    assert metrics["champion"]["augrc_difference"]["upper"] < 0


def test_each_is_ranked_by_the_confidence_of_its_own_policy() -> None:
    """Gates that say nothing rank like a coin: half of the error rate. The champion's gate is wrong, and not asked."""
    rows = simulated(COUNT, seed=1)
    blind = replace(rows, gate_N=rows.gate_N * 0)
    found = compared(blind, champion(replace(rows, gate_N=-rows.gate_N)), policy=gate(-1.0))
    error_rate = rows.wrong_N.mean()
    assert found["augrc_difference"]["value"] == pytest.approx(error_rate / 2 - area(rows))
    assert found["augrc_difference"]["low"] > 0


def test_the_champions_rates_are_of_its_own_thresholds() -> None:
    rows = simulated(COUNT, seed=1, noise=3)
    found = compared(rows, champion(rows, policy=softmax(-3.0, 3.0)))
    answered = (rows.margin_N >= 3) | (rows.margin_N < -3)
    assert found["coverage"]["value"] == pytest.approx(answered.mean())
    assert found["fnr_answered"]["positives"] == int((answered & rows.positive_N).sum())
    assert found["fnr_answered"]["misses"] == int((rows.positive_N & (rows.margin_N < -3)).sum())


def test_a_single_group_proves_no_difference() -> None:
    good = replace(simulated(40, seed=1), groups_N=simulated(40, group_size=40).groups_N)
    difference = compared(good, champion(simulated(40, seed=2, noise=3)))["augrc_difference"]
    assert difference["value"] < 0
    assert (difference["low"], difference["upper"]) == (None, None)
