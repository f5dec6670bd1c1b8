"""How well a confidence ranks mistakes: risk-coverage curves, AURC, AUGRC.

Every function takes a confidence (any real score, higher is surer) and an error (1 where the prediction is wrong).
Images of one confidence are accepted together, so no number here depends on the order of the rows. Cost: one sort.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from stage1.metrics.arrays import Floats, binary, scored


@dataclass(frozen=True)
class RiskCoverage:
    """One row (K) per distinct confidence, from the surest to the least sure.

    threshold: accept where confidence >= threshold; coverage: share of images accepted, in (0, 1];
    selective_risk: errors among the accepted; generalized_risk: accepted errors among all images.
    """

    threshold: Floats
    coverage: Floats
    selective_risk: Floats
    generalized_risk: Floats


def risk_coverage(confidence_N: ArrayLike, error_N: ArrayLike) -> RiskCoverage:
    """Return the risk-coverage and generalized-risk curves, ties accepted together.

    >>> curve = risk_coverage([0.9, 0.8, 0.8], [0, 0, 1])
    >>> curve.coverage.round(2).tolist(), curve.selective_risk.round(2).tolist()
    ([0.33, 1.0], [0.0, 0.33])

    Reference: Geifman and El-Yaniv 2017; generalized risk: Traub et al., NeurIPS 2024.
    """
    confidence, error = scored(confidence_N, error_N)
    num_images = len(error)
    order = np.argsort(-confidence)
    ranked = confidence[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    accepted = last + 1.0
    errors = np.cumsum(error[order])[last]
    return RiskCoverage(ranked[last], accepted / num_images, errors / accepted, errors / num_images)


def augrc(confidence_N: ArrayLike, error_N: ArrayLike) -> float:
    """Return the area under coverage versus P(wrong and accepted), in [0, 1/2]; lower is better.

    n^-2 * sum_i e_i (#{j: c_j < c_i} + 1/2 #{j: c_j = c_i}): exact, with ties.

    >>> augrc([0.9, 0.8, 0.7, 0.6], [0, 0, 0, 1])
    0.03125

    Reference: Traub et al., NeurIPS 2024, arXiv 2407.01032.
    """
    confidence, error = scored(confidence_N, error_N)
    num_images = len(error)
    ranked = np.sort(confidence)
    wrong = confidence[error]
    below = np.searchsorted(ranked, wrong, side="left")
    not_above = np.searchsorted(ranked, wrong, side="right")
    return float((below + not_above).sum(dtype=np.float64)) / 2 / num_images**2


def aurc(confidence_N: ArrayLike, error_N: ArrayLike) -> float:
    """Return the area under the risk-coverage curve, in [0, 1]; lower is better.

    Trapezoids between distinct confidences, the first risk held down to coverage 0 (the definition of fd-shifts).

    Reference: Geifman et al., ICLR 2019.
    """
    curve = risk_coverage(confidence_N, error_N)
    coverage = np.append(0.0, curve.coverage)
    risk = np.append(curve.selective_risk[0], curve.selective_risk)
    return float(np.trapezoid(risk, coverage))


def eaurc(confidence_N: ArrayLike, error_N: ArrayLike) -> float:
    """Return AURC less that of a perfect ranking at the same accuracy, r + (1 - r) ln(1 - r) at error rate r."""
    risk = float(binary("error", error_N).mean())
    best = risk + (1 - risk) * np.log1p(-risk) if risk < 1 else 1.0
    return aurc(confidence_N, error_N) - float(best)
