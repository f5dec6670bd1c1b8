"""Decide whether this model may be promoted. Everything that cannot be shown refuses."""

from dataclasses import dataclass
from pathlib import Path

from stage1 import events
from stage1.bundle import Channel, record_look
from stage1.config import GateStepConfig
from stage1.promotion import gate as judge
from stage1.steps.documents import read_json, write_json
from stage1.steps.step import StepResult, step
from stage1.storage import open_store


@dataclass(frozen=True)
class Gated(StepResult):
    """The verdict, and why."""

    promote: bool
    policy: str | None
    look: int
    reasons: tuple[str, ...]


@step(reuse=False)
def gate(evaluation: Path, out: Path, *, config: GateStepConfig = GateStepConfig()) -> Gated:
    """Hold the numbers of val_test against the limits, and against the champion.

    Args:
        evaluation: Output folder of the evaluate step.
        out: Receives decision.json.
        config: Limits, and the channel whose looks at this val_test are counted.
    """
    metrics = read_json(evaluation / "metrics.json")
    store = open_store(config.store)
    pointer = Channel(store, config.channel).read()
    look = record_look(store, config.channel, metrics["val_test_digest"], metrics["model_digest"])
    decision = judge(
        metrics,
        config,
        {"digest": pointer.digest, "sequence": pointer.sequence} if pointer else None,
        look=look,
        val_test_digest=metrics["val_test_digest"],
    )
    write_json(out / "decision.json", decision.to_json())
    for warning in decision.warnings:
        events.note(warning)
    return Gated(decision.promote, decision.policy, look, decision.reasons)
