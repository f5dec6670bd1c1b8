"""AUGRC and its 95 % interval against scipy.stats.bootstrap (and torch-uncertainty + bootstrap): time and equality.

    python benchmarks/metrics_augrc.py [--quick] [--errors 0.05]

Two peers. "closed form" writes AUGRC's definition straight in numpy, with ties: sort, look every image up on both
sides, multiply, sum. "one sort" is leaner and knows no ties: sort, cumulate, trapezoids. Both run inside
scipy.stats.bootstrap for a few resamples; the time of a resample is then scaled to 2,000, because the cost is linear in
them. Ours is measured whole. torch-uncertainty is used where it is installed:
    uv pip install --target build/peers torch-uncertainty==0.13.0, then PYTHONPATH=build/peers
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
from scipy.stats import bootstrap

from stage1.metrics import augrc, augrc_interval, interval

RESAMPLES, FEW, GROUP = 2000, 3, 10


def closed_form(confidence_N: np.ndarray, error_N: np.ndarray) -> float:
    """AUGRC's definition in plain numpy."""
    ranked = np.sort(confidence_N)
    below = np.searchsorted(ranked, confidence_N, side="left")
    not_above = np.searchsorted(ranked, confidence_N, side="right")
    return float((error_N * (below + not_above) / 2).sum() / len(error_N) ** 2)


def one_sort(confidence_N: np.ndarray, error_N: np.ndarray) -> float:
    """AUGRC without ties in plain numpy: sort, cumulate, trapezoids."""
    errors = np.cumsum(error_N[np.argsort(-confidence_N)]) / len(error_N)
    return float((errors.sum() - errors[-1] / 2) / len(error_N))


Statistic = Callable[[np.ndarray, np.ndarray], float]


def scipy_images(statistic: Statistic, confidence: np.ndarray, error: np.ndarray, resamples: int) -> object:
    """Bootstrap images with scipy."""
    return bootstrap(
        (confidence, error),
        statistic,
        paired=True,
        vectorized=False,
        n_resamples=resamples,
        method="percentile",
        rng=1,
        batch=1,
    )


def scipy_groups(statistic: Statistic, confidence: np.ndarray, error: np.ndarray, resamples: int) -> object:
    """Bootstrap whole groups with scipy: draw groups, concatenate the rows of each."""
    members = np.split(np.arange(len(error)), range(GROUP, len(error), GROUP))

    def of_groups(drawn: np.ndarray) -> float:
        chosen = np.concatenate([members[group] for group in drawn.astype(int)])
        return statistic(confidence[chosen], error[chosen])

    units = (np.arange(len(members)),)
    return bootstrap(units, of_groups, vectorized=False, n_resamples=resamples, method="percentile", rng=1, batch=1)


