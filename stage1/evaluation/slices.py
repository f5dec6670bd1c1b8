"""The chosen policy on parts of the test split: per source, and per group where groups are few and large."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stage1.evaluation.rates import intervals, policy_rates
from stage1.evaluation.rows import TestRows
from stage1.metrics import Resampler, weighted_augrc
from stage1.policy import ExitPolicy

_MOST_GROUPS = 20


def slices(
    policy: ExitPolicy, rows: TestRows, *, min_size: int, num_resamples: int, seed: int, confidence: float
) -> list[dict[str, Any]]:
    """Return a row for every source and, where there are at most 20, every group of at least `min_size` images."""
    kinds = {"source": rows.sources_N}
    if len(np.unique(rows.groups_N)) <= _MOST_GROUPS:
        kinds["group"] = rows.groups_N
    table = []
    for kind, names_N in kinds.items():
        names, counts = np.unique(names_N.astype(str), return_counts=True)
        for name in names[counts >= min_size]:
            if name and len(names) > 1:
                part = rows.part(names_N == name)
                table.append({"name": f"{kind}={name}", **_slice(policy, part, num_resamples, seed, confidence)})
    return table


def _slice(policy: ExitPolicy, rows: TestRows, num_resamples: int, seed: int, confidence: float) -> dict[str, Any]:
    confidence_N: NDArray[np.float64] = policy.confidence(rows.logits_N2, rows.gate_N)
    answered_N = policy.decide(rows.logits_N2, rows.gate_N).answered
    resampler = Resampler(len(rows), rows.groups_N, num_resamples=num_resamples, seed=seed)
    return {
        "images": len(rows),
        "positives": int(rows.positive_N.sum()),
        "coverage": float(answered_N.mean()),
        "fnr_answered": policy_rates(policy, rows, confidence)["fnr_answered"],
        **intervals(resampler, {"augrc": weighted_augrc(confidence_N, rows.wrong_N)}, confidence),
    }
