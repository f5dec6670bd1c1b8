"""Test rows by the handful, and policies whose thresholds are set by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from stage1.evaluation import EvaluateConfig
from stage1.evaluation.judge import judge
from stage1.evaluation.rows import TestRows as Rows
from stage1.policy import Constraint, ExitPolicy, GatePolicy, SoftmaxPolicy
from stage1.policy.base import Evidence
from stage1.policy.gate import PlattMap

CONFIG = EvaluateConfig(num_resamples=400, min_slice=5)
NOTHING_SHOWN = Evidence(
    images=0, positives=0, answered=0, answered_positives=0, misses=0, fnr_upper=1, answered_negatives=0,
    false_alarms=0, fpr_upper=1, design_effect=1, pass_probability=0, bound_by="nothing",
)  # fmt: skip
COMMON: dict[str, Any] = {
    "constraint": Constraint(), "feasible": True, "reason": "", "promise": "none", "evidence": NOTHING_SHOWN,
}  # fmt: skip


def make_rows(
    margins: Sequence[float],
    labels: Sequence[int],
    gates: Sequence[float] | None = None,
    groups: Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
) -> Rows:
    """Rows whose z0 is 0, so that z1 is the margin; a group each unless told otherwise."""
    count = len(margins)
    ids = np.array([f"image{n}" for n in range(count)], dtype=object)
    return Rows(
        ids_N=ids,
        groups_N=ids if groups is None else np.array(groups, dtype=object),
        sources_N=np.array([""] * count if sources is None else sources, dtype=object),
        labels_N=np.array(labels, dtype=np.int8),
        logits_N2=np.column_stack([np.zeros(count), np.array(margins, dtype=np.float64)]),
        gate_N=np.array(np.abs(margins) if gates is None else gates, dtype=np.float64),
    )


def softmax(
    negative_below: float | None = -1.0, positive_from: float | None = 1.0, *, feasible: bool = True
) -> SoftmaxPolicy:
    fields = {"feasible": feasible, "negative_below": negative_below, "positive_from": positive_from}
    return SoftmaxPolicy.model_validate(COMMON | fields)


def gate(accept_above: float, positive_from: float = 0.0) -> GatePolicy:
    fields = {"platt": PlattMap(slope=1, intercept=0), "accept_above": accept_above, "positive_from": positive_from}
    return GatePolicy.model_validate(COMMON | fields)


def simulated(count: int, *, seed: int = 0, noise: float = 1.0, group_size: int = 1) -> Rows:
    """Margins of normal noise around +2 or -2, so more `noise` ranks worse; the same seed gives the same labels."""
    labels = np.random.default_rng(0).integers(0, 2, count)
    margins = 2.0 * (2 * labels - 1) + noise * np.random.default_rng(seed + 1).normal(size=count)
    groups = [f"drive{n // group_size}" for n in range(count)]
    return make_rows(margins.tolist(), labels.tolist(), groups=groups)


def judged(rows: Rows, policy: ExitPolicy, **changed: Any) -> dict[str, Any]:
    """The content of metrics.json with one policy."""
    given = {
        "data_digest": "d" * 64, "model_digest": "m" * 64, "val_test_digest": "t" * 64, "champion": None,
        "config": CONFIG,
    }  # fmt: skip
    return judge(rows, {policy.name: policy}, policy.name, **(given | changed))
