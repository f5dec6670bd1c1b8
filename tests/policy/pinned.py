"""Fits whose outcome is written down in pinned.json, so that no change of an exit policy goes unseen.

Nothing here says that an outcome is right; test_guarantees and the tests beside it do. A user who fits the same data
with the next version gets the same thresholds, or the changelog says why not. After a wanted change:

    python -m tests.policy.pinned
"""

import json
from pathlib import Path

import numpy as np

from stage1.policy import Aim, CalibrateConfig, Constraint, Predictions, ScrcOptions, fit_all
from tests.policy.scenes import scenes

FILE = Path(__file__).with_name("pinned.json")
FAST = ScrcOptions(penalties=(1e-3, 1e-1))


def without_gate_order(rows):
    """The same images under a gate that gives two scores only."""
    return Predictions(rows.logits, rows.labels, np.asarray(rows.gate) > 0, rows.groups)


def shifted(rows, by):
    """The same images with every margin moved."""
    return Predictions(rows.logits + np.array([0.0, by]), rows.labels, rows.gate, rows.groups)


def few(num_positives, num_negatives):
    """Separable images: margin +3 for positives, -3 for negatives, with small steps between."""
    labels = np.repeat([1, 0], [num_positives, num_negatives])
    steps = np.arange(len(labels)) / 1000
    return Predictions(np.column_stack([np.zeros(len(labels)), 6.0 * labels - 3 + steps]), labels, 1.0 + steps)


def case(rows, planning=None, *, aim=None, **limits):
    """One entry of CASES."""
    return {"rows": rows, "planning": planning, "aim": aim or Aim(), "constraint": Constraint(**limits)}


LOOSE = Aim(pass_probability=1e-9)
CASES = {
    "plain": lambda: case(scenes(1500, 0)),
    "planned": lambda: case(scenes(1500, 0), scenes(1500, 1)),
    "certificate alone": lambda: case(scenes(1500, 2), scenes(1500, 3), aim=LOOSE),
    "looser limit": lambda: case(scenes(900, 4), scenes(900, 5), max_fnr=0.05, max_fpr=0.1),
    "very loose limit": lambda: case(scenes(700, 6), max_fnr=0.3, max_fpr=0.4, confidence=0.9),
    "high aim": lambda: case(scenes(1500, 7), aim=Aim(pass_probability=0.999), max_fnr=0.05),
    "bigger test": lambda: case(scenes(1200, 8), aim=Aim(test_positives=1800), max_fnr=0.04),
    "smaller test": lambda: case(scenes(1200, 8), aim=Aim(test_positives=200), max_fnr=0.04),
    "told share": lambda: case(scenes(1500, 9), aim=Aim(answered_negatives=0.3)),
    "too high a share": lambda: case(scenes(1500, 10), aim=Aim(answered_negatives=0.97)),
    "the last rung": lambda: case(scenes(3000, 11, separation=1.2), aim=Aim(answered_negatives=0.9), max_fnr=0.1),
    "tied": lambda: case(scenes(1500, 12, kind="tied"), scenes(1500, 13, kind="tied"), max_fnr=0.05),
    "tied, plain": lambda: case(scenes(1500, 14, kind="tied"), aim=LOOSE, max_fnr=0.08, max_fpr=0.1),
    "useless": lambda: case(scenes(1000, 15, kind="useless"), scenes(1000, 16, kind="useless"), max_fnr=0.05),
    "adversarial": lambda: case(scenes(1000, 17, kind="adversarial"), max_fnr=0.05, max_fpr=0.2),
    "groups of 4": lambda: case(scenes(1600, 18, groups=4), scenes(1600, 19, groups=4), max_fnr=0.05),
    "groups of 25": lambda: case(scenes(3000, 20, groups=25), aim=LOOSE, max_fnr=0.1, max_fpr=0.2),
    "tied groups": lambda: case(scenes(2000, 21, groups=10, kind="tied"), aim=LOOSE, max_fnr=0.08, max_fpr=0.2),
    "hard images": lambda: case(scenes(1500, 22, hard=0.3), scenes(1500, 23, hard=0.3), max_fnr=0.05),
    "mostly negatives": lambda: case(scenes(3000, 24, share=0.1), scenes(3000, 25, share=0.1), max_fnr=0.05),
    "mostly positives": lambda: case(scenes(1500, 26, share=0.9), scenes(1500, 27, share=0.9)),
    "moved margins": lambda: case(shifted(scenes(1500, 28), -1.5), shifted(scenes(1500, 29), -1.5), max_fnr=0.05),
    "gate of two scores": lambda: case(without_gate_order(scenes(1200, 30)), max_fnr=0.2, max_fpr=0.2),
    "too few positives": lambda: case(few(100, 400)),
    "too few negatives": lambda: case(few(400, 30)),
    "separable": lambda: case(few(400, 400)),
    "one positive": lambda: case(few(1, 300)),
    "two positives": lambda: case(few(2, 300), max_fnr=0.5, max_fpr=0.5, confidence=0.6),
    "one negative": lambda: case(few(300, 1)),
    "no positive": lambda: case(few(0, 300)),
    "no negative": lambda: case(few(300, 0)),
    "nothing": lambda: case(few(0, 0)),
}


def outcome_of(name):
    """Return what the three policies of a case look like in their files."""
    found = CASES[name]()
    config = CalibrateConfig(constraint=found["constraint"], aim=found["aim"], scrc=FAST)
    policies = fit_all(found["rows"], config, found["planning"])
    return {kind: policy.to_json() for kind, policy in policies.items()}


if __name__ == "__main__":
    text = json.dumps({name: outcome_of(name) for name in CASES}, indent=1, sort_keys=True, ensure_ascii=False)
    FILE.write_text(text + "\n", encoding="utf-8")
