"""The gate on candidates that differ in one number from a good one."""

import copy
import math
from dataclasses import replace
from typing import Any

import pytest

from stage1 import promotion
from stage1.policy import Constraint
from stage1.promotion import CHECKS, Decision, GateConfig, gate
from tests.promotion.candidates import CHAMPION, DATA, MODEL, OTHER, TEST, Candidate, pointer, upper

GOOD = Candidate()
LIMITS = GateConfig()


def refused(decision: Decision) -> list[str]:
    """Names of the checks that refuse."""
    assert decision.promote is (not decision.reasons)
    return [check.name for check in decision.checks if check.verdict == "refuse"]


def judged(candidate: Candidate, limits: GateConfig = LIMITS, **more: Any) -> list[str]:
    return refused(gate(candidate.metrics(), limits, pointer(), **more))


def bound_of(decision: Decision, name: str) -> float | None:
    return next(check.bound for check in decision.checks if check.name == name)


def with_value(path: str, value: Any) -> dict[str, Any]:
    """A good candidate's metrics with one leaf replaced."""
    metrics = copy.deepcopy(GOOD.metrics())
    *parents, last = path.split(".")
    part = metrics
    for parent in parents:
        part = part[parent]
    assert last in part, path
    part[last] = value
    return metrics


def test_public_names() -> None:
    assert sorted(promotion.__all__) == ["CHECKS", "Champion", "Check", "Decision", "GateConfig", "gate"]
    assert all(hasattr(promotion, name) for name in promotion.__all__)


def test_a_good_candidate_is_promoted_with_every_check_made() -> None:
    decision = gate(GOOD.metrics(), LIMITS, pointer())
    assert decision.promote
    assert tuple(check.name for check in decision.checks) == CHECKS
    assert decision.reasons == decision.warnings == ()
    assert (decision.policy, decision.look, decision.val_test_digest) == ("softmax", 1, TEST)
    assert (decision.data_digest, decision.model_digest) == (DATA, MODEL)
    assert decision.champion is not None
    assert (decision.champion.digest, decision.champion.sequence) == (CHAMPION, 3)


def test_each_check_shows_its_numbers() -> None:
    checks = {check.name: check for check in gate(GOOD.metrics(), LIMITS, pointer()).checks}
    fnr, fpr, coverage, augrc, champion = (
        checks[name] for name in ("fnr_answered", "fpr_answered", "coverage", "augrc", "champion")
    )
    assert (fnr.value, fnr.limit, fnr.comparison) == (6 / 906, 0.02, "<=")
    assert fnr.bound == pytest.approx(upper(6, 906), abs=1e-9)
    assert (fpr.value, fpr.limit, fpr.comparison) == (50 / 1850, 0.05, "<=")
    assert fpr.bound == pytest.approx(upper(50, 1850), abs=1e-9)
    assert (coverage.value, coverage.limit, coverage.comparison) == (2756 / 3000, 0.6, ">=")
    assert (augrc.value, augrc.bound, augrc.limit, augrc.comparison) == (0.004, 0.005, 0.02, "<=")
    assert champion.value == pytest.approx(-0.001)
    assert champion.bound == pytest.approx(0.001)
    assert (champion.limit, champion.comparison) == (0.002, "<=")
    assert (checks["positives"].value, checks["positives"].limit) == (906, 149)
    assert (checks["negatives"].value, checks["negatives"].limit) == (1850, 59)
    assert (checks["groups"].value, checks["groups"].limit) == (60, 20)


@pytest.mark.parametrize(
    ("misses", "enough"), [(0, 149), (1, 236), (2, 313), (3, 386), (4, 456), (5, 523)]
)  # METHODS.md, "Certifying FNR <= 2 %"
def test_positives_that_certify_two_percent(misses: int, enough: int) -> None:
    candidate = replace(GOOD, fn=misses, tp=enough - misses)
    assert judged(candidate) == []
    too_few = replace(candidate, tp=enough - misses - 1)
    assert judged(too_few) == (["positives", "fnr_answered"] if misses == 0 else ["fnr_answered"])


