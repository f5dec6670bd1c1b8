"""Simulate every promise of stage1.conformal: is it kept, and how far below it does a method stay?

    python benchmarks/conformal_guarantees.py [--quick] [--write docs/results/guarantees-conformal.md]

STAGE1_REPETITIONS sets the runs of each cell (2,000; 100 with --quick). True rates are computed, not sampled: a run is
one calibration set, and what it is worth is known exactly. tests/conformal/test_guarantees.py runs the same cells.

A cell is a world of scores, a number of calibration positives (as many negatives stand beside them) and a tolerated
miss rate alpha. A run either answers or refuses; refusals are counted apart and are no slack.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.special import bdtr, ndtr, ndtri
from scipy.stats import binom, norm

from stage1.conformal import (
    allowed_losses,
    certifiable_misses,
    crc_threshold,
    fnr_upper_bound,
    hoeffding_bentkus_bound,
    ltt,
    scrc_i,
    scrc_i_v2,
    scrc_t,
    upper_bound,
)
from stage1.errors import TooFewSamples

SIZES = (500, 2_000, 10_000)
ALPHAS = (0.02, 0.05, 0.1)
DELTA = 0.05
XI = 0.8
GROUP = 10
CORRELATION = 0.2  # of latent scores within a group
IN_EXPECTATION = ("crc", "scrc_t")
APPROXIMATE = "korn-graubard"
NODES, WEIGHTS = np.polynomial.legendre.leggauss(96)


@dataclass(frozen=True)
class World:
    """Positives have latent (gate, score) = (g, shift + r g + sqrt(1 - r^2) e); steps round what is seen of them."""

    name: str
    shift: float
    r: float
    gate_step: float = 0.0
    score_step: float = 0.0
    one_score: bool = False
    clustered: bool = False

    def miss_rate(self, threshold: float, accept: float = -np.inf) -> float:
        """Return P(score < threshold | positive, gate >= accept), exactly (numerical integration to 1e-12)."""
        if self.one_score:
            return float(threshold > 0)
        t = threshold - self.score_step / 2 - self.shift
        low = float(ndtr(accept - self.gate_step / 2))
        if self.r == 0 or low == 0:
            return float(ndtr(t))
        u = low + (1 - low) * (NODES + 1) / 2
        return float(WEIGHTS @ ndtr((t - self.r * ndtri(u)) / np.sqrt(1 - self.r**2)) / 2)

    def coverage(self, accept: float) -> float:
        """Return P(gate >= accept)."""
        return float(ndtr(self.gate_step / 2 - accept))

    def draw(self, rng: np.random.Generator, positives: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return gate, score, "is positive" and group of 2 * positives images."""
        num = 2 * positives
        group = np.arange(num) // GROUP if self.clustered else np.arange(num)
        label = rng.random(num) < 0.5
        gate, noise = (self._latent(rng, group) for _ in range(2))
        score = np.where(label, self.shift, -self.shift) + self.r * gate + np.sqrt(1 - self.r**2) * noise
        if self.one_score:
            score[label] = 0.0
        return _rounded(gate, self.gate_step), _rounded(score, self.score_step), label, group

    def _latent(self, rng: np.random.Generator, group: np.ndarray) -> np.ndarray:
        if not self.clustered:
            return rng.normal(size=len(group))
        shared = rng.normal(size=group[-1] + 1)[group]
        return np.sqrt(CORRELATION) * shared + np.sqrt(1 - CORRELATION) * rng.normal(size=len(group))


WORLDS = (
    World("informative", 1.5, 0.5),
    World("useless", 0.0, 0.0),
    World("tied", 1.5, 0.5, gate_step=0.5, score_step=0.5),
    World("adversarial", 0.0, 0.0, one_score=True),
    World("clustered", 1.5, 0.5, clustered=True),
)


