"""A run's JSON files from simulated scores, in the shapes that the steps write."""

import base64
import io
import math
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from scipy.stats import beta

from stage1.report import Story

LIMIT = 0.02
DIGEST = "3f9a" * 16


def upper(errors: int, trials: int) -> float:
    """Return the one-sided 95% Clopper-Pearson bound."""
    return 1.0 if errors >= trials else float(beta.ppf(0.95, errors + 1, trials - errors))


def rate(errors_name: str, errors: int, trials_name: str, trials: int) -> dict[str, Any]:
    """Return a rate object of metrics.json."""
    value = errors / trials if trials else None
    return {
        "value": value,
        "upper": upper(errors, trials) if trials else None,
        errors_name: errors,
        trials_name: trials,
    }


def around(value: float, half: float) -> dict[str, float]:
    """Return an interval object of metrics.json."""
    return {"value": value, "low": max(value - half, 0.0), "high": min(value + half, 1.0)}


def scores(num: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return logit differences and labels of a good, imperfect model."""
    random = np.random.default_rng(seed)
    labels = random.random(num) < 0.3
    return np.where(labels, random.normal(4.2, 2.1, num), random.normal(-4.6, 2.0, num)), labels


def policy(
    d: np.ndarray, labels: np.ndarray, low: float, high: float, confidence: np.ndarray
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (metrics, risk-coverage curve) of the policy that answers outside (low, high)."""
    positive, negative = d >= high, d < low
    answered = positive | negative
    errors = (d > 0) != labels
    tp, fn = int((positive & labels).sum()), int((negative & labels).sum())
    tn, fp = int((negative & ~labels).sum()), int((positive & ~labels).sum())
    num, pos = len(d), int(labels.sum())
    order = np.argsort(-confidence)
    generalized = np.cumsum(errors[order]) / num
    coverage = np.arange(1, num + 1) / num
    half = 1.64 * np.sqrt(generalized * (1 - generalized) / num)
    augrc = float(generalized.mean())
    kept = np.unique(np.linspace(0, num - 1, 100).round().astype(int))
    metrics = {
        "feasible": True,
        "reason": "",
        "coverage": around(float(answered.mean()), 0.012),
        "augrc": around(augrc, 0.0007),
        "accuracy_answered": around((tp + tn) / max(int(answered.sum()), 1), 0.004),
        "fnr_answered": rate("misses", fn, "positives", fn + tp) | {"bound": "korn-graubard", "design_effect": 1.31},
        "fpr_answered": rate("false_alarms", fp, "negatives", fp + tn)
        | {"bound": "korn-graubard", "design_effect": 1.1},
        "fnr_all": rate("misses", fn, "positives", pos),
        "p_miss": rate("misses", fn, "images", num),
        "confusion": {
            "answered_tp": tp,
            "answered_fn": fn,
            "answered_tn": tn,
            "answered_fp": fp,
            "deferred_pos": int((~answered & labels).sum()),
            "deferred_neg": int((~answered & ~labels).sum()),
        },
    }
    curve = {
        "coverage": coverage[kept].tolist(),
        "selective_risk": (generalized / coverage)[kept].tolist(),
        "generalized_risk": generalized[kept].tolist(),
        "low": np.clip(generalized - half, 0, None)[kept].tolist(),
        "high": (generalized + half)[kept].tolist(),
    }
    return metrics, {"risk_coverage": curve}


def reliability(probability: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Return the reliability bins of curves.json; empty bins have null means."""
    bins = []
    for index in range(15):
        inside = np.minimum((probability * 15).astype(int), 14) == index
        some = bool(inside.any())
        bins.append(
            {
                "low": index / 15,
                "high": (index + 1) / 15,
                "count": int(inside.sum()),
                "mean_probability": float(probability[inside].mean()) if some else None,
                "positive_rate": float(labels[inside].mean()) if some else None,
            }
        )
    return {"bins": bins}


def split(positives: int = 1180) -> dict[str, Any]:
    """Return a split.json."""
    sizes = {
        "train": (16000, 4800),
        "val_select": (2666, 800),
        "val_calib": (4000, 1210),
        "val_test": (4000, positives),
    }
    return {
        "schema": "stage1/split/v1",
        "data": "demo/scenes",
        "data_digest": DIGEST,
        "salt": "stage1",
        "fractions": {"train": 0.6, "val_select": 0.1, "val_calib": 0.15, "val_test": 0.15},
        "num_images": 26666,
        "num_groups": 1111,
        "num_unlabeled": 350,
        "num_synthetic": 1200,
        "splits": {
            name: {
                "images": n,
                "positives": p,
                "positive_share": {"value": p / n, "low": p / n - 0.011, "high": p / n + 0.012},
                "groups": n // 24,
                "unlabeled": 0,
                "synthetic": 0,
            }
            for name, (n, p) in sizes.items()
        },
        "skipped": [{"path": "drive 12/broken.jpg", "reason": "truncated"}],
        "skipped_by_reason": {"truncated": 3, "animated": 1},
        "duplicates": {"images": 14, "groups_merged": 5},
        "near_duplicates": {
            "mode": "report",
            "distance": 4,
            "pairs": 9,
            "images": 17,
            "label_conflicts": 0,
            "across_splits": {"train-val_test": 2, "val_select-val_calib": 1},
            "examples": [],
        },
        "certification": {
            "max_fnr": LIMIT,
            "confidence": 0.95,
            "test_positives": positives,
            "needed_no_miss": 149,
            "certifiable_misses": 15,
            "rows": [{"misses": k, "needed": n} for k, n in enumerate((149, 236, 313, 386, 456, 523))],
        },
        "warnings": [],
    }


def history() -> dict[str, Any]:
    """Return a history.json of train with three phases."""
    rows = []
    for epoch in range(1, 17):
        phase = "ce" if epoch <= 8 else "selective" if epoch <= 12 else "crc"
        base = {"ce": 0.62, "selective": 0.9, "crc": 0.35}[phase]
        fall = math.exp(-0.3 * (epoch - {"ce": 1, "selective": 9, "crc": 13}[phase]))
        augrc = 0.03 * math.exp(-0.35 * epoch) + 0.0021 + (0.0004 if epoch > 13 else 0)
        rows.append(
            {
                "epoch": epoch,
                "phase": phase,
                "loss": base * (0.25 + 0.75 * fall),
                "learning_rate": 1e-3,
                "val_augrc": augrc,
                "val_accuracy": 0.97,
                "val_auroc": 0.995,
            }
        )
    return {"schema": "stage1/history/v1", "rows": rows, "best_epoch": 13}


def checks(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the gate's checks for the chosen policy."""
    chosen = metrics["policies"][metrics["chosen"]]
    listed = [
        (
            "fnr_answered",
            chosen["fnr_answered"]["value"],
            chosen["fnr_answered"]["upper"],
            LIMIT,
            "<=",
            "FNR among answered",
        ),
        (
            "fpr_answered",
            chosen["fpr_answered"]["value"],
            chosen["fpr_answered"]["upper"],
            0.1,
            "<=",
            "FPR among answered",
        ),
        ("coverage", chosen["coverage"]["value"], chosen["coverage"]["value"], 0.6, ">=", "Coverage"),
        ("augrc", chosen["augrc"]["value"], chosen["augrc"]["high"], 0.02, "<=", "AUGRC"),
    ]
    out = []
    for name, value, bound, limit, comparison, words in listed:
        good = bound is not None and (bound <= limit if comparison == "<=" else bound >= limit)
        reason = f"{words}: bound {bound} {'meets' if good else 'does not meet'} {comparison} {limit}"
        out.append(
            {
                "name": name,
                "verdict": "pass" if good else "refuse",
                "value": value,
                "bound": bound,
                "limit": limit,
                "comparison": comparison,
                "reason": reason,
            }
        )
    return out


def decide(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return a decision.json that follows from the checks."""
    judged = checks(metrics)
    promote = all(check["verdict"] == "pass" for check in judged)
    return {
        "schema": "stage1/decision/v1",
        "promote": promote,
        "policy": metrics["chosen"],
        "look": {"val_test_digest": DIGEST, "number": 2},
        "checks": judged,
        "reasons": [check["reason"] for check in judged if check["verdict"] != "pass"],
        "warnings": ["This val_test was looked at before: candidate 2."],
        "champion": None,
        "data_digest": DIGEST,
        "model_digest": DIGEST,
        "evaluation_digest": DIGEST,
    }


def thumbnail(seed: int, side: int = 96) -> bytes:
    """Return a small street-like JPEG."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (side, side), tuple(int(v) for v in random.integers(120, 210, 3)))
    draw = ImageDraw.Draw(image)
    draw.polygon([(0, side), (side * 0.4, side * 0.5), (side * 0.6, side * 0.5), (side, side)], fill=(70, 70, 74))
    x = int(random.integers(20, side - 20))
    draw.polygon([(x - 5, side * 0.75), (x, side * 0.6), (x + 5, side * 0.75)], fill=(230, 110, 20))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=85)
    return encoded.getvalue()


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    """Return pixels (H, W, 3) as an image file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def decoded(uri: str) -> bytes:
    """Return the bytes inside a data URI."""
    return base64.b64decode(uri.partition("base64,")[2])


def reconstructions() -> bytes:
    """Return a strip of noise as PNG."""
    return encoded(np.random.default_rng(1).integers(0, 255, (3 * 64, 6 * 64, 3), dtype=np.uint8), "PNG")


def champion(augrc: float) -> dict[str, Any]:
    """Return the champion of metrics.json, somewhat worse than the candidate."""
    return {
        "digest": "ab12" * 16,
        "sequence": 7,
        "policy": "softmax",
        "augrc": around(augrc + 0.0006, 0.0007),
        "coverage": around(0.84, 0.012),
        "fnr_answered": rate("misses", 9, "positives", 1010),
        "augrc_difference": {"value": -0.0006, "low": -0.0012, "upper": 0.0001},
        "identical": False,
    }


def worst(d: np.ndarray, labels: np.ndarray) -> list[dict[str, Any]]:
    """Return the surest mistakes of both kinds."""
    wrong = np.flatnonzero((d > 0) != labels)
    ranked = wrong[np.argsort(-np.abs(d[wrong]))][:14]
    return [
        {
            "id": f"drive-{index % 17:03d}/frame-{index:05d}.jpg",
            "label": int(labels[index]),
            "probability": float(1 / (1 + np.exp(-d[index]))),
            "answered": bool(abs(d[index]) > 1.3),
            "kind": "miss" if labels[index] else "false_alarm",
            "group": f"drive-{index % 17:03d}",
            "source": "synth",
        }
        for index in map(int, ranked)
    ]


def slices(d: np.ndarray, labels: np.ndarray) -> list[dict[str, Any]]:
    """Return per-weather and per-light rows."""
    random = np.random.default_rng(3)
    out = []
    for name, share in (
        ("weather=clear", 0.5),
        ("weather=rain", 0.25),
        ("weather=fog", 0.1),
        ("light=night", 0.2),
        ("source=synth", 1.0),
    ):
        inside = random.random(len(d)) < share
        metrics, _ = policy(d[inside], labels[inside], -1.6, 0.5, np.abs(d[inside]))
        out.append(
            {
                "name": name,
                "images": int(inside.sum()),
                "positives": int(labels[inside].sum()),
                "coverage": metrics["coverage"]["value"],
                "fnr_answered": metrics["fnr_answered"],
                "augrc": metrics["augrc"],
            }
        )
    return out


def story(*, seed: int = 0, t_neg: float = -1.2, with_champion: bool = True) -> Story:
    """Simulate a whole run; a higher `t_neg` answers more negatives and misses more."""
    d, labels = scores(seed=seed)
    gate = 0.8 * np.abs(d) + np.random.default_rng(seed + 1).normal(0, 0.8, len(d))
    parts = {
        "softmax": policy(d, labels, t_neg, 0.6, np.abs(d)),
        "gate": policy(np.where(gate > 1.5, d, 0.01), labels, -0.2, 0.2, gate),
        "scrc": policy(d, labels, t_neg - 0.6, 1.0, np.abs(d) - 0.3 * (d < 0)),
    }
    promises = {
        "softmax": "FNR among answered positives <= 2% with probability 95% over the calibration draw.",
        "gate": "FNR among answered positives <= 2% with probability 95%, thresholds on the gate's probability.",
        "scrc": "FNR among accepted positives <= 2% in expectation; among answered (singletons) it can exceed 2%.",
    }
    for name, promise in promises.items():
        parts[name][0]["promise"] = promise
    probability = 1 / (1 + np.exp(-d))
    chosen = parts["softmax"][0]
    model = {
        "accuracy": around(float(((d > 0) == labels).mean()), 0.004),
        "auroc": around(0.9961, 0.001),
        "nll": around(0.071, 0.006),
        "brier": around(0.0192, 0.002),
        "mcc": around(0.951, 0.01),
        "ece_top_label": {"value": 0.006, "expected_if_calibrated": 0.004},
        "ece_positive": {"value": 0.007, "expected_if_calibrated": 0.0045},
    }
    metrics = {
        "schema": "stage1/metrics/v1",
        "split": "val_test",
        "data_digest": DIGEST,
        "model_digest": DIGEST,
        "confidence": 0.95,
        "num_images": len(d),
        "num_positives": int(labels.sum()),
        "num_groups": 167,
        "chosen": "softmax",
        "model": model,
        "policies": {name: part[0] for name, part in parts.items()},
        "champion": champion(chosen["augrc"]["value"]) if with_champion else None,
        "slices": slices(d, labels),
        "worst": worst(d, labels),
    }
    thresholds = np.linspace(d.min(), d.max(), 300)[::-1]
    curves = {
        "schema": "stage1/curves/v1",
        "policies": {name: part[1] for name, part in parts.items()},
        "reliability": reliability(probability, labels),
        "roc": {
            "fpr": [float((d[~labels] >= t).mean()) for t in thresholds],
            "tpr": [float((d[labels] >= t).mean()) for t in thresholds],
            "threshold": thresholds.tolist(),
        },
        "thresholds": {
            "max_fnr": [0.005, 0.01, 0.015, 0.02, 0.03, 0.05],
            "coverage": [0.31, 0.66, 0.82, 0.87, 0.93, 0.98],
        },
    }
    pretrain = {
        "schema": "stage1/history/v1",
        "rows": [{"epoch": e, "loss": 0.9 / e + 0.2, "learning_rate": 1e-3} for e in range(1, 9)],
    }
    return Story(
        split=split(int(labels.sum())),
        metrics=metrics,
        curves=curves,
        decision=decide(metrics),
        policies={
            "softmax": {"kind": "softmax", "t_neg": t_neg, "t_pos": 0.6},
            "gate": {"platt": {"slope": 1.1}},
            "scrc": {"xi": 0.8},
        },
        history=history(),
        pretrain=pretrain,
        reconstructions_png=reconstructions(),
        agreement={"schema": "x", "max_logit_difference": 3.1e-6, "decisions_equal": 1.0, "images": 4000},
        thumbnails={row["id"]: thumbnail(i) for i, row in enumerate(metrics["worst"])},
        provenance={
            "seed": 0,
            "code": "0.1.0",
            "run_id": "demo",
            "config": {"train": {"epochs": 16, "lr": 1e-3}, "gate": {"max_fnr": LIMIT}},
            "libraries": {"numpy": "2.4.0", "torch": "2.15.0"},
        },
        title="prod-roadwork: demo",
    )