@pytest.mark.parametrize(("alarms", "enough"), [(0, 59), (1, 93), (2, 124)])  # ln .05 / ln .95 = 58.4
def test_negatives_that_certify_five_percent(alarms: int, enough: int) -> None:
    candidate = replace(GOOD, fp=alarms, tn=enough - alarms, deferred_neg=0)
    assert judged(candidate) == []
    too_few = replace(candidate, tn=enough - alarms - 1)
    assert judged(too_few) == (["negatives", "fpr_answered"] if alarms == 0 else ["fpr_answered"])


def test_positive_for_everything_is_refused() -> None:
    assert judged(Candidate(tp=1000, fn=0, tn=0, fp=2000, deferred_pos=0, deferred_neg=0)) == ["fpr_answered"]


def test_a_policy_that_answers_nothing_is_refused() -> None:
    names = judged(Candidate(tp=0, fn=0, tn=0, fp=0, deferred_pos=1000, deferred_neg=2000))
    assert names == ["positives", "negatives", "fnr_answered", "fpr_answered", "coverage"]


def test_a_rate_of_nothing_or_of_everything_is_no_certificate() -> None:
    metrics = Candidate(tp=0, fn=0, deferred_pos=1000).metrics()
    metrics["policies"]["softmax"]["fnr_answered"]["value"] = 0.0
    assert refused(gate(metrics, LIMITS, pointer())) == ["positives", "fnr_answered"]
    missed = gate(Candidate(tp=0, fn=900).metrics(), LIMITS, pointer())
    assert refused(missed) == ["fnr_answered"]
    assert bound_of(missed, "fnr_answered") == 1.0


def test_coverage_at_the_limit_passes_and_below_it_does_not() -> None:
    exact = Candidate(tp=600, fn=0, tn=1200, fp=0, deferred_pos=400, deferred_neg=800)
    assert exact.metrics()["policies"]["softmax"]["coverage"]["value"] == 0.6
    assert judged(exact) == []
    assert judged(replace(exact, tn=1199, deferred_neg=801)) == ["coverage"]


def test_limits_are_kept_when_met_exactly() -> None:
    assert judged(GOOD, GateConfig(max_augrc=0.005)) == []
    assert judged(GOOD, GateConfig(max_augrc=math.nextafter(0.005, 0))) == ["augrc"]
    measured = gate(GOOD.metrics(), LIMITS, pointer())
    bound = bound_of(measured, "champion")
    assert bound is not None
    assert judged(GOOD, GateConfig(champion_margin=bound)) == []
    assert judged(GOOD, GateConfig(champion_margin=math.nextafter(bound, 0))) == ["champion"]
    assert judged(replace(GOOD, groups=20)) == []
    assert judged(replace(GOOD, groups=19)) == ["groups"]
    assert judged(GOOD, GateConfig(min_groups=60)) == []
    assert judged(GOOD, GateConfig(min_groups=61)) == ["groups"]
    fnr, fpr = bound_of(measured, "fnr_answered"), bound_of(measured, "fpr_answered")
    assert fnr is not None
    assert fpr is not None
    assert judged(GOOD, GateConfig(constraint=Constraint(max_fnr=fnr, max_fpr=fpr))) == []
    assert judged(GOOD, GateConfig(constraint=Constraint(max_fnr=math.nextafter(fnr, 0)))) == ["fnr_answered"]
    assert judged(GOOD, GateConfig(constraint=Constraint(max_fpr=math.nextafter(fpr, 0)))) == ["fpr_answered"]


@pytest.mark.parametrize("rate", ["fnr_answered", "fpr_answered"])
def test_a_doctored_bound_does_not_help(rate: str) -> None:
    bad = replace(GOOD, fn=20, tp=886) if rate == "fnr_answered" else replace(GOOD, fp=120, tn=1730)
    metrics = bad.metrics()
    metrics["policies"]["softmax"][rate]["upper"] = 0.001
    assert refused(gate(metrics, LIMITS, pointer())) == [rate]


