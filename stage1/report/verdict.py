"""The verdict in words: what was decided, why, and the three numbers that matter."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stage1.report.names import check_name, chosen_metrics, chosen_policy
from stage1.report.numbers import percent, percent_beside, plural, round_percent
from stage1.report.read import Json, count, number, rows, texts, words
from stage1.report.story import Story

_MOST_REASONS = 2


@dataclass(frozen=True)
class Verdict:
    """A decision as the report tells it.

    Attributes:
        promoted: True only when the decision says so and none of its checks refuses.
        word: PROMOTED or REFUSED.
        sentence: The reason in plain words.
    """

    promoted: bool
    word: str
    sentence: str


def verdict(decision: Mapping[str, Any], metrics: Mapping[str, Any]) -> Verdict:
    """Read a decision; whatever is missing or contradicts itself counts as a refusal.

    Args:
        decision: decision.json.
        metrics: metrics.json that it judged.
    """
    checks = rows(decision, "checks")
    refused = [check for check in checks if not passes(check)]
    promoted = decision.get("promote") is True and bool(checks) and not refused
    if promoted:
        return Verdict(True, "PROMOTED", f"All {len(checks)} checks passed. {summary(decision, metrics)}".strip())
    if not checks:
        return Verdict(False, "REFUSED", _sentence(texts(decision, "reasons")) or "No check was recorded.")
    if decision.get("promote") is True:
        names = ", ".join(map(check_name, refused))
        return Verdict(False, "REFUSED", f"The decision says promote, but these checks do not pass: {names}.")
    reasons = texts(decision, "reasons") or [words(check, "reason") for check in refused]
    tally = f"{len(refused)} of {plural(len(checks), 'check')} did not pass."
    return Verdict(False, "REFUSED", f"{tally} {_sentence(reasons)}".strip())


def passes(check: Json) -> bool:
    """Return whether a check passed; anything but a clear pass is none."""
    return words(check, "verdict") == "pass"


def limit_of(decision: object, about: str) -> float | None:
    """Return the limit of the check of that name, or None."""
    return next((number(check, "limit") for check in rows(decision, "checks") if words(check, "name") == about), None)


def fnr_limit(story: Story) -> float | None:
    """Return the tolerated FNR among answered: the gate's, or else the one that the chosen policy was fitted for."""
    judged = limit_of(story.decision, "fnr_answered")
    fitted = story.policies.get(chosen_policy(story.metrics))
    return number(fitted, "constraint", "max_fnr") if judged is None else judged


def confidence_of(metrics: object) -> str:
    """Return the confidence level in words, such as '95% confidence'."""
    level = number(metrics, "confidence")
    return "the recorded confidence" if level is None else f"{round_percent(level)} confidence"


def summary(decision: object, metrics: object) -> str:
    """Return one or two sentences with the misses, their bound and the coverage; empty when nothing is known."""
    numbers = chosen_metrics(metrics)
    misses, positives = count(numbers, "fnr_answered", "misses"), count(numbers, "fnr_answered", "positives")
    upper, coverage = number(numbers, "fnr_answered", "upper"), number(numbers, "coverage", "value")
    limit = limit_of(decision, "fnr_answered")
    parts: list[str] = []
    if coverage is not None:
        parts.append(f"It answers {percent(coverage)} of the images by itself.")
    if misses is not None and positives is not None and upper is not None:
        bound = percent(upper) if limit is None else f"{percent_beside(upper, limit)} (limit {round_percent(limit)})"
        missed = f"missed {misses:,} of {plural(positives, 'answered road-work image')}"
        parts.append(f"On the test images it {missed}: at {confidence_of(metrics)}, a miss rate of at most {bound}.")
    return " ".join(parts)


def _sentence(reasons: list[str]) -> str:
    kept = [reason.strip().rstrip(".;") for reason in reasons if reason.strip()]
    rest = len(kept) - _MOST_REASONS
    more = f"; and {plural(rest, 'more reason')}, listed with the checks" if rest > 0 else ""
    return "; ".join(kept[:_MOST_REASONS]) + more + "." if kept else ""
