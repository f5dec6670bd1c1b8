"""Candidates for the gate: metrics.json built from a few underlying numbers, so that all of it agrees."""

from dataclasses import dataclass
from typing import Any

from scipy.stats import binomtest

DATA, MODEL, TEST, OTHER, CHAMPION = (digit * 64 for digit in "abcde")


def upper(failures: int, trials: int, confidence: float = 0.95) -> float:
    """One-sided Clopper-Pearson bound by scipy's own test, an implementation that the gate does not use."""
    if trials == 0:
        return 1.0
    interval = binomtest(failures, trials, alternative="less").proportion_ci(confidence, method="exact")
    return float(interval.high)


@dataclass(frozen=True)
class Candidate:
    """What a test varies. The defaults are a good candidate with a champion that it beats by a little."""

    tp: int = 900
    fn: int = 6
    tn: int = 1800
    fp: int = 50
    deferred_pos: int = 94
    deferred_neg: int = 150
    groups: int = 60
    confidence: float = 0.95
    augrc: float = 0.004
    augrc_margin: float = 0.001
    champion_augrc: float | None = 0.005
    difference_margin: float = 0.002
    design_effect: float = 1.0

    @property
    def positives(self) -> int:
        return self.tp + self.fn

    @property
    def negatives(self) -> int:
        return self.tn + self.fp

    @property
    def images(self) -> int:
        return self.positives + self.negatives + self.deferred_pos + self.deferred_neg

    def _rate(self, failures: int, trials: int, failed: str, asked: str) -> dict[str, Any]:
        return {
            "value": failures / trials if trials else None,
            "upper": upper(failures, trials, self.confidence),
            failed: failures,
            asked: trials,
            "bound": "clopper-pearson",
            "design_effect": self.design_effect,
        }

    def _champion(self) -> dict[str, Any] | None:
        if self.champion_augrc is None:
            return None
        value = self.augrc - self.champion_augrc
        return {
            "digest": CHAMPION,
            "sequence": 3,
            "policy": "softmax",
            "identical": False,
            "model_digest": CHAMPION,
            "augrc": {"value": self.champion_augrc, "low": 0.0, "high": 0.5},
            "augrc_difference": {
                "value": value,
                "low": value - self.difference_margin,
                "upper": value + self.difference_margin,
            },
        }

    def metrics(self) -> dict[str, Any]:
        """Return metrics.json as evaluate would write it, in the parts that the gate can read, and one policy more."""
        policy = {
            "feasible": True,
            "reason": "",
            "promise": "",
            "coverage": {"value": (self.positives + self.negatives) / self.images, "low": 0.0, "high": 1.0},
            "augrc": {
                "value": self.augrc,
                "low": max(0.0, self.augrc - self.augrc_margin),
                "high": self.augrc + self.augrc_margin,
            },
            "fnr_answered": self._rate(self.fn, self.positives, "misses", "positives"),
            "fpr_answered": self._rate(self.fp, self.negatives, "false_alarms", "negatives"),
            "confusion": {
                "answered_tp": self.tp,
                "answered_fn": self.fn,
                "answered_tn": self.tn,
                "answered_fp": self.fp,
                "deferred_pos": self.deferred_pos,
                "deferred_neg": self.deferred_neg,
            },
        }
        return {
            "schema": "stage1/metrics/v1",
            "split": "val_test",
            "data_digest": DATA,
            "model_digest": MODEL,
            "val_test_digest": TEST,
            "confidence": self.confidence,
            "num_images": self.images,
            "num_positives": self.positives + self.deferred_pos,
            "num_groups": self.groups,
            "chosen": "softmax",
            "policies": {"softmax": policy, "gate": {"feasible": False, "reason": "the gate has collapsed"}},
            "champion": self._champion(),
        }


def pointer(**changes: Any) -> dict[str, Any]:
    """What the channel points at: the champion of Candidate."""
    return {"digest": CHAMPION, "sequence": 3, **changes}