@pytest.mark.parametrize(("rate", "limit"), [("fnr_answered", 0.02), ("fpr_answered", 0.05)])
def test_a_reported_bound_above_the_computed_one_counts(rate: str, limit: float) -> None:
    assert refused(gate(with_value(f"policies.softmax.{rate}.upper", limit), LIMITS, pointer())) == []
    above = gate(with_value(f"policies.softmax.{rate}.upper", math.nextafter(limit, 1)), LIMITS, pointer())
    assert refused(above) == [rate]
    assert bound_of(above, rate) == math.nextafter(limit, 1)


def test_a_value_above_its_own_interval_counts_as_its_bound() -> None:
    metrics = replace(GOOD, champion_augrc=None).metrics()
    metrics["policies"]["softmax"]["augrc"] = {"value": 0.03, "low": 0.001, "high": 0.004}
    assert refused(gate(metrics, LIMITS)) == ["augrc"]
    metrics = replace(GOOD, augrc=0.009).metrics()
    metrics["champion"]["augrc_difference"]["upper"] = -0.01
    assert refused(gate(metrics, LIMITS, pointer())) == ["champion"]


def test_an_interval_upside_down_is_refused() -> None:
    metrics = with_value("policies.softmax.augrc.low", 0.006)
    assert refused(gate(metrics, LIMITS, pointer())) == ["augrc"]


def test_groups_that_are_alike_prove_less() -> None:
    # 6 misses of 906 at a design effect of 2 are worth 3 of 453; 11 of 906 and an effect of 2 are worth 5.5 of 453.
    halved = replace(GOOD, design_effect=2.0)
    decision = gate(halved.metrics(), LIMITS, pointer())
    assert refused(decision) == []
    assert bound_of(decision, "fnr_answered") == pytest.approx(upper(3, 453), abs=1e-9)
    assert upper(11, 906) < 0.0201 < upper(5, 453) + 0.005
    assert judged(replace(GOOD, fn=10, tp=896)) == []
    assert judged(replace(GOOD, fn=10, tp=896, design_effect=2.0)) == ["fnr_answered"]


def test_a_design_effect_below_one_does_not_help() -> None:
    helped = gate(replace(GOOD, design_effect=0.1).metrics(), LIMITS, pointer())
    assert bound_of(helped, "fnr_answered") == pytest.approx(upper(6, 906), abs=1e-9)


@pytest.mark.parametrize(
    ("look", "enough"), [(1, 173), (2, 242), (10, 401)]
)  # METHODS.md, "Looking twice costs": zero misses
def test_spending_the_error_over_looks(look: int, enough: int) -> None:
    limits = GateConfig(on_repeat_look="spend")
    candidate = replace(GOOD, fn=0, tp=enough)
    assert judged(candidate, limits, look=look) == []
    assert judged(replace(candidate, tp=enough - 1), limits, look=look) == ["positives", "fnr_answered"]
    assert gate(candidate.metrics(), limits, pointer(), look=look).warnings == ()


def test_a_repeated_look_is_warned_about_and_costs_nothing_by_default() -> None:
    candidate = replace(GOOD, fn=0, tp=149)
    assert gate(candidate.metrics(), LIMITS, pointer(), look=1).warnings == ()
    second = gate(candidate.metrics(), LIMITS, pointer(), look=2)
    assert second.promote
    assert second.look == 2
    assert len(second.warnings) == 1
    assert "candidate number 2" in second.warnings[0]


@pytest.mark.parametrize("mode", ["warn", "spend"])
@pytest.mark.parametrize("look", [0, -1])
def test_a_look_that_was_not_counted_is_refused(look: int, mode: str) -> None:
    names = judged(GOOD, GateConfig(on_repeat_look=mode), look=look)  # type: ignore[arg-type]
    assert names == ["look", "positives", "negatives", "fnr_answered", "fpr_answered"]


@pytest.mark.parametrize("split", ["val_calib", "val_select", "train", "VAL_TEST", ""])
def test_metrics_of_another_split_are_refused(split: str) -> None:
    assert refused(gate(with_value("split", split), LIMITS, pointer())) == ["test_split"]