@dataclass
class Cell:
    """What the runs of one promise came to."""

    world: str
    promise: str
    positives: int
    alpha: float
    risks: list[float] = field(default_factory=list)
    broken: list[bool] = field(default_factory=list)
    refused: int = 0
    theory: float | None = None

    @property
    def limit(self) -> float:
        """What is promised: alpha in expectation, or delta as the share of broken runs."""
        return self.alpha if self.promise in IN_EXPECTATION else DELTA

    @property
    def value(self) -> float:
        """Mean risk, or the share of runs that broke the promise, among runs that answered; NaN when none did."""
        seen = self.risks if self.promise in IN_EXPECTATION else self.broken
        return float(np.mean(seen)) if seen else float("nan")

    @property
    def standard_error(self) -> float:
        """Of `value`, at its limit for shares (so that no broken run does not mean no error)."""
        answered = max(len(self.risks), 1)
        spread = np.std(self.risks) if self.promise in IN_EXPECTATION else np.sqrt(DELTA * (1 - DELTA))
        return float(spread / np.sqrt(answered))

    @property
    def kept(self) -> bool:
        """Whether the value stays below its promise plus three standard errors; a cell of refusals keeps it.

        For shares of broken runs the binomial count that is as unlikely as three standard errors, which in 100 runs are
        skewed: 13 of 100 at .05 where the normal law has 11.5; at 2,000 runs 130 and 129.
        """
        if self.promise in IN_EXPECTATION:
            return not self.risks or self.value <= self.limit + 3 * self.standard_error
        return sum(self.broken) <= binom.isf(norm.sf(3), len(self.broken), DELTA)


def simulate(world: World, positives: int, repetitions: int, seed: int = 0) -> list[Cell]:
    """Return the cells of one world and size, every promise at every alpha."""
    cells: dict[tuple[str, float], Cell] = {}
    rng = np.random.default_rng([seed, WORLDS.index(world), positives])
    for _ in range(repetitions):
        drawn = world.draw(rng, positives)
        for alpha in ALPHAS:
            for promise, run in _promises(world).items():
                cell = cells.setdefault((promise, alpha), Cell(world.name, promise, positives, alpha))
                try:
                    risk, broken = run(world, drawn, alpha)
                except TooFewSamples:
                    cell.refused += 1
                    continue
                cell.risks.append(risk)
                cell.broken.append(broken)
    return list(cells.values())


def exact_value(cell: Cell) -> float | None:
    """Return what theory says the value is with exactly `positives` continuous scores, None where it says nothing."""
    m, alpha = cell.positives, cell.alpha
    if cell.promise == "crc":
        return (allowed_losses(m, alpha) + 1) / (m + 1)
    if cell.promise == "ltt":
        return float(bdtr(certifiable_misses(m, alpha, 1 - DELTA), m, alpha))
    return None


Drawn = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Run = Callable[[World, Drawn, float], tuple[float, bool]]


def _promises(world: World) -> dict[str, Run]:
    """Return the promises of a world; images in groups are first thinned to one a group, which makes them exact."""
    runs: dict[str, Run] = {
        "crc": _thinned(_crc),
        "ltt": _thinned(_ltt),
        "clopper-pearson": _thinned(_clopper_pearson),
        "hoeffding-bentkus": _hoeffding_bentkus,
        "scrc_t": _thinned(_scrc_t),
        "scrc_i": _thinned(_scrc_i),
        "scrc_i_v2": _thinned(_scrc_i_v2),
    }
    return {**runs, APPROXIMATE: _korn_graubard} if world.clustered else runs


def _thinned(run: Run) -> Run:
    def thinned(world: World, drawn: Drawn, alpha: float) -> tuple[float, bool]:
        first = np.unique(drawn[3], return_index=True)[1] if world.clustered else slice(None)
        gate, score, label, group = (column[first] for column in drawn)
        return run(world, (gate, score, label, group), alpha)

    return thinned


def _crc(world: World, drawn: Drawn, alpha: float) -> tuple[float, bool]:
    threshold = crc_threshold(drawn[1][drawn[2]], alpha)
    return _answered(threshold, alpha, world.miss_rate(threshold))


def _ltt(world: World, drawn: Drawn, alpha: float) -> tuple[float, bool]:
    scores = np.sort(drawn[1][drawn[2]])
    candidates = np.unique(scores[: int(3 * alpha * len(scores)) + 50])  # later ones cannot be reached
    count = ltt(np.searchsorted(scores, candidates), np.full(len(candidates), len(scores)), alpha, DELTA)
    threshold = float(candidates[count - 1]) if count else -np.inf
    return _answered(threshold, alpha, world.miss_rate(threshold))


def _clopper_pearson(world: World, drawn: Drawn, alpha: float) -> tuple[float, bool]:
    threshold, scores = _fixed(world, alpha), drawn[1][drawn[2]]
    true = world.miss_rate(threshold)
    return true, fnr_upper_bound(int((scores < threshold).sum()), len(scores), 1 - DELTA) < true


