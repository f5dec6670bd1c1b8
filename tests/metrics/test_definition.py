"""AUGRC by the definition of its authors' package (fd-shifts), written from the paper: random data with heavy ties."""

import numpy as np
import pytest

from stage1.metrics import augrc


def published(confidence, residual):
    """1000 times the area by trapezoids: one point per distinct confidence as it is rejected from the least sure up."""
    order = np.argsort(confidence)
    confidence, residual = confidence[order], residual[order]
    count = len(residual)
    coverages, risks = [1.0], [residual.sum() / count]
    remaining, errors = count, residual.sum()
    for i in range(count - 1):
        remaining -= 1
        errors -= residual[i]
        if confidence[i] != confidence[i + 1]:
            coverages.append(remaining / count)
            risks.append(errors / count)
    coverages.append(0.0)
    risks.append(0.0)
    return 1000 * -np.trapezoid(risks, coverages)


@pytest.mark.parametrize("levels", [1, 2, 5, 50, 10**6])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_ties_of_any_weight_follow_the_published_definition(levels, share):
    rng = np.random.default_rng(levels)
    for count in (1, 2, 37, 800):
        confidence = rng.integers(0, levels, count) / levels
        error = rng.random(count) < share
        assert 1000 * augrc(confidence, error) == pytest.approx(published(confidence, error.astype(float)), abs=1e-9)
