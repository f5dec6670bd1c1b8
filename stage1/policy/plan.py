"""How many labelled images certify FNR <= x: the table behind `stage1 plan`. scipy is imported when called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from stage1.errors import BadConfig


@dataclass(frozen=True)
class PlanRow:
    """One size of data set.

    images: labelled images in all; test_images, test_positives: expected in val_test; answered_positives: of these, the
    ones answered; allowed_misses: most misses that still certify, -1 for none; certify_probability: chance that an
    independent policy with the expected FNR is certified on val_test; aimed_misses: misses on val_calib that the
    fitted policy is aimed at, -1 when the aim cannot be met.
    """

    images: int
    test_images: int
    test_positives: int
    answered_positives: int
    allowed_misses: int
    certify_probability: float
    aimed_misses: int


@dataclass(frozen=True)
class Plan:
    """Rows by growing size, and the fewest images whose chance reaches the wanted power (0: beyond reach)."""

    rows: tuple[PlanRow, ...]
    images_needed: int


def certify_probability(positives: int, fnr: float, *, max_fnr: float = 0.02, confidence: float = 0.95) -> float:
    """Return the chance that `positives` answered positives at a true rate `fnr` certify FNR <= max_fnr.

    >>> [round(certify_probability(n, 0.01), 2) for n in (500, 1000, 2000)]
    [0.44, 0.79, 0.98]
    """
    from scipy.stats import binom

    from stage1.conformal import certifiable_misses

    return float(binom.cdf(certifiable_misses(positives, max_fnr, confidence), positives, fnr)) if positives else 0.0


def plan(
    *,
    positive_share: float = 0.5,
    expected_fnr: float = 0.01,
    fractions: Mapping[str, float] | None = None,
    coverage: float = 1.0,
    max_fnr: float = 0.02,
    confidence: float = 0.95,
    power: float = 0.8,
    images: Sequence[int] = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000),
) -> Plan:
    """Return what data sets of these sizes can certify, and the size that is needed.

    Args:
        positive_share: Positives among images, in (0, 1).
        expected_fnr: True FNR among answered positives that the policy is hoped to have, in [0, 1].
        fractions: Of the splits, with val_calib and val_test; 70/10/10/10 when None.
        coverage: Share of positives expected to be answered, in (0, 1].
        max_fnr: The limit, in (0, 1).
        confidence: Of the bound.
        power: Wanted chance to certify, in (0, 1).
        images: Sizes to tabulate.
    """
    shares = {"positive_share": positive_share, "coverage": coverage, "power": power, "max_fnr": max_fnr}
    for name, value in shares.items():
        if not 0 < value <= 1:
            raise BadConfig(f"{name} must lie in (0, 1], got {value}.")
    if not 0 <= expected_fnr <= 1:
        raise BadConfig(f"expected_fnr must lie in [0, 1], got {expected_fnr}.")
    split = fractions or {"train": 0.7, "val_select": 0.1, "val_calib": 0.1, "val_test": 0.1}
    if not split.get("val_test") or not split.get("val_calib"):
        raise BadConfig(f"fractions need val_calib and val_test above 0, got {dict(split)}.")

    def row(size: int) -> PlanRow:
        from stage1.conformal import certifiable_misses

        test_images = round(size * split["val_test"])
        test_positives = round(size * split["val_test"] * positive_share)
        answered = round(size * split["val_test"] * positive_share * coverage)
        calibration = round(size * split["val_calib"] * positive_share * coverage)
        chance = certify_probability(answered, expected_fnr, max_fnr=max_fnr, confidence=confidence)
        allowed = certifiable_misses(answered, max_fnr, confidence)
        aimed = aimed_misses(calibration, answered, max_fnr=max_fnr, confidence=confidence)
        return PlanRow(size, test_images, test_positives, answered, allowed, chance, aimed)

    per_image = split["val_test"] * positive_share * coverage
    needed = positives_for_power(expected_fnr, power, max_fnr=max_fnr, confidence=confidence)
    return Plan(tuple(row(size) for size in sorted(images)), ceil(needed / per_image - 1e-9))


def positives_for_power(
    fnr: float, power: float, *, max_fnr: float = 0.02, confidence: float = 0.95, most: int = 1_000_000
) -> int:
    """Return the fewest answered positives from which on the chance to certify stays at `power` or above; 0 if > most.

    The chance saws up and down as one more miss becomes allowed; the answer is the end of the last tooth below power.
    """
    import numpy as np
    from scipy.stats import binom

    from stage1.conformal import certifiable_misses_each

    if not fnr < max_fnr:
        return 0
    size = 1024
    while size <= most:
        counts = np.arange(size + 1)
        chance = binom.cdf(certifiable_misses_each(counts, max_fnr, confidence), counts, fnr)
        below = np.flatnonzero(chance < power)
        if below[-1] < size // 2:
            return int(below[-1]) + 1
        size *= 2
    return 0


def aimed_misses(
    calibration_positives: int,
    test_positives: int,
    *,
    max_fnr: float = 0.02,
    confidence: float = 0.95,
    pass_probability: float = 0.9,
) -> int:
    """Return the misses on val_calib that a fitted policy is aimed at, -1 when none gives that chance to pass.

    >>> [aimed_misses(n, n) for n in (300, 500, 1000, 2000, 5000)]
    [-1, 0, 6, 20, 67]
    """
    import numpy as np
    from scipy.stats import betabinom

    from stage1.conformal import certifiable_misses

    allowed = certifiable_misses(test_positives, max_fnr, confidence)
    if allowed < 0 or calibration_positives < 1:
        return -1
    most = min(calibration_positives - 1, ceil(2 * max_fnr * calibration_positives) + 1)
    misses = np.arange(most + 1)
    chance = betabinom.cdf(allowed, test_positives, misses + 1, calibration_positives - misses)
    return int(np.count_nonzero(chance >= pass_probability)) - 1
