"""The chosen policy on parts of the test split: named by the user, per source, and per group where groups are large."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stage1.evaluation.config import EvaluateConfig, SliceRule
from stage1.evaluation.rates import intervals, policy_rates
from stage1.evaluation.rows import TestRows
from stage1.metrics import Resampler, weighted_augrc
from stage1.policy import ExitPolicy

_MOST_GROUPS = 20


def slices(policy: ExitPolicy, rows: TestRows, config: EvaluateConfig) -> list[dict[str, Any]]:
    """Return a row for every slice that the user named, every source, and each of the 20 largest groups.

    Sources and groups with fewer than `min_slice` images are left out; a named slice never is, so that a pattern
    which fits nothing shows as a slice of no images.
    """
    return [{"name": name, **_slice(policy, rows.part(inside_N), config)} for name, inside_N in _members(rows, config)]


def _members(rows: TestRows, config: EvaluateConfig) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    for name, rule in config.slices.items():
        yield name, _fitting(rows, rule)
    for kind, names_N, most in (("source", rows.sources_N, None), ("group", rows.groups_N, _MOST_GROUPS)):
        names, code_N, counts = np.unique(names_N.astype(str), return_inverse=True, return_counts=True)
        largest = np.sort(np.argsort(-counts, kind="stable")[:most])
        for code in largest[counts[largest] >= config.min_slice]:
            if names[code] and len(names) > 1:
                yield f"{kind}={names[code]}", code_N == code


def _fitting(rows: TestRows, rule: SliceRule) -> NDArray[np.bool_]:
    names_N = (rows.sources_N if rule.column == "source" else rows.groups_N).astype(str)
    names, code_N = np.unique(names_N, return_inverse=True)
    fits = [any(fnmatchcase(name, pattern) for pattern in rule.patterns) for name in names]
    return np.asarray(fits, dtype=bool)[code_N]


def _slice(policy: ExitPolicy, rows: TestRows, config: EvaluateConfig) -> dict[str, Any]:
    """Judge one slice; one without images has counts and a bound of 1, and no rates."""
    rates = policy_rates(policy, rows, config.confidence)["fnr_answered"]
    counted = {"images": len(rows), "positives": int(rows.positive_N.sum()), "fnr_answered": rates}
    if not len(rows):
        return {**counted, "coverage": None, "augrc": {"value": None, "low": None, "high": None}}
    resampler = Resampler(len(rows), rows.groups_N, num_resamples=config.num_resamples, seed=config.seed)
    ranking = weighted_augrc(policy.confidence(rows.logits_N2, rows.gate_N), rows.wrong_N)
    return {
        **counted,
        "coverage": float(policy.decide(rows.logits_N2, rows.gate_N).answered.mean()),
        **intervals(resampler, {"augrc": ranking}, config.confidence),
    }
