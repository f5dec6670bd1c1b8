"""The gate's checks, one function each."""

from collections.abc import Callable
from dataclasses import dataclass

from stage1.promotion.bounds import confidence_at, fewest_trials, rate_bound
from stage1.promotion.config import GateConfig
from stage1.promotion.decision import CHECKS, Check, Comparison, keeps
from stage1.promotion.evidence import Evidence, Unusable

METRICS_SCHEMA = "stage1/metrics/v1"
TEST_SPLIT = "val_test"

_AGREES = 1e-9


@dataclass(frozen=True)
class Question:
    """What is asked about: the candidate's metrics, the limits, the champion of the channel and the look."""

    metrics: Evidence
    limits: GateConfig
    pointer: Evidence
    look: int

    @property
    def policy_name(self) -> str | None:
        """The policy that would ship."""
        try:
            return self.metrics.text("chosen")
        except Unusable:
            return None

    @property
    def policy(self) -> Evidence:
        """The metrics of the policy that would ship."""
        return self.metrics.at("policies", self.metrics.text("chosen"))

    @property
    def champion(self) -> Evidence:
        """The champion: what the channel points at, or else what evaluate compared with."""
        return self.metrics.at("champion") if self.pointer.absent else self.pointer

    @property
    def confidence(self) -> float:
        """The confidence of this look's bounds."""
        limits = self.limits
        if self.look < 1:
            raise Unusable(f"Looks at a val_test are counted from 1 on, got look {self.look}.")
        return confidence_at(self.look, limits.constraint.confidence, spend=limits.on_repeat_look == "spend")


@dataclass(frozen=True)
class Finding:
    """What a check found; without a limit it passes by having found nothing wrong."""

    reason: str
    value: float | None = None
    bound: float | None = None
    limit: float | None = None
    comparison: Comparison | None = None


def ask(question: Question) -> tuple[Check, ...]:
    """Return one check for each of CHECKS; one that cannot be answered refuses."""
    return tuple(_check(name, _ASKED[name], question) for name in CHECKS)


def _check(name: str, asked: Callable[[Question], Finding], question: Question) -> Check:
    try:
        found = asked(question)
    except Unusable as unusable:
        return Check(name, "refuse", None, None, None, None, str(unusable))
    check = Check(name, "pass", found.value, found.bound, found.limit, found.comparison, found.reason)
    if found.limit is None or keeps(check):
        return check
    return Check(name, "refuse", found.value, found.bound, found.limit, found.comparison, found.reason)


def _test_split(question: Question) -> Finding:
    split = question.metrics.text("split")
    if split != TEST_SPLIT:
        raise Unusable(f"Need metrics of {TEST_SPLIT}, got those of {split!r}, which earlier steps have seen.")
    return Finding(f"Measured on {TEST_SPLIT}, which no earlier step reads.")


def _origin(question: Question) -> Finding:
    metrics = question.metrics
    schema = metrics.text("schema")
    if schema != METRICS_SCHEMA:
        raise Unusable(f"Need metrics of schema {METRICS_SCHEMA}, got {schema!r}.")
    needed, found = question.limits.constraint.confidence, metrics.number("confidence")
    if found < needed:
        raise Unusable(f"The metrics' bounds have confidence {found:g}, {needed:g} is needed.")
    return Finding(f"Data {metrics.digest('data_digest')[:12]}, model {metrics.digest('model_digest')[:12]}.")


def _policy(question: Question) -> Finding:
    name = question.metrics.text("chosen")
    if question.policy.absent:
        raise Unusable(f"The metrics have no policy {name!r}, which they say was chosen.")
    if not question.policy.flag("feasible"):
        raise Unusable(f"Policy {name} could not be fitted: {_reason(question.policy)}")
    return Finding(f"Policy {name} was fitted.")


def _reason(policy: Evidence) -> str:
    try:
        return policy.text("reason")
    except Unusable:
        return "no reason is given."


def _look(question: Question) -> Finding:
    reason = f"Look {question.look} at this val_test, judged at {question.confidence:.4g} confidence."
    return Finding(reason, question.look)


def _counts(question: Question) -> Finding:
    metrics, policy = question.metrics, question.policy
    confusion = policy.at("confusion")
    tp, fn, tn, fp = (confusion.count(f"answered_{kind}") for kind in ("tp", "fn", "tn", "fp"))
    deferred_pos, deferred_neg = confusion.count("deferred_pos"), confusion.count("deferred_neg")
    images, positives, groups = (metrics.count(f"num_{what}") for what in ("images", "positives", "groups"))
    must_agree = {
        "images": (tp + fn + tn + fp + deferred_pos + deferred_neg, images),
        "positives": (tp + fn + deferred_pos, positives),
        "answered positives": (tp + fn, policy.count("fnr_answered", "positives")),
        "misses": (fn, policy.count("fnr_answered", "misses")),
        "answered negatives": (tn + fp, policy.count("fpr_answered", "negatives")),
        "false alarms": (fp, policy.count("fpr_answered", "false_alarms")),
    }
    wrong = [f"{name} {left} against {right}" for name, (left, right) in must_agree.items() if left != right]
    if groups > images:
        wrong.append(f"{groups} groups against {images} images")
    if wrong or images == 0:
        raise Unusable(f"The counts do not add up: {'; '.join(wrong) or 'no images'}.")
    return Finding(f"{images:,} images with {positives:,} positives; all counts add up.", float(images))


