"""curves.json: the data behind the figures, thinned to what an eye or a plot can use."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stage1.evaluation.config import EvaluateConfig
from stage1.evaluation.rows import TestRows
from stage1.metrics import Resampler, reliability, risk_coverage, weighted_generalized_risk
from stage1.policy import ExitPolicy

_POINTS = 100


def curves(rows: TestRows, policies: Mapping[str, ExitPolicy], config: EvaluateConfig) -> dict[str, Any]:
    """Return the content of curves.json; every number in it is finite.

    Args:
        rows: The rows of val_test, at least one.
        policies: The fitted policies by name.
        config: Confidence of the bands, resamples, seed.
    """
    table = reliability(rows.probability_N, rows.labels_N, kind="positive", num_bins=10)
    return {
        "schema": "stage1/curves/v1",
        "policies": {
            name: {"risk_coverage": _risk_coverage(policy, rows, config)} for name, policy in policies.items()
        },
        "reliability": {
            "bins": [
                {
                    "low": float(low),
                    "high": float(high),
                    "count": int(count),
                    "mean_probability": float(mean),
                    "positive_rate": float(rate),
                }
                for low, high, count, mean, rate in zip(
                    table.low, table.high, table.count, table.mean_probability, table.rate, strict=True
                )
            ]
        },
        "roc": _roc(rows),
    }


def _risk_coverage(policy: ExitPolicy, rows: TestRows, config: EvaluateConfig) -> dict[str, list[float]]:
    """Selective and generalised risk over coverage; the band is about the generalised risk, by whole groups.

    A single group cannot be resampled: there is no band.
    """
    confidence_N = policy.confidence(rows.logits_N2, rows.gate_N)
    whole = risk_coverage(confidence_N, rows.wrong_N)
    kept = _thin(len(whole.coverage))
    coverage_K = whole.coverage[kept]
    resampler = Resampler(len(rows), rows.groups_N, num_resamples=min(300, config.num_resamples), seed=config.seed)
    draws_RK = resampler.evaluate({"risk": weighted_generalized_risk(confidence_N, rows.wrong_N, coverage_K)})["risk"]
    low_K, high_K = np.quantile(draws_RK, [(1 - config.confidence) / 2, (1 + config.confidence) / 2], axis=0)
    return {
        "coverage": coverage_K.tolist(),
        "selective_risk": whole.selective_risk[kept].tolist(),
        "generalized_risk": whole.generalized_risk[kept].tolist(),
        "low": low_K.tolist() if resampler.num_units > 1 else [],
        "high": high_K.tolist() if resampler.num_units > 1 else [],
    }


def _roc(rows: TestRows) -> dict[str, list[float]]:
    """ROC of P(road work): threshold t calls positive what is at or above it."""
    order = np.argsort(-rows.probability_N, kind="stable")
    positive_N = rows.positive_N[order]
    threshold_N = rows.probability_N[order]
    last = np.flatnonzero(np.append(threshold_N[1:] != threshold_N[:-1], True))
    tpr = np.cumsum(positive_N)[last] / max(1, positive_N.sum())
    fpr = np.cumsum(~positive_N)[last] / max(1, (~positive_N).sum())
    kept = _thin(len(last))
    return {"fpr": fpr[kept].tolist(), "tpr": tpr[kept].tolist(), "threshold": threshold_N[last][kept].tolist()}


def _thin(count: int) -> NDArray[np.int64]:
    """At most `_POINTS` indices from 0 to count - 1, both ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count, _POINTS)).round().astype(np.int64))
