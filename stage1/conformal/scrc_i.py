"""SCRC-I, the inductive form: a promise with probability 1 - delta, from calibration images alone.

Two versions, which differ in what their margins are put on:

    scrc_i     ours: a one-sided margin on the miss rate of the accepted positives, one on the coverage, delta / 2 each
    scrc_i_v2  the published kind: two-sided Hoeffding margins on P(miss, accepted) and on P(accepted), then their ratio

The ratio costs much more, because its margin is divided by the share of accepted positives among all images: at alpha =
.02 and delta = .05, 7,036 images are needed where 90 % of them are accepted positives and 35,618 where 40 % are, both
without a single miss; ours needs 4,612 accepted positives. The exact binomial certificate (`ltt`) needs 149.

The paper's second version was not at hand when this was written. `scrc_i_v2` is the plainest form of its idea, derived
here with its own proof; that its numbers span those reported for the paper (7,000 to 36,000) is no proof that every
constant is the paper's.
"""

from math import ceil, floor, log, sqrt

import numpy as np
from numpy.typing import ArrayLike

from stage1.conformal.binomial import rate
from stage1.conformal.scrc import ScrcThresholds, columns
from stage1.errors import BadData, TooFewSamples


def scrc_i_needs(alpha: float, delta: float) -> int:
    """Return the accepted positives SCRC-I needs even without a miss: ln(2 / delta) / (2 alpha^2), rounded up.

    >>> scrc_i_needs(0.02, 0.05)
    4612
    """
    return ceil(log(2 / rate("delta", delta)) / (2 * rate("alpha", alpha) ** 2))


def scrc_i(
    gate_N: ArrayLike, positive_scores_N: ArrayLike, label_N: ArrayLike, *, xi: float, alpha: float, delta: float
) -> ScrcThresholds:
    """Return the thresholds of SCRC-I: with probability 1 - delta, coverage >= xi and FNR among accepted <= alpha.

    Half of delta is spent on each: both hold uniformly over thresholds by the one-sided Dvoretzky-Kiefer-Wolfowitz
    inequality (Massart's constant), so the data may choose them. Its margin of sqrt(ln(2 / delta) / (2 m)) makes small
    alphas expensive; `ltt` is the sharper certificate.

    Proved where gate scores are distinct: given the image at the acceptance threshold, the positives above it are
    independent draws from the accepted ones, so they alone calibrate. Where that gate score is shared by several
    images these count too, which simulation supports and no proof does.

    Args:
        gate_N: Acceptance scores of all calibration images (higher is surer).
        positive_scores_N: Scores of class 1 of the same images.
        label_N: 0/1.
        xi: Coverage that is promised, in (0, 1).
        alpha: Tolerated false-negative rate among accepted images.
        delta: Probability that either promise is broken, in (0, 1).

    Raises:
        TooFewSamples: With the number of accepted positives (or images) that is needed.
    """
    gate, score, positive = columns(gate_N, positive_scores_N, label_N)
    if not 0 < xi < 1:
        raise BadData(f"xi must lie in (0, 1), got {xi}.")
    needed = scrc_i_needs(alpha, delta)
    slack = log(2 / delta) / 2
    images_needed = ceil(slack / (1 - xi) ** 2)
    if len(gate) < images_needed:
        raise TooFewSamples(
            f"SCRC-I at coverage {xi}, delta={delta} needs {images_needed:,} images, got {len(gate):,}. "
            "Use more calibration data or a smaller xi."
        )
    rejected = max(floor(len(gate) * (1 - xi - sqrt(slack / len(gate)))), 0)
    accept = float(np.sort(gate)[rejected])
    shared = np.count_nonzero(gate == accept) > 1
    accepted = score[positive & (gate >= accept if shared else gate > accept)]
    if len(accepted) < needed:
        raise TooFewSamples(
            f"SCRC-I at alpha={alpha}, delta={delta} needs {needed:,} accepted positives even without a miss, got "
            f"{len(accepted):,}. Use more calibration data, a larger alpha, or the sweep's exact binomial certificate."
        )
    losses = max(floor(len(accepted) * (alpha - sqrt(slack / len(accepted)))), 0)
    return ScrcThresholds(accept, float(np.partition(accepted, losses)[losses]), len(accepted))


def scrc_i_v2_needs(alpha: float, delta: float, share: float) -> int:
    """Return the calibration images `scrc_i_v2` needs even without a miss.

    ln(4 / delta) (1 + alpha)^2 / (2 alpha^2 share^2), rounded up. share: accepted positives among images, in (0, 1].

    >>> scrc_i_v2_needs(0.02, 0.05, 0.9), scrc_i_v2_needs(0.02, 0.05, 0.4)
    (7036, 35618)
    """
    if not 0 < share <= 1:
        raise BadData(f"share must lie in (0, 1], got {share}.")
    margins = (1 + rate("alpha", alpha)) / (alpha * share)
    return ceil(log(4 / rate("delta", delta)) / 2 * margins**2)


def scrc_i_v2(
    gate_N: ArrayLike, positive_scores_N: ArrayLike, label_N: ArrayLike, *, accept: float, alpha: float, delta: float
) -> ScrcThresholds:
    """Return the set threshold of SCRC-I by Hoeffding margins: FNR among accepted <= alpha with probability 1 - delta.

    With n images, m accepted positives, k of them missed and the margin e = sqrt(ln(4 / delta) / (2 n)) on both rates,
    the largest threshold with (k / n + e) / (m / n - e) <= alpha. The margin on P(miss, accepted) holds for all
    thresholds at once (DKW), so the data may choose the set threshold; it may not choose `accept`.

    Args:
        gate_N: Acceptance scores of all calibration images.
        positive_scores_N: Scores of class 1 of the same images.
        label_N: 0/1.
        accept: Accept iff gate >= accept; fixed beforehand or on other data.
        alpha: Tolerated false-negative rate among accepted images.
        delta: Probability of a broken promise, in (0, 1).

    Raises:
        TooFewSamples: With the number of images that is needed at this share of accepted positives.
    """
    gate, score, positive = columns(gate_N, positive_scores_N, label_N)
    accepted = score[positive & (gate >= accept)]
    rate("delta", delta)
    rate("alpha", alpha)
    images, positives = len(gate), len(accepted)
    if not positives:
        raise TooFewSamples(
            f"SCRC-I v2 at alpha={alpha}, delta={delta} needs accepted positives; none of {images:,} calibration "
            f"images is one. Use a lower accept than {accept} or data with positives."
        )
    needed = scrc_i_v2_needs(alpha, delta, positives / images)
    losses = floor(alpha * positives - (1 + alpha) * sqrt(log(4 / delta) / 2 * images))
    if losses < 0:
        raise TooFewSamples(
            f"SCRC-I v2 at alpha={alpha}, delta={delta} needs {needed:,} calibration images even without a miss when "
            f"{positives / images:.1%} of them are accepted positives, got {images:,}. Use more calibration data, a "
            "larger alpha, scrc_i, or the exact binomial certificate (ltt)."
        )
    return ScrcThresholds(float(accept), float(np.partition(accepted, losses)[losses]), positives)
