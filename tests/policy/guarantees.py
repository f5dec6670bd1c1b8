"""Simulated promises: many draws of val_calib and val_select from a world whose true rates are known exactly.

    STAGE1_REPETITIONS=2000 python -m tests.policy.guarantees KIND POSITIVES >> grid.jsonl
    python -m tests.policy.guarantees table grid.jsonl

Margins are normal around +-3 (hard images, 6 %: +-.3) with standard deviation 1.2; gate logits are normal around 2
(hard: 0). True rates come from the normal distribution function, not from a sample. The Platt and Dirichlet maps are
left at the identity: they are monotone and the promises do not rest on them.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.special import ndtr
from scipy.stats import beta

from stage1.policy import Aim, Constraint, Predictions, ScrcOptions, SoftmaxPolicy
from stage1.policy.fitting.gate import fit_rule
from stage1.policy.fitting.scrc import fit_thresholds
from stage1.policy.gate import PlattMap
from stage1.policy.scrc import DirichletMap

KINDS = ("informative", "useless", "tied", "adversarial", "clustered")
POSITIVES = (500, 2000, 10_000)
ALPHAS = (0.02, 0.05, 0.1)
REPETITIONS = int(os.environ.get("STAGE1_REPETITIONS", "40"))
GROUP, HARD, NO_AIM = 12, 0.06, Aim(pass_probability=1e-9)
_PLATT = PlattMap(slope=1.0, intercept=0.0)
_IDENTITY = DirichletMap(weight=((1.0, 0.0), (0.0, 1.0)), intercept=(0.0, 0.0), off_diagonal=0.0, intercept_penalty=0.0)


def draw(kind, positives, rng):
    """Return predictions with about as many negatives as `positives`."""
    n = 2 * positives
    label = (rng.random(n) < 0.5).astype(np.int8)
    hard = rng.random(n) < HARD
    noise, groups = rng.normal(size=n), None
    if kind == "clustered":
        groups = np.arange(n) // GROUP
        noise = np.sqrt(0.2) * rng.normal(size=groups[-1] + 1)[groups] + np.sqrt(0.8) * noise
    margin = np.where(hard, 0.3, 3.0) * (2 * label - 1) + 1.2 * noise
    gate = np.where(hard, 0.0, 2.0) + rng.normal(size=n)
    if kind == "useless":
        margin = noise
    elif kind == "tied":
        margin, gate = np.round(2 * margin) / 2, np.round(gate)
    elif kind == "adversarial":
        margin = np.where(label == 1, 0.25, margin)
    return Predictions(np.column_stack([np.zeros(n), margin]), label, gate, groups)


def below(kind, label, threshold, hard):
    """Return P(margin < threshold) of a class and a difficulty."""
    if kind == "useless":
        return float(ndtr(threshold))
    if kind == "adversarial" and label == 1:
        return float(threshold > 0.25 + 1e-9)
    if kind == "tied" and np.isfinite(threshold):
        threshold = (np.ceil(2 * threshold - 1e-6) - 0.5) / 2  # half way down to the next value of the grid
    return float(ndtr((threshold - (0.3 if hard else 3.0) * (2 * label - 1)) / 1.2))


def accepted(kind, hard, level, *, strictly):
    """Return P(gate > level), or P(gate >= level)."""
    if kind == "tied" and np.isfinite(level):
        level = (np.floor(level) if strictly else np.ceil(level) - 1) + 0.5
    return float(ndtr((0.0 if hard else 2.0) - level))


def mixed(value):
    """Return the average of a function of the difficulty."""
    return (1 - HARD) * value(False) + HARD * value(True)


def softmax_rates(policy, kind):
    """Return (FNR among answered positives, FPR among answered negatives)."""
    rates = []
    for label in (1, 0):
        low = mixed(lambda hard, label=label: below(kind, label, policy.negative_below, hard))
        high = 1 - mixed(lambda hard, label=label: below(kind, label, policy.positive_from, hard))
        rates.append((low if label else high) / (low + high))
    return tuple(rates)


def gate_rates(policy, kind):
    """Return (FNR among accepted positives, FPR among accepted negatives)."""
    level = -np.inf if policy.accept_above is None else policy.accept_above
    share = mixed(lambda hard: accepted(kind, hard, level, strictly=True))
    found = [
        mixed(
            lambda hard, label=label: (
                accepted(kind, hard, level, strictly=True) * below(kind, label, policy.positive_from, hard)
            )
        )
        / share
        for label in (1, 0)
    ]
    return found[0], 1 - found[1]


def scrc_rates(policy, kind):
    """Return (share of accepted positives whose set lacks class 1, 0)."""
    level = -np.inf if policy.accept_from is None else policy.accept_from
    share = mixed(lambda hard: accepted(kind, hard, level, strictly=False))
    lacking = mixed(lambda hard: accepted(kind, hard, level, strictly=False) * below(kind, 1, policy.set_from, hard))
    return lacking / share, 0.0


@dataclass
class Cell:
    """What the repetitions of one cell came to."""

    kind: str
    positives: int
    alpha: float
    policy: str
    repetitions: int = 0
    feasible: int = 0
    broken: int = 0
    alarmed: int = 0
    risk: float = 0.0
    risk_squared: float = 0.0
    answered: float = 0.0

    def add(self, policy, rates):
        """Count one fitted policy."""
        self.repetitions += 1
        if policy.feasible:
            fnr, fpr = rates(policy, self.kind)
            self.feasible += 1
            self.broken += fnr > self.alpha
            self.alarmed += fpr > policy.constraint.max_fpr
            self.risk += fnr
            self.risk_squared += fnr**2
            self.answered += policy.evidence.answered / policy.evidence.images

    @property
    def tolerance(self):
        """Return three standard errors of a violation rate that is exactly .05 (or of the mean risk, for scrc)."""
        if self.policy == "scrc":
            mean = self.risk / self.repetitions
            return 3 * np.sqrt(max(self.risk_squared / self.repetitions - mean**2, 1e-12) / self.repetitions)
        return 3 * np.sqrt(0.05 * 0.95 / self.repetitions)

    @property
    def holds(self):
        """Return whether the promise was kept; refusals are runs in which nothing is broken."""
        if self.policy == "scrc":
            return self.risk / self.repetitions <= self.alpha + self.tolerance
        return max(self.broken, self.alarmed) / self.repetitions <= 0.05 + self.tolerance


def simulate(kind, positives, repetitions=REPETITIONS, seed=0):
    """Return the cells of one world and size, all alphas and policies on the same draws."""
    rng = np.random.default_rng([seed, KINDS.index(kind), positives])
    cells = {(a, p): Cell(kind, positives, a, p) for a in ALPHAS for p in ("softmax", "gate", "scrc")}
    for _ in range(repetitions):
        rows, planning = draw(kind, positives, rng), draw(kind, positives, rng)
        for alpha in ALPHAS:
            limit = Constraint(max_fnr=alpha)
            cells[alpha, "softmax"].add(SoftmaxPolicy.fit(rows, limit, aim=NO_AIM, planning=planning), softmax_rates)
            cells[alpha, "gate"].add(fit_rule(rows, limit, NO_AIM, planning, _PLATT), gate_rates)
            scrc = fit_thresholds(rows, limit, NO_AIM, ScrcOptions(), _IDENTITY)
            cells[alpha, "scrc"].add(scrc, scrc_rates)
    return list(cells.values())


def table(cells):
    """Return the cells as a Markdown table."""
    lines = [
        "| world | positives | max FNR | policy | runs | feasible | FNR broken | 95 % interval | FPR broken "
        "| mean risk / limit | answered |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for cell in cells:
        runs, some = cell.repetitions, max(cell.feasible, 1)
        low = beta.ppf(0.025, cell.broken, runs - cell.broken + 1) if cell.broken else 0.0
        high = beta.ppf(0.975, cell.broken + 1, runs - cell.broken)
        broken = ["-", "-", "-"] if cell.policy == "scrc" else [
            f"{cell.broken / runs:.4f}", f"{low:.3f} to {high:.3f}", f"{cell.alarmed / runs:.4f}"
        ]  # fmt: skip
        risk = f"{cell.risk / some / cell.alpha:.2f}" if cell.feasible else "-"
        lines.append(
            f"| {cell.kind} | {cell.positives:,} | {cell.alpha} | {cell.policy} | {runs:,} "
            f"| {cell.feasible / runs:.3f} | {broken[0]} | {broken[1]} | {broken[2]} | {risk} "
            f"| {cell.answered / some:.3f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1] == "table":
        found = [Cell(**json.loads(line)) for line in Path(sys.argv[2]).read_text().splitlines()]
        print(table(found))
        print(f"\n{sum(not cell.holds for cell in found)} of {len(found)} cells break their promise.")
    else:
        for cell in simulate(sys.argv[1], int(sys.argv[2])):
            print(json.dumps(asdict(cell)), flush=True)
