"""Whether a candidate is promoted: METHODS.md, "The gate". Everything that cannot be shown refuses.

    decision = gate(metrics, GateConfig(), champion, look=record_look(...))

`metrics` is what evaluate measured on val_test, which nothing before it has read. The gate believes no number that it
can compute again: bounds come from the counts, the counts must add up, and a comparison with the champion must be one
of two different models on the same data.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from stage1.promotion.checks import Question, ask
from stage1.promotion.config import GateConfig
from stage1.promotion.decision import Champion, Decision
from stage1.promotion.evidence import Evidence, Unusable


def gate(
    metrics: Mapping[str, Any],
    limits: GateConfig,
    champion: Mapping[str, Any] | None = None,
    *,
    look: int = 1,
    val_test_digest: str | None = None,
) -> Decision:
    """Return the decision; nothing that metrics can hold raises an error.

    Args:
        metrics: metrics.json of evaluate.
        limits: What must be kept.
        champion: What the channel points at now: digest and sequence, and data_digest where it is known. None takes the
            champion that the metrics name, if any.
        look: Which candidate this is on this val_test, from 1 on (stage1.bundle.record_look).
        val_test_digest: What the looks are counted for; None takes that of the metrics.
    """
    evidence = Evidence(metrics, "metrics")
    question = Question(evidence, limits, Evidence(champion, "champion"), look)
    return Decision(
        checks=ask(question),
        warnings=_warnings(limits, look),
        policy=question.policy_name,
        look=look,
        val_test_digest=val_test_digest or _digest(evidence, "val_test_digest"),
        champion=_champion(question),
        data_digest=_digest(evidence, "data_digest"),
        model_digest=_digest(evidence, "model_digest"),
        evaluation_digest=_evaluation_digest(metrics),
    )


def _warnings(limits: GateConfig, look: int) -> tuple[str, ...]:
    if look < 2 or limits.on_repeat_look == "spend":
        return ()
    return (
        f"This is candidate number {look} judged on this val_test. With every further look the chance grows that a "
        f"candidate passes by luck; {limits.constraint.confidence:.0%} is the confidence of a first look. Use new test "
        "data, or on_repeat_look: spend.",
    )


def _champion(question: Question) -> Champion | None:
    try:
        champion = Champion(question.champion.digest("digest"), question.champion.count("sequence"))
    except Unusable:
        return None
    return champion if champion.sequence >= 1 else None


def _digest(evidence: Evidence, name: str) -> str | None:
    try:
        return evidence.digest(name)
    except Unusable:
        return None


def _evaluation_digest(metrics: object) -> str | None:
    try:
        text = json.dumps(metrics, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        return hashlib.sha256(text.encode()).hexdigest()
    except (TypeError, ValueError, RecursionError):
        return None
