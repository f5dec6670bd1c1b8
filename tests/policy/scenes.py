"""Simulated predictions with known truth, for the tests of policies."""

import numpy as np

from stage1.policy import Predictions


def scenes(num_images, seed, *, share=0.5, separation=3.0, hard=0.06, groups=None, kind="informative"):
    """Return predictions whose margins are normal around +-separation, a share of them hard.

    kind: informative; useless (labels independent of scores); tied (margins and gate on coarse grids); adversarial
    (all positives at one score).
    """
    rng = np.random.default_rng(seed)
    label = (rng.random(num_images) < share).astype(int)
    is_hard = rng.random(num_images) < hard
    centre = np.where(is_hard, 0.1 * separation, separation) * (2 * label - 1)
    noise = rng.normal(size=num_images)
    names = None
    if groups is not None:
        names = np.arange(num_images) // groups
        shared = rng.normal(size=names[-1] + 1)[names]
        noise = np.sqrt(0.2) * shared + np.sqrt(0.8) * noise
    margin = centre + 1.2 * noise
    gate = np.where(is_hard, 0.0, 2.0) + rng.normal(size=num_images)
    if kind == "useless":
        margin = rng.normal(size=num_images)
    elif kind == "tied":
        margin, gate = np.round(margin * 2) / 2, np.round(gate)
    elif kind == "adversarial":
        margin = np.where(label == 1, 0.25, margin)
    return Predictions(np.column_stack([np.zeros(num_images), margin]), label, gate, names)


def outcome(policy, predictions):
    """Return (misses, answered positives, false alarms, answered negatives, coverage)."""
    decisions = policy.decide(predictions.logits, predictions.gate)
    positive = predictions.positive
    answered = decisions.answered
    return (
        int((answered & positive & (decisions.label == 0)).sum()),
        int((answered & positive).sum()),
        int((answered & ~positive & (decisions.label == 1)).sum()),
        int((answered & ~positive).sum()),
        float(answered.mean()),
    )
