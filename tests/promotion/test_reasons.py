"""What the gate says, word for word: a platform team acts on these sentences without seeing anything else."""

import math
from typing import Any

import pytest

from stage1.promotion import Decision, GateConfig, gate
from stage1.promotion.evidence import Evidence, Unusable
from tests.promotion.candidates import CHAMPION, DATA, MODEL, OTHER, Candidate, pointer, upper
from tests.promotion.test_gate import GOOD, LIMITS, with_value


def said(decision: Decision, name: str) -> str:
    return next(check.reason for check in decision.checks if check.name == name)


def test_what_a_promotion_says() -> None:
    reasons = {check.name: check.reason for check in gate(GOOD.metrics(), LIMITS, pointer()).checks}
    assert reasons == {
        "test_split": "Measured on val_test, which no earlier step reads.",
        "origin": f"Data {DATA[:12]}, model {MODEL[:12]}.",
        "policy": "Policy softmax was fitted.",
        "look": "Look 1 at this val_test, judged at 0.95 confidence.",
        "counts": "3,000 images with 1,000 positives; all counts add up.",
        "groups": "val_test has 60 groups, 20 are needed.",
        "positives": "906 positives are answered; without a miss 149 would do.",
        "negatives": "1,850 negatives are answered; without a false alarm 59 would do.",
        "fnr_answered": (
            f"6 misses among 906 answered positives: at 0.95 confidence at most {upper(6, 906):.3%}; 2.000% is allowed."
        ),
        "fpr_answered": (
            f"50 false alarms among 1,850 answered negatives: at 0.95 confidence at most {upper(50, 1850):.3%}; "
            "5.000% is allowed."
        ),
        "coverage": "91.9% of the images are answered, 60.0% is needed.",
        "augrc": "AUGRC is at most 0.00500; 0.02000 is allowed.",
        "champion": "AUGRC is at most +0.00100 above the champion's; +0.00200 is allowed.",
    }


P = "policies.softmax."


@pytest.mark.parametrize(
    ("path", "value", "check", "words"),
    [
        ("split", "val_calib", "test_split",
         "Need metrics of val_test, got those of 'val_calib', which earlier steps have seen."),
        ("split", None, "test_split", "metrics.split must be a text, got nothing."),
        ("split", 3, "test_split", "metrics.split must be a text, got a int."),
        ("split", ["val_test"], "test_split", "metrics.split must be a text, got a list."),
        ("schema", "other/v1", "origin", "Need metrics of schema stage1/metrics/v1, got 'other/v1'."),
        ("confidence", 0.9, "origin", "The metrics' bounds have confidence 0.9, 0.95 is needed."),
        ("confidence", 1.5, "origin", "metrics.confidence must lie between 0 and 1, got 1.5."),
        ("confidence", "high", "origin", "metrics.confidence must be a number, got 'high'."),
        ("confidence", math.nan, "origin", "metrics.confidence must lie between 0 and 1, got nan."),
        ("confidence", True, "origin", "metrics.confidence must be a number, got True."),
        ("confidence", 10**400, "origin", "metrics.confidence must lie between 0 and 1, got a int."),
        ("data_digest", "x" * 90, "origin",
         f"metrics.data_digest must be a SHA-256 in 64 hex digits, got {'x' * 80!r}."),
        (f"{P}feasible", 1, "policy", f"metrics.{P}feasible must be true or false, got a int."),
        (f"{P}feasible", False, "policy", "Policy softmax could not be fitted: no reason is given."),
        ("chosen", "none", "policy", "The metrics have no policy 'none', which they say was chosen."),
        ("num_images", 2999, "counts", "The counts do not add up: images 3000 against 2999."),
        ("num_positives", 999, "counts", "The counts do not add up: positives 1000 against 999."),
        (f"{P}fnr_answered.positives", 907, "counts", "The counts do not add up: answered positives 906 against 907."),
        (f"{P}fnr_answered.misses", 7, "counts", "The counts do not add up: misses 6 against 7."),
        (f"{P}fpr_answered.negatives", 1849, "counts",
         "The counts do not add up: answered negatives 1850 against 1849."),
        (f"{P}fpr_answered.false_alarms", 49, "counts", "The counts do not add up: false alarms 50 against 49."),
        (f"{P}confusion.answered_fn", 7, "counts",
         "The counts do not add up: images 3001 against 3000; positives 1001 against 1000; answered positives 907 "
         "against 906; misses 7 against 6."),
        ("num_groups", 3001, "counts", "The counts do not add up: 3001 groups against 3000 images."),
        ("num_groups", 19, "groups", "val_test has 19 groups, 20 are needed."),
        ("num_groups", 19.5, "groups", "metrics.num_groups must be a whole number, got 19.5."),
        ("num_groups", -1, "groups", "metrics.num_groups must lie between 0 and 9.0072e+15, got a int."),
        (f"{P}fnr_answered.value", 0.0, "fnr_answered", "The reported rate 0 is not 6 of 906."),
        (f"{P}fnr_answered.misses", 907, "fnr_answered", "907 misses among 906 answered positives prove nothing."),
        (f"{P}fpr_answered.false_alarms", 1851, "fpr_answered",
         "1851 false alarms among 1850 answered negatives prove nothing."),
        (f"{P}coverage.value", 0.7, "coverage", "The reported coverage 0.7 is not 2756 of 3000."),
        (f"{P}augrc.low", 0.006, "augrc", "The interval of AUGRC is upside down: 0.006 to 0.005."),
        ("champion", None, "champion", "The channel has a champion, but the metrics have no comparison with it."),
        ("champion.digest", OTHER, "champion",
         f"The channel's champion is {CHAMPION[:12]}, the comparison is with {OTHER[:12]}: predict and evaluate "
         "again."),
        ("champion.identical", True, "champion",
         "The candidate is the champion, the same model under the same policy: nothing would change."),
        ("champion.augrc_difference.value", 0.001, "champion",
         "The reported difference 0.001 is not candidate - champion = 0.004 - 0.005."),
        ("champion.augrc_difference.upper", 0.6, "champion",
         "metrics.champion.augrc_difference.upper must lie between -0.5 and 0.5, got 0.6."),
        (f"{P}augrc.value", 0.6, "augrc", f"metrics.{P}augrc.value must lie between 0 and 0.5, got 0.6."),
        (f"{P}augrc.value", 0.6, "champion", f"metrics.{P}augrc.value must lie between 0 and 0.5, got 0.6."),
        ("champion.augrc.value", 0.6, "champion", "metrics.champion.augrc.value must lie between 0 and 0.5, got 0.6."),
    ],
)  # fmt: skip
def test_what_a_refusal_says(path: str, value: Any, check: str, words: str) -> None:
    decision = gate(with_value(path, value), LIMITS, pointer())
    assert said(decision, check) == words
    assert words in decision.reasons