def timed(call: Callable[[], object]) -> tuple[object, np.ndarray]:
    """Return the result and (wall seconds, CPU seconds of all threads)."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, np.array([time.perf_counter() - wall, time.process_time() - cpu])


def per_resample(bootstrapped: Callable[[Statistic, int], object], statistic: Statistic) -> np.ndarray:
    """Return the seconds of one call of the statistic inside scipy; calls are counted, not assumed."""
    calls = 0

    def counted(confidence: np.ndarray, error: np.ndarray) -> float:
        nonlocal calls
        calls += 1
        return statistic(confidence, error)

    _, seconds = timed(lambda: bootstrapped(counted, FEW))
    return seconds / calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100,000 images")
    parser.add_argument("--errors", type=float, default=0.05, help="share of wrong predictions")
    arguments = parser.parse_args()
    confidence, error = sample(100_000 if arguments.quick else 1_000_000, arguments.errors)
    groups = np.arange(len(error)) // GROUP
    print(
        f"{len(error):,} images, {error.sum():,} errors, {RESAMPLES:,} resamples; seconds: wall, CPU of all threads\n"
    )
    print(f"{'':38}{'wall':>9}{'CPU':>9}   ratio: wall   CPU")
    for name, ours, theirs in [
        ("images", lambda: interval(augrc, confidence, error, num_resamples=RESAMPLES), scipy_images),
        (
            f"groups of {GROUP}",
            lambda: interval(augrc, confidence, error, groups=groups, num_resamples=RESAMPLES),
            scipy_groups,
        ),
    ]:
        found, seconds = timed(ours)
        print(f"{name + ', stage1':<38}{seconds[0]:9.1f}{seconds[1]:9.1f}", flush=True)
        for peer, statistic in [("closed form", closed_form), ("one sort, no ties", one_sort)]:
            scaled = RESAMPLES * per_resample(lambda s, r, run=theirs: run(s, confidence, error, r), statistic)
            label = f"{name}, scipy, {peer} *"
            ratio = scaled / seconds
            print(f"{label:<38}{scaled[0]:9.0f}{scaled[1]:9.0f}{ratio[0]:14.0f}{ratio[1]:6.0f}", flush=True)
        print(f"{found}\n")
    print(f"* {FEW} resamples measured, scaled to {RESAMPLES:,}")
    exact, seconds = timed(lambda: augrc_interval(confidence, error))
    print(f"analytic, stage1 {seconds[0]:.1f} s: {exact}")
    print(f"values: {augrc(confidence, error):.12f} stage1, {closed_form(confidence, error):.12f} closed form\n")
    equality(arguments.errors)
    torch_uncertainty(confidence, error)


def sample(num_images: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    error = rng.random(num_images) < share
    return rng.normal(size=num_images) - error, error


def equality(share: float) -> None:
    """Compare whole intervals at 10,000 images, in standard errors of the difference of two bootstrap quantiles."""
    confidence, error = sample(10_000, share)
    for name, groups, theirs in [
        ("images", None, scipy_images),
        (f"groups of {GROUP}", np.arange(10_000) // GROUP, scipy_groups),
    ]:
        ours = interval(augrc, confidence, error, groups=groups, num_resamples=RESAMPLES)
        found = theirs(closed_form, confidence, error, RESAMPLES)
        peer, spread = found.confidence_interval, found.standard_error
        # A quantile's standard error is sqrt(p (1 - p) / R) / density; the normal's density there is .0584.
        noise = 2**0.5 * spread * (0.025 * 0.975 / RESAMPLES) ** 0.5 / 0.0584
        off = [(ours.low - peer.low) / noise, (ours.high - peer.high) / noise]
        print(
            f"10,000 images, {name}: stage1 [{ours.low:.6f}, {ours.high:.6f}], "
            f"scipy [{peer.low:.6f}, {peer.high:.6f}], "
            f"apart by {off[0]:+.1f} and {off[1]:+.1f} Monte-Carlo standard errors"
        )


def torch_uncertainty(confidence: np.ndarray, error: np.ndarray) -> None:
    try:
        import torch
        from torch_uncertainty.metrics.classification import AUGRC
    except ImportError as missing:
        print(f"\ntorch-uncertainty is not measured ({missing}); see the top of this file.")
        return
    # The confidence must be a probability in [1/2, 1]: any monotone map keeps AUGRC.
    positive = torch.tensor(0.5 + 0.5 / (1 + np.exp(-confidence)))
    right = torch.tensor(~error)

    def one(rows: np.ndarray) -> float:
        metric = AUGRC()
        metric.update(torch.stack([1 - positive[rows], positive[rows]], dim=1), right[rows].long())
        return float(metric.compute())

    rng = np.random.default_rng(0)
    _, seconds = timed(lambda: [one(rng.integers(0, len(error), len(error))) for _ in range(FEW)])
    value = one(np.arange(len(error)))
    scaled = seconds * RESAMPLES / FEW
    print(f"\ntorch-uncertainty + bootstrap *  wall {scaled[0]:.0f} s, CPU {scaled[1]:.0f} s, value {value:.9f}")


if __name__ == "__main__":
    main()