def _hoeffding_bentkus(world: World, drawn: Drawn, alpha: float) -> tuple[float, bool]:
    """The mean over groups of the share missed in each; without groups, the plain miss rate."""
    threshold, (_, score, label, group) = _fixed(world, alpha), drawn
    true = world.miss_rate(threshold)
    size = np.bincount(group[label])
    missed = np.bincount(group[label], score[label] < threshold)
    total = float((missed[size > 0] / size[size > 0]).sum())
    return true, hoeffding_bentkus_bound(total, int((size > 0).sum()), 1 - DELTA) < true


def _korn_graubard(world: World, drawn: Drawn, alpha: float) -> tuple[float, bool]:
    threshold, (_, score, label, group) = _fixed(world, alpha), drawn
    true = world.miss_rate(threshold)
    return true, upper_bound(score[label] < threshold, group[label], 1 - DELTA).upper < true


def _scrc_t(world: World, drawn: Drawn, alpha: float) -> tuple[float, bool]:
    found = scrc_t(*drawn[:3], xi=XI, alpha=alpha)
    return _answered(found.positive, alpha, world.miss_rate(found.positive, found.accept))


def _scrc_i(world: World, drawn: Drawn, alpha: float) -> tuple[float, bool]:
    found = scrc_i(*drawn[:3], xi=XI, alpha=alpha, delta=DELTA)
    risk = world.miss_rate(found.positive, found.accept)
    return risk, risk > alpha or world.coverage(found.accept) < XI


def _scrc_i_v2(world: World, drawn: Drawn, alpha: float) -> tuple[float, bool]:
    found = scrc_i_v2(*drawn[:3], accept=_rounded(ndtri(1 - XI), world.gate_step), alpha=alpha, delta=DELTA)
    risk = world.miss_rate(found.positive, found.accept)
    return risk, risk > alpha


def _answered(threshold: float, alpha: float, risk: float) -> tuple[float, bool]:
    """Return risk and "broken"; a threshold that calls everything positive is a refusal."""
    if threshold == -np.inf:
        raise TooFewSamples("nothing can be promised")
    return risk, risk > alpha


def _fixed(world: World, alpha: float) -> float:
    """Return a threshold with a true miss rate of about alpha, fixed before the data."""
    return 0.0 if world.one_score else float(_rounded(world.shift + ndtri(alpha), world.score_step))


def _rounded(values: np.ndarray, step: float) -> np.ndarray:
    return np.round(np.asarray(values) / step) * step if step else np.asarray(values)


def table(cells: list[Cell]) -> str:
    """Return the cells as a table in Markdown."""
    lines = [
        "| scores | promise | positives | alpha | promised | found | s.e. | exact theory | slack | refused | kept |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for cell in cells:
        runs = len(cell.risks) + cell.refused
        exact = exact_value(cell) if cell.world in ("informative", "useless") else None
        found = (
            f"{cell.value:.4f} | {cell.standard_error:.4f} | {'' if exact is None else f'{exact:.4f}'} | "
            f"{cell.limit - cell.value:+.4f}"
            if cell.risks
            else "- | - | | -"
        )
        kept = "approximate" if cell.promise == APPROXIMATE else ("yes" if cell.kept else "NO") if cell.risks else "-"
        kind = "mean risk" if cell.promise in IN_EXPECTATION else "P(broken)"
        lines.append(
            f"| {cell.world} | {cell.promise} | {cell.positives:,} | {cell.alpha} | {kind} <= {cell.limit} | {found} | "
            f"{cell.refused / runs:.0%} | {kept} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100 runs a cell")
    parser.add_argument("--write", type=Path, help="put the table below the mark in this Markdown file")
    options = parser.parse_args()
    repetitions = int(os.environ.get("STAGE1_REPETITIONS", "100" if options.quick else "2000"))
    start = time.perf_counter()
    cells = [cell for world in WORLDS for size in SIZES for cell in simulate(world, size, repetitions)]
    text = table(cells)
    exact = [cell for cell in cells if cell.promise != APPROXIMATE]
    summary = (
        f"{repetitions:,} runs a cell, {len(cells)} cells, {time.perf_counter() - start:.0f} s; "
        f"{sum(bool(cell.risks) for cell in exact)} cells answered, {sum(not cell.kept for cell in exact)} broken."
    )
    print(text, summary, sep="\n\n")
    if options.write:
        mark = "<!-- written by benchmarks/conformal_guarantees.py -->"
        head = options.write.read_text().split(mark)[0]
        options.write.write_text(f"{head}{mark}\n\n{summary}\n\n{text}\n")


if __name__ == "__main__":
    main()
