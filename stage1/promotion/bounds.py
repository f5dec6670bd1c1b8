"""Upper bounds of a rate, computed again from the counts, so that no reported bound is believed alone.

scipy is imported when a bound is computed: whoever only reads the limits does without.
"""

from math import pi

from stage1.promotion.evidence import Evidence, Unusable

_AGREES = 1e-9


def confidence_at(look: int, confidence: float, *, spend: bool) -> float:
    """Return the confidence of one look, such that with `spend` all looks together keep `confidence`.

    Look k gets an error of (1 - confidence) 6 / (pi^2 k^2), and 1 + 1/4 + 1/9 + ... = pi^2 / 6.

    >>> round(confidence_at(1, 0.95, spend=True), 4)
    0.9696
    """
    return 1 - (1 - confidence) * 6 / (pi * look) ** 2 if spend else confidence


def rate_bound(rate: Evidence, failures: int, trials: int, confidence: float) -> tuple[float, float]:
    """Return (rate, upper bound) from the counts; the largest of what is reported and what they give.

    With a design effect above 1 the counts are divided by it (Korn and Graubard's effective counts without their
    correction for few groups, which the reported bound has).

    Args:
        rate: The reported part, with value, upper and design_effect.
        failures: Misses or false alarms, at most `trials`.
        trials: Answered positives or negatives, at least 1.
        confidence: Of the one-sided bound.

    Raises:
        Unusable: A number is missing, or the reported rate is not failures / trials.
    """
    value, upper = rate.number("value"), rate.number("upper")
    effect = rate.number("design_effect", low=0, high=1e6)
    share = failures / trials
    if abs(value - share) > _AGREES:
        raise Unusable(f"The reported rate {value:.6g} is not {failures} of {trials}.")
    return share, max(upper, _clopper_pearson(share, trials / max(effect, 1.0), confidence))


def fewest_trials(limit: float, confidence: float) -> int:
    """Return how many trials without a failure prove a rate of at most `limit`."""
    from stage1.conformal import positives_needed

    return positives_needed(limit, 0, confidence)


def _clopper_pearson(share: float, trials: float, confidence: float) -> float:
    """Clopper and Pearson's bound, for counts that need not be whole."""
    if share == 1:
        return 1.0
    from scipy.special import betaincinv

    return float(betaincinv(share * trials + 1, trials * (1 - share), confidence))