@pytest.mark.parametrize("wrong", ["stage1/metrics/v2", "stage1/decision/v1"])
def test_another_schema_is_refused(wrong: str) -> None:
    assert refused(gate(with_value("schema", wrong), LIMITS, pointer())) == ["origin"]


def test_bounds_of_a_lower_confidence_are_refused() -> None:
    assert judged(replace(GOOD, confidence=0.9)) == ["origin"]
    assert judged(replace(GOOD, confidence=0.99)) == []
    strict = GateConfig(constraint=Constraint(confidence=0.99))
    assert judged(replace(GOOD, confidence=0.99), strict) == []
    assert judged(GOOD, strict) == ["origin"]


def test_a_stricter_confidence_needs_more_positives() -> None:
    strict = GateConfig(constraint=Constraint(confidence=0.99))  # ln .01 / ln .98 = 227.9
    enough = replace(GOOD, confidence=0.99, fn=0, tp=228)
    assert judged(enough, strict) == []
    assert judged(replace(enough, tp=227), strict) == ["positives", "fnr_answered"]


def test_an_infeasible_policy_is_refused_with_its_reason() -> None:
    metrics = with_value("policies.softmax.feasible", False)
    metrics["policies"]["softmax"]["reason"] = "needs 149 positives, got 12"
    decision = gate(metrics, LIMITS, pointer())
    assert refused(decision) == ["policy"]
    assert "needs 149 positives, got 12" in decision.reasons[0]
    metrics["policies"]["softmax"]["reason"] = ""
    assert refused(gate(metrics, LIMITS, pointer())) == ["policy"]


def test_the_policy_that_ships_is_the_one_that_is_judged() -> None:
    metrics = GOOD.metrics()
    metrics["policies"]["scrc"] = replace(GOOD, fn=40, tp=866).metrics()["policies"]["softmax"]
    metrics["chosen"] = "scrc"
    decision = gate(metrics, LIMITS, pointer())
    assert refused(decision) == ["fnr_answered"]
    assert decision.policy == "scrc"
    metrics["chosen"] = "none"
    decision = gate(metrics, LIMITS, pointer())
    assert "policy" in refused(decision)
    assert any("have no policy 'none'" in reason for reason in decision.reasons)


COUNTS = ["num_images", "num_positives"] + [
    f"policies.softmax.{leaf}"
    for leaf in (
        *(f"confusion.answered_{kind}" for kind in ("tp", "fn", "tn", "fp")),
        "confusion.deferred_pos",
        "confusion.deferred_neg",
        "fnr_answered.misses",
        "fnr_answered.positives",
        "fpr_answered.false_alarms",
        "fpr_answered.negatives",
    )
]


def leaf(metrics: dict[str, Any], path: str) -> Any:
    part: Any = metrics
    for name in path.split("."):
        part = part[name]
    return part


@pytest.mark.parametrize("path", COUNTS)
@pytest.mark.parametrize("step", [-1, 1])
def test_counts_that_do_not_add_up_are_refused(path: str, step: int) -> None:
    metrics = with_value(path, leaf(GOOD.metrics(), path) + step)
    assert "counts" in refused(gate(metrics, LIMITS, pointer()))


def test_more_groups_than_images_are_refused() -> None:
    assert judged(replace(GOOD, groups=GOOD.images)) == []
    assert judged(replace(GOOD, groups=GOOD.images + 1)) == ["counts"]


def test_no_images_are_refused() -> None:
    empty = Candidate(tp=0, fn=0, tn=0, fp=0, deferred_pos=0, deferred_neg=0, groups=0)
    metrics = replace(empty, deferred_pos=1).metrics()
    metrics["num_images"] = metrics["num_positives"] = 0
    metrics["policies"]["softmax"]["confusion"]["deferred_pos"] = 0
    names = refused(gate(metrics, LIMITS, pointer()))
    assert names == ["counts", "groups", "positives", "negatives", "fnr_answered", "fpr_answered", "coverage"]


