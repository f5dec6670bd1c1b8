"""metrics.json: everything that the gate and a reader want to know of a model and its three policies on val_test."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stage1.evaluation.champion import Champion, compare
from stage1.evaluation.config import EvaluateConfig
from stage1.evaluation.rates import augrc_interval, intervals, number, policy_intervals, policy_rates
from stage1.evaluation.rows import TestRows
from stage1.evaluation.slices import slices
from stage1.metrics import (
    Resampler,
    ece_expected,
    weighted_augrc,
    weighted_aurc,
    weighted_auroc,
    weighted_eaurc,
    weighted_ece,
    weighted_mcc,
    weighted_mean,
)
from stage1.metrics.probability import Bins, Kind
from stage1.policy import ExitPolicy


def judge(
    rows: TestRows,
    policies: Mapping[str, ExitPolicy],
    chosen: str,
    *,
    data_digest: str,
    model_digest: str,
    val_test_digest: str,
    champion: Champion | None,
    config: EvaluateConfig,
) -> dict[str, Any]:
    """Return the content of metrics.json.

    Args:
        rows: The rows of val_test; nothing before this saw them.
        policies: The fitted policies by name.
        chosen: The one that would ship.
        data_digest, model_digest: What the numbers belong to.
        val_test_digest: Identifies the test images whatever model looked at them.
        champion: The channel's current bundle on the same rows, if there is one.
    """
    resampler = Resampler(len(rows), rows.groups_N, num_resamples=config.num_resamples, seed=config.seed)
    return {
        "schema": "stage1/metrics/v1",
        "split": "val_test",
        "data_digest": data_digest,
        "model_digest": model_digest,
        "val_test_digest": val_test_digest,
        "confidence": config.confidence,
        "num_images": len(rows),
        "num_positives": int(rows.positive_N.sum()),
        "num_groups": len(np.unique(rows.groups_N)),
        "chosen": chosen,
        "model": _model(rows, resampler, config),
        "policies": {
            name: {
                "feasible": policy.feasible,
                "reason": policy.reason,
                "promise": policy.promise,
                **policy_intervals(policy, rows, resampler, config.confidence),
                **policy_rates(policy, rows, config.confidence),
            }
            for name, policy in policies.items()
        },
        "champion": champion and compare(champion, policies[chosen], rows, model_digest, resampler, config.confidence),
        "slices": slices(policies[chosen], rows, config),
        "worst": worst(policies[chosen], rows, config.num_worst),
    }


def worst(policy: ExitPolicy, rows: TestRows, count: int) -> list[dict[str, Any]]:
    """Return the surest wrong calls, answered or not: up to `count` misses, then as many false alarms."""
    answered_N = policy.decide(rows.logits_N2, rows.gate_N).answered
    return [
        {
            "id": str(rows.ids_N[index]),
            "label": int(rows.labels_N[index]),
            "probability": float(rows.probability_N[index]),
            "answered": bool(answered_N[index]),
            "kind": kind,
            "group": str(rows.groups_N[index]),
            "source": str(rows.sources_N[index]),
        }
        for kind, indices in zip(("miss", "false_alarm"), worst_indices(rows, count), strict=True)
        for index in indices
    ]


def worst_indices(rows: TestRows, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the row numbers of the surest misses and of the surest false alarms, surest first."""
    margin_N, positive_N, wrong_N = rows.margin_N, rows.positive_N, rows.wrong_N
    misses, alarms = np.flatnonzero(wrong_N & positive_N), np.flatnonzero(wrong_N & ~positive_N)
    return (
        misses[np.argsort(margin_N[misses], kind="stable")][:count],
        alarms[np.argsort(-margin_N[alarms], kind="stable")][:count],
    )


def _model(rows: TestRows, resampler: Resampler, config: EvaluateConfig) -> dict[str, Any]:
    """Numbers of the uncalibrated softmax over all images, answered or not; confidence is the size of the margin."""
    probability_N, positive_N, margin_N = rows.probability_N, rows.positive_N, rows.margin_N
    signed_N = np.where(positive_N, margin_N, -margin_N)
    sure_N = np.abs(margin_N)
    calibration: dict[str, tuple[NDArray[np.float64], Kind, Bins]] = {
        "ece_top_label": (np.column_stack([1 - probability_N, probability_N]), "top_label", "width"),
        "ece_top_label_equal_mass": (np.column_stack([1 - probability_N, probability_N]), "top_label", "mass"),
        "ece_positive": (probability_N, "positive", "width"),
        "ece_positive_equal_mass": (probability_N, "positive", "mass"),
    }
    found = intervals(
        resampler,
        {
            "accuracy": weighted_mean((~rows.wrong_N).astype(float)),
            "auroc": weighted_auroc(margin_N, rows.labels_N),
            "failure_auroc": weighted_auroc(sure_N, ~rows.wrong_N),
            "augrc": weighted_augrc(sure_N, rows.wrong_N),
            "aurc": weighted_aurc(sure_N, rows.wrong_N),
            "eaurc": weighted_eaurc(sure_N, rows.wrong_N),
            "nll": weighted_mean(np.logaddexp(0, -signed_N)),
            "brier": weighted_mean((probability_N - positive_N) ** 2),
            "mcc": weighted_mcc((margin_N >= 0).astype(float), rows.labels_N),
            **{
                name: weighted_ece(chance, rows.labels_N, kind=kind, bins=bins)
                for name, (chance, kind, bins) in calibration.items()
            },
        },
        config.confidence,
    )
    found["augrc"] = augrc_interval(found["augrc"], rows.wrong_N, rows.groups_N, config.confidence)
    for name, (chance, kind, bins) in calibration.items():
        expected = ece_expected(chance, kind=kind, bins=bins, seed=config.seed)
        found[name]["expected_if_calibrated"] = number(expected)
    return found