def _groups(question: Question) -> Finding:
    found, needed = question.metrics.count("num_groups"), question.limits.min_groups
    return Finding(f"val_test has {found:,} groups, {needed:,} are needed.", found, found, needed, ">=")


def _positives(question: Question) -> Finding:
    found = question.policy.count("fnr_answered", "positives")
    needed = fewest_trials(question.limits.constraint.max_fnr, question.confidence)
    reason = f"{found:,} positives are answered; without a miss {needed:,} would do."
    return Finding(reason, found, found, needed, ">=")


def _negatives(question: Question) -> Finding:
    found = question.policy.count("fpr_answered", "negatives")
    needed = fewest_trials(question.limits.constraint.max_fpr, question.confidence)
    reason = f"{found:,} negatives are answered; without a false alarm {needed:,} would do."
    return Finding(reason, found, found, needed, ">=")


def _fnr(question: Question) -> Finding:
    return _rate(question, "fnr_answered", "misses", "positives", question.limits.constraint.max_fnr)


def _fpr(question: Question) -> Finding:
    return _rate(question, "fpr_answered", "false_alarms", "negatives", question.limits.constraint.max_fpr)


def _rate(question: Question, name: str, failed: str, asked: str, limit: float) -> Finding:
    rate = question.policy.at(name)
    failures, trials = rate.count(failed), rate.count(asked)
    if failures > trials or trials == 0:
        raise Unusable(f"{failures} {failed.replace('_', ' ')} among {trials} answered {asked} prove nothing.")
    value, bound = rate_bound(rate, failures, trials, question.confidence)
    reason = (
        f"{failures:,} {failed.replace('_', ' ')} among {trials:,} answered {asked}: at {question.confidence:.4g} "
        f"confidence at most {bound:.3%}; {limit:.3%} is allowed."
    )
    return Finding(reason, value, bound, limit, "<=")


def _coverage(question: Question) -> Finding:
    confusion, limit = question.policy.at("confusion"), question.limits.min_coverage
    answered = sum(confusion.count(f"answered_{kind}") for kind in ("tp", "fn", "tn", "fp"))
    images, reported = question.metrics.count("num_images"), question.policy.number("coverage", "value")
    if images == 0 or abs(answered / images - reported) > _AGREES:
        raise Unusable(f"The reported coverage {reported:.6g} is not {answered} of {images}.")
    return Finding(
        f"{reported:.1%} of the images are answered, {limit:.1%} is needed.", reported, reported, limit, ">="
    )


def _augrc(question: Question) -> Finding:
    augrc, limit = question.policy.at("augrc"), question.limits.max_augrc
    value, low, high = (augrc.number(part, high=0.5) for part in ("value", "low", "high"))
    if low > high:
        raise Unusable(f"The interval of AUGRC is upside down: {low:.6g} to {high:.6g}.")
    bound = max(value, high)
    return Finding(f"AUGRC is at most {bound:.5f}; {limit:.5f} is allowed.", value, bound, limit, "<=")


def _champion(question: Question) -> Finding:
    measured, pointer = question.metrics.at("champion"), question.pointer
    if measured.absent and pointer.absent:
        return Finding("There is no champion: nothing to compare with.")
    if measured.absent:
        raise Unusable("The channel has a champion, but the metrics have no comparison with it.")
    digest = measured.digest("digest")
    if question.champion.count("sequence") < 1:
        raise Unusable("The champion's sequence must be at least 1.")
    if not pointer.absent and pointer.digest("digest") != digest:
        raise Unusable(
            f"The channel's champion is {pointer.digest('digest')[:12]}, the comparison is with {digest[:12]}: predict "
            "and evaluate again."
        )
    _same_data(question)
    if measured.flag("identical"):
        raise Unusable("The candidate is the champion, the same model under the same policy: nothing would change.")
    return _difference(question)


def _same_data(question: Question) -> None:
    data = question.metrics.digest("data_digest")
    for champion in (question.metrics.at("champion"), question.pointer):
        if not champion.at("data_digest").absent and champion.digest("data_digest") != data:
            raise Unusable("The champion's numbers come from other data than the candidate's, so they do not compare.")


def _difference(question: Question) -> Finding:
    measured, limit = question.metrics.at("champion"), question.limits.champion_margin
    difference = measured.at("augrc_difference")
    value, low, upper = (difference.number(part, low=-0.5, high=0.5) for part in ("value", "low", "upper"))
    candidate = question.policy.number("augrc", "value", high=0.5)
    champion = measured.number("augrc", "value", high=0.5)
    if abs(candidate - champion - value) > 1e-6:
        raise Unusable(
            f"The reported difference {value:.6g} is not candidate - champion = {candidate:.6g} - {champion:.6g}."
        )
    same_model = measured.digest("model_digest") == question.metrics.digest("model_digest")
    if value == low == upper == 0 and not same_model:
        raise Unusable(
            "The difference to the champion is exactly 0 in every resample: something was compared with itself."
        )
    bound = max(value, upper)
    reason = f"AUGRC is at most {bound:+.5f} above the champion's; {limit:+.5f} is allowed."
    return Finding(reason, value, bound, limit, "<=")


_ASKED: dict[str, Callable[[Question], Finding]] = {
    "test_split": _test_split,
    "origin": _origin,
    "policy": _policy,
    "look": _look,
    "counts": _counts,
    "groups": _groups,
    "positives": _positives,
    "negatives": _negatives,
    "fnr_answered": _fnr,
    "fpr_answered": _fpr,
    "coverage": _coverage,
    "augrc": _augrc,
    "champion": _champion,
}