def test_a_refused_number_stands_in_the_record_beside_its_limit() -> None:
    decision = gate(Candidate(fn=20, tp=886).metrics(), LIMITS, pointer())
    check = next(check for check in decision.checks if check.name == "fnr_answered")
    assert check.verdict == "refuse"
    assert (check.value, check.limit, check.comparison) == (20 / 906, 0.02, "<=")
    assert check.bound == pytest.approx(upper(20, 906), abs=1e-9)
    assert check.reason.startswith(
        f"20 misses among 906 answered positives: at 0.95 confidence at most {check.bound:.3%}"
    )


def test_the_look_and_the_counts_stand_as_numbers() -> None:
    values = {check.name: check.value for check in gate(GOOD.metrics(), LIMITS, pointer(), look=4).checks}
    assert (values["look"], values["counts"]) == (4, 3000.0)


def test_what_nothing_to_judge_says() -> None:
    empty = Candidate(tp=0, fn=0, tn=0, fp=0, deferred_pos=1, deferred_neg=0, groups=0).metrics()
    empty["num_images"] = empty["num_positives"] = 0
    empty["policies"]["softmax"]["confusion"]["deferred_pos"] = 0
    assert said(gate(empty, LIMITS, pointer()), "counts") == "The counts do not add up: no images."


def test_what_other_data_and_a_self_comparison_say() -> None:
    other = gate(GOOD.metrics(), LIMITS, pointer(data_digest=OTHER))
    assert said(other, "champion") == (
        "The champion's numbers come from other data than the candidate's, so they do not compare."
    )
    itself = Candidate(champion_augrc=0.004, difference_margin=0.0)
    assert said(gate(itself.metrics(), LIMITS, pointer()), "champion") == (
        "The difference to the champion is exactly 0 in every resample: something was compared with itself."
    )
    behind = gate(GOOD.metrics(), LIMITS, pointer(sequence="three"))
    assert said(behind, "champion") == "champion.sequence must be a number, got 'three'."
    unborn = gate(GOOD.metrics(), LIMITS, pointer(sequence=0))
    assert said(unborn, "champion") == "The champion's sequence must be at least 1."


def test_what_the_first_of_a_channel_says() -> None:
    first = gate(with_value("champion", None), LIMITS)
    assert first.promote
    assert said(first, "champion") == "There is no champion: nothing to compare with."


def test_what_a_repeated_look_is_warned_with() -> None:
    (warning,) = gate(GOOD.metrics(), LIMITS, pointer(), look=2).warnings
    assert warning.endswith("data, or on_repeat_look: spend.")
    assert gate(GOOD.metrics(), GateConfig(on_repeat_look="spend"), pointer(), look=2).warnings == ()


def test_a_count_is_exact_up_to_two_to_the_fifty_third() -> None:
    """Beyond it a float skips whole numbers, and KFP turns counts into floats."""
    assert Evidence({"n": 2**53}).count("n") == 2**53
    with pytest.raises(Unusable, match=r"^n must lie between 0 and 9\.0072e\+15, got 1\.8014398509481984e\+16\.$"):
        Evidence({"n": 2.0**54}).count("n")
    with pytest.raises(Unusable, match=r"^a must lie between 0 and 1, got 1\.5\.$"):
        Evidence({"a": 1.5}).number("a")


@pytest.mark.parametrize("effect", [-0.5, 1.1e6])
def test_a_design_effect_out_of_reason_is_refused(effect: float) -> None:
    decision = gate(with_value(f"{P}fnr_answered.design_effect", effect), LIMITS, pointer())
    assert said(decision, "fnr_answered") == (
        f"metrics.{P}fnr_answered.design_effect must lie between 0 and 1e+06, got {effect!r}."
    )
