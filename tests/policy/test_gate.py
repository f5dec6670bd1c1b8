"""The gate policy: fixed-sequence testing over acceptance, Platt that changes no decision, collapse said."""

import numpy as np
import pytest

from stage1.errors import BadData
from stage1.metrics import augrc
from stage1.policy import Aim, Constraint, GatePolicy, Predictions
from stage1.policy.fitting.evidence import judges
from stage1.policy.fitting.rules import Gated, levels_of, planned_levels, rules_of
from tests.policy.scenes import outcome, scenes

LIMIT = Constraint(max_fnr=0.05)
NO_AIM = Aim(pass_probability=1e-9)


def test_accepted_images_are_answered_by_the_margin():
    rows = scenes(3000, 0)
    policy = GatePolicy.fit(rows, LIMIT)
    decisions = policy.decide(rows.logits, rows.gate)
    accepted = rows.gate > (-np.inf if policy.accept_above is None else policy.accept_above)
    assert policy.feasible
    assert np.array_equal(decisions.answered, accepted)
    assert np.array_equal(decisions.label == 1, rows.margin >= policy.positive_from)


def test_platt_scaling_changes_no_ranking():
    rows = scenes(3000, 0)
    policy = GatePolicy.fit(rows, LIMIT)
    assert policy.platt.slope > 0
    raw, calibrated = policy.confidence(rows.logits, rows.gate), policy.acceptance(rows.gate)
    assert np.array_equal(raw, rows.gate)
    assert augrc(calibrated, rows.errors) == augrc(raw, rows.errors)


def test_the_calibrated_gate_is_the_chance_to_be_right():
    rows = scenes(20_000, 1)
    acceptance = GatePolicy.fit(rows, LIMIT).acceptance(rows.gate)
    assert acceptance.mean() == pytest.approx(1 - rows.errors.mean(), abs=1e-6)


def test_a_reversed_gate_is_a_finding():
    rows = scenes(3000, 0)
    policy = GatePolicy.fit(Predictions(rows.logits, rows.labels, -rows.gate), LIMIT)
    assert policy.platt.slope < 0
    assert any("slope is not positive" in finding for finding in policy.platt.findings)


def test_a_collapsed_gate_is_said_and_accepts_all_or_nothing():
    rows = scenes(3000, 0)
    constant = Predictions(rows.logits, rows.labels, np.ones(3000))
    policy = GatePolicy.fit(constant, Constraint(max_fnr=0.2, max_fpr=0.2))
    assert "The gate collapsed" in policy.findings[0]
    assert policy.feasible
    assert policy.accept_above is None
    strict = GatePolicy.fit(constant, Constraint(max_fnr=0.001))
    assert not strict.feasible


def test_rules_come_from_the_negatives_and_val_select_alone():
    rows = scenes(2000, 0)
    moved = Predictions(
        rows.logits + np.outer(rows.positive, [0, 3]), rows.labels, np.asarray(rows.gate) + 5 * rows.positive
    )
    sides = judges(rows, LIMIT, Aim())
    found = []
    for data in (rows, moved):
        gated = Gated.of(data)
        found.append(rules_of(gated, sides, levels_of(gated), among=11))
    assert found[0] == found[1]
    assert len(found[0]) == 11


def test_val_select_names_a_few_levels_from_the_likeliest_on():
    rows = scenes(4000, 1)
    levels = planned_levels(Gated.of(rows), judges(rows, LIMIT, Aim()))
    assert 1 <= len(levels) <= 5
    assert (np.diff(levels) < 0).all()
    useless = scenes(2000, 0, kind="useless")
    assert len(planned_levels(Gated.of(useless), judges(useless, LIMIT, Aim()))) == 0


def test_planning_certifies_more_often():
    limit = Constraint()
    planned = [GatePolicy.fit(scenes(1500, s), limit, planning=scenes(1500, 500 + s)).feasible for s in range(20)]
    unplanned = [GatePolicy.fit(scenes(1500, s), limit).feasible for s in range(20)]
    assert sum(planned) > sum(unplanned)


def test_why_it_is_refused():
    few_negatives = Predictions(np.zeros((40, 2)), np.repeat([0, 1], 20), np.arange(40.0))
    assert 0.95**106 <= 0.05 / 11 < 0.95**105
    assert "needs 106 accepted negatives in val_calib; it has 20" in GatePolicy.fit(few_negatives, LIMIT).reason
    misses = GatePolicy.fit(scenes(2000, 0, kind="useless"), LIMIT)
    assert not misses.feasible
    assert "these could certify FNR <=" in misses.reason
    empty = GatePolicy.fit(Predictions(np.zeros((0, 2)), [], []), LIMIT)
    assert not empty.feasible


def test_without_a_gate_nothing_can_be_fitted_or_decided():
    rows = scenes(500, 0)
    with pytest.raises(BadData, match="reads the gate"):
        GatePolicy.fit(Predictions(rows.logits, rows.labels), LIMIT)
    with pytest.raises(BadData, match="reads the gate"):
        GatePolicy.fit(rows, LIMIT).decide(rows.logits)


@pytest.mark.parametrize("kind", ["informative", "tied"])
def test_the_certificate_alone_breaks_its_promise_at_most_as_often_as_delta(kind):
    world = scenes(200_000, 999, kind=kind)
    runs, broken, alarmed = 60, 0, 0
    for seed in range(runs):
        policy = GatePolicy.fit(scenes(2000, seed, kind=kind), LIMIT, aim=NO_AIM)
        if policy.feasible:
            misses, positives, alarms, negatives, _ = outcome(policy, world)
            broken += misses / positives > LIMIT.max_fnr
            alarmed += alarms / negatives > LIMIT.max_fpr
    error = np.sqrt(0.05 * 0.95 / runs)
    assert broken / runs <= 0.05 + 3 * error
    assert alarmed / runs <= 0.05 + 3 * error


def test_an_aimed_policy_expects_to_pass():
    policy = GatePolicy.fit(scenes(4000, 0), LIMIT)
    assert policy.feasible
    assert policy.evidence.pass_probability >= 0.9
    assert policy.evidence.fnr_upper <= LIMIT.max_fnr
    assert policy.evidence.fpr_upper <= LIMIT.max_fpr


def test_every_image_needs_a_gate_logit():
    policy = GatePolicy.fit(scenes(3000, 0), LIMIT)
    with pytest.raises(BadData, match=r"gate needs one entry for each of 2 images, got shape \(1,\)"):
        policy.decide([[0.0, 1.0], [0.0, 2.0]], [1.0])


def test_a_gate_logit_that_is_not_finite_is_not_a_number():
    policy = GatePolicy.fit(scenes(3000, 0), LIMIT)
    found = policy.confidence([[0.0, 1.0]] * 3, np.array([1.5, np.inf, np.nan], dtype=np.float32))
    assert found[0] == 1.5
    assert np.isnan(found[1:]).all()
    assert np.isnan(policy.acceptance([-np.inf]))[0]