@pytest.mark.parametrize(
    ("path", "value", "check"),
    [
        ("policies.softmax.fnr_answered.value", 0.0, "fnr_answered"),
        ("policies.softmax.fpr_answered.value", 0.0, "fpr_answered"),
        ("policies.softmax.coverage.value", 1.0, "coverage"),
        ("policies.softmax.coverage.value", 0.7, "coverage"),
        ("policies.softmax.augrc.value", -0.1, "augrc"),
        ("policies.softmax.augrc.value", 0.51, "augrc"),
        ("champion.augrc.value", 0.4, "champion"),
        ("champion.augrc_difference.value", -0.3, "champion"),
        ("champion.augrc_difference.value", 0.001, "champion"),
        ("champion.digest", OTHER, "champion"),
        ("champion.digest", "E" * 64, "champion"),
        ("champion.identical", True, "champion"),
        ("data_digest", "x", "origin"),
        ("model_digest", MODEL + "\n", "origin"),
    ],
)
def test_a_number_that_contradicts_another_is_refused(path: str, value: Any, check: str) -> None:
    assert check in refused(gate(with_value(path, value), LIMITS, pointer()))


def test_a_swapped_sign_is_refused() -> None:
    worse = replace(GOOD, augrc=0.012, augrc_margin=0.001, champion_augrc=0.005)
    metrics = worse.metrics()
    assert refused(gate(metrics, LIMITS, pointer())) == ["champion"]
    difference = metrics["champion"]["augrc_difference"]
    metrics["champion"]["augrc_difference"] = {
        "value": -difference["value"],
        "low": -difference["upper"],
        "upper": -difference["low"],
    }
    decision = gate(metrics, LIMITS, pointer())
    assert refused(decision) == ["champion"]
    assert "candidate - champion" in decision.reasons[0]


READ = [
    *COUNTS,
    *("schema", "split", "data_digest", "model_digest", "confidence", "num_groups", "chosen"),
    *(
        f"policies.softmax.{leaf}"
        for leaf in (
            *("feasible", "coverage.value", "augrc.value", "augrc.low", "augrc.high"),
            *(f"{rate}.{part}" for rate in ("fnr_answered", "fpr_answered") for part in ("value", "upper")),
            *("fnr_answered.design_effect", "fpr_answered.design_effect"),
        )
    ),
    *("champion.digest", "champion.identical", "champion.model_digest", "champion.augrc.value"),
    *(f"champion.augrc_difference.{part}" for part in ("value", "low", "upper")),
]
BROKEN: list[Any] = [None, math.nan, math.inf, -math.inf, -1, "0.5", [], {}, 10**400]


@pytest.mark.parametrize("path", READ)
@pytest.mark.parametrize("value", BROKEN, ids=lambda value: repr(value)[:8])
def test_whatever_is_missing_or_odd_refuses(path: str, value: Any) -> None:
    assert not gate(with_value(path, value), LIMITS, pointer()).promote


@pytest.mark.parametrize(
    "path", [path for path in READ if path not in ("policies.softmax.feasible", "champion.identical")]
)
def test_true_is_not_a_number(path: str) -> None:
    assert not gate(with_value(path, True), LIMITS, pointer()).promote


@pytest.mark.parametrize("path", READ)
def test_a_missing_field_refuses(path: str) -> None:
    metrics = GOOD.metrics()
    *parents, last = path.split(".")
    part = leaf(metrics, ".".join(parents)) if parents else metrics
    del part[last]
    decision = gate(metrics, LIMITS, pointer())
    assert not decision.promote
    assert any(last in reason for reason in decision.reasons)


@pytest.mark.parametrize("metrics", [None, [], "x", 3, {}, {"policies": 3}, {"chosen": "a", "policies": {"a": []}}])
def test_what_is_no_metrics_is_refused(metrics: Any) -> None:
    decision = gate(metrics, LIMITS)
    assert not decision.promote
    assert decision.data_digest is decision.model_digest is decision.val_test_digest is decision.champion is None
    assert Decision.from_json(decision.to_json()) == decision


