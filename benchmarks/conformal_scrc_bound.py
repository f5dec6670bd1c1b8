"""The published bound of SCRC-T allows one loss too many: simulation beside theory, and accepted beside answered.

    python benchmarks/conformal_scrc_bound.py [--quick] [--write docs/results/scrc-bound.md]

Part 1. With m calibration positives, continuous scores and L allowed losses the threshold is the (L + 1)-th smallest
score, whose true miss rate is Beta(L + 1, m - L): (L + 1) / (m + 1) on average. arXiv 2512.12844 (Eq. 15) allows
ceil((m + 1) alpha) - 1, we allow floor((m + 1) alpha) - 1.

Part 2. The promise is about accepted images. Answered are those of them whose prediction set holds one class alone,
and these are missed more often.
"""

import argparse
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np

from stage1.conformal import allowed_losses, scrc_t

SIZES = (49, 75, 100, 149, 200, 500, 1_000, 2_000)
ALPHAS = (0.02, 0.05, 0.1)
MARK = "<!-- written by benchmarks/conformal_scrc_bound.py -->"


def published_losses(num_positives: int, alpha: float) -> int:
    """Return ceil((m + 1) alpha) - 1, Eq. 15 of the paper."""
    return ceil((num_positives + 1) * Fraction(str(alpha))) - 1


def simulated_risk(num_positives: int, losses: int, repetitions: int, seed: int) -> tuple[float, float]:
    """Return the mean true miss rate and its standard error, from drawn scores that are uniform on (0, 1)."""
    rng = np.random.default_rng([seed, num_positives, losses])
    risks = []
    left = repetitions
    while left:
        runs = min(left, max(1, 2_000_000 // num_positives))
        risks.append(np.partition(rng.random((runs, num_positives)), losses, axis=1)[:, losses])
        left -= runs
    risk = np.concatenate(risks)  # P(uniform score < threshold) is the threshold
    return float(risk.mean()), float(risk.std() / np.sqrt(repetitions))


def bound_table(repetitions: int) -> str:
    """Return simulated and exact risks under both bounds."""
    lines = [
        "| alpha | m | losses, floor | true risk | theory | losses, ceil | true risk | theory | the published is |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for alpha in ALPHAS:
        for m in SIZES:
            ours, published = allowed_losses(m, alpha), published_losses(m, alpha)
            cells = [str(ours), "nothing is missed", "0"] if ours < 0 else [str(ours), *_risk(m, ours, repetitions)]
            cells += [str(published), *_risk(m, published, repetitions)]
            above = Fraction(published + 1, m + 1) / Fraction(str(alpha)) - 1
            verdict = f"{float(above):.1%} above alpha" if above > 0 else "the same"
            lines.append(f"| {alpha} | {m:,} | {' | '.join(cells)} | {verdict} |")
    return "\n".join(lines)


def _risk(m: int, losses: int, repetitions: int) -> list[str]:
    mean, error = simulated_risk(m, losses, repetitions, seed=0)
    return [f"{mean:.5f} +- {error:.5f}", f"{(losses + 1) / (m + 1):.5f}"]


def answered_table(repetitions: int) -> str:
    """Return the miss rates among accepted and among answered positives of SCRC-T at alpha = .02, by sharpness.

    2,000 calibration and 2,000 test images a run, pooled over runs; standard errors are over runs.
    """
    lines = [
        "| separation | accepted | answered | FNR among accepted | FNR among answered |",
        "|---|---|---|---|---|",
    ]
    for shift in (1.0, 1.5, 2.0, 3.0):
        rng = np.random.default_rng([1, int(10 * shift)])
        counts = np.array([_run(rng, shift) for _ in range(repetitions)], dtype=float)
        accepted, answered, *_ = counts.mean(axis=0)
        lines.append(
            f"| {shift} | {accepted:.1%} | {answered:.1%} | {_ratio(counts[:, 2], counts[:, 3])} | "
            f"{_ratio(counts[:, 4], counts[:, 5])} |"
        )
    return "\n".join(lines)


def _run(rng: np.random.Generator, shift: float, size: int = 2_000) -> tuple[float, ...]:
    """Return shares accepted and answered, then misses and positives among the accepted and among the answered."""
    label = rng.random(2 * size) < 0.5
    score = rng.normal(size=2 * size) + np.where(label, shift, -shift)  # log-odds are a multiple of it
    gate = np.abs(score) + 0.5 * rng.normal(size=2 * size)
    found = scrc_t(gate[:size], score[:size], label[:size], xi=0.9, alpha=0.02)
    taken, positive, test = gate[size:] >= found.accept, label[size:], score[size:]
    has_one, has_zero = test >= found.positive, -test >= found.positive
    answered = taken & (has_one != has_zero)
    misses = taken & positive & ~has_one
    # A miss whose set lacks class 0 too is empty: deferred, and no miss among the answered.
    return (
        float(taken.mean()),
        float(answered.mean()),
        float(misses.sum()),
        float((taken & positive).sum()),
        float((misses & has_zero).sum()),
        float((answered & positive).sum()),
    )


def _ratio(misses: np.ndarray, positives: np.ndarray) -> str:
    """Return a pooled ratio with its standard error over runs."""
    value = misses.sum() / positives.sum()
    error = np.std(misses - value * positives) / positives.mean() / np.sqrt(len(misses))
    return f"{value:.2%} +- {error:.2%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a twentieth of the runs")
    parser.add_argument("--write", type=Path, help="put the tables below the mark in this Markdown file")
    options = parser.parse_args()
    scale = 20 if options.quick else 1
    text = (
        f"## The bound ({20_000 // scale:,} runs a cell)\n\n{bound_table(20_000 // scale)}\n\n"
        f"## Accepted and answered ({4_000 // scale:,} runs a row, alpha = .02)\n\n{answered_table(4_000 // scale)}\n"
    )
    print(text)
    if options.write:
        head = options.write.read_text().split(MARK)[0]
        options.write.write_text(f"{head}{MARK}\n\n{text}")


if __name__ == "__main__":
    main()