def test_counts_that_kfp_made_floats_are_counts() -> None:
    metrics = GOOD.metrics()
    for path in [*COUNTS, "num_groups", "champion.sequence"]:
        *parents, last = path.split(".")
        part = leaf(metrics, ".".join(parents)) if parents else metrics
        part[last] = float(part[last])
    assert gate(metrics, LIMITS, pointer()).promote
    assert "counts" in refused(gate(with_value("num_images", 3000.5), LIMITS, pointer()))


class TestChampion:
    def test_no_champion_is_said(self) -> None:
        decision = gate(replace(GOOD, champion_augrc=None).metrics(), LIMITS)
        assert decision.promote
        assert decision.champion is None
        assert "no champion" in decision.checks[-1].reason

    def test_a_champion_that_was_not_compared_with_refuses(self) -> None:
        decision = gate(replace(GOOD, champion_augrc=None).metrics(), LIMITS, pointer())
        assert refused(decision) == ["champion"]
        assert "no comparison" in decision.reasons[0]
        assert decision.champion is not None

    def test_the_first_champion_of_a_channel_is_one(self) -> None:
        decision = gate(with_value("champion.sequence", 1), LIMITS, pointer(sequence=1))
        assert decision.promote
        assert decision.champion is not None
        assert decision.champion.sequence == 1

    def test_a_comparison_counts_without_the_channels_word(self) -> None:
        assert refused(gate(GOOD.metrics(), LIMITS)) == []
        worse = replace(GOOD, augrc=0.012, champion_augrc=0.005)
        assert refused(gate(worse.metrics(), LIMITS)) == ["champion"]

    def test_a_comparison_with_an_earlier_champion_refuses(self) -> None:
        decision = gate(GOOD.metrics(), LIMITS, pointer(digest=OTHER))
        assert refused(decision) == ["champion"]
        assert decision.champion is not None
        assert decision.champion.digest == OTHER

    @pytest.mark.parametrize("change", [{"digest": "nonsense"}, {"sequence": 0}, {"sequence": None}])
    def test_a_channel_that_points_nowhere_refuses(self, change: dict[str, Any]) -> None:
        decision = gate(GOOD.metrics(), LIMITS, pointer(**change))
        assert refused(decision) == ["champion"]
        assert decision.champion is None

    @pytest.mark.parametrize("sequence", [0, None, 1.5])
    def test_a_champion_without_a_sequence_refuses(self, sequence: Any) -> None:
        decision = gate(with_value("champion.sequence", sequence), LIMITS)
        assert refused(decision) == ["champion"]
        assert decision.champion is None

    def test_the_candidate_itself_is_no_champion(self) -> None:
        decision = gate(with_value("champion.identical", True), LIMITS, pointer())
        assert refused(decision) == ["champion"]
        assert "is the champion" in decision.reasons[0]

    def test_a_difference_of_nothing_is_a_comparison_with_itself(self) -> None:
        same = replace(GOOD, champion_augrc=GOOD.augrc, difference_margin=0.0)
        decision = gate(same.metrics(), LIMITS, pointer())
        assert refused(decision) == ["champion"]
        assert "with itself" in decision.reasons[0]
        assert judged(replace(same, difference_margin=1e-6)) == []

    def test_the_same_model_may_come_back_under_another_policy(self) -> None:
        metrics = replace(GOOD, champion_augrc=GOOD.augrc, difference_margin=0.0).metrics()
        metrics["champion"]["model_digest"] = metrics["model_digest"]
        assert refused(gate(metrics, LIMITS, pointer())) == []

    @pytest.mark.parametrize("digest", [OTHER, "nonsense"])
    def test_numbers_from_other_data_do_not_compare(self, digest: str) -> None:
        assert refused(gate(GOOD.metrics(), LIMITS, pointer(data_digest=digest))) == ["champion"]
        assert refused(gate(GOOD.metrics(), LIMITS, pointer(data_digest=DATA))) == []
        metrics = GOOD.metrics()
        metrics["champion"]["data_digest"] = digest
        assert refused(gate(metrics, LIMITS, pointer())) == ["champion"]
