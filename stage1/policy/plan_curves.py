"""The planning table's numbers as curves: the chance to certify against the number of labelled images.

Columns of equal length, for anyone to plot; `draw` makes the plot that `stage1 plan --plot` writes. numpy, scipy and
matplotlib are imported when called.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stage1.errors import BadConfig

FORMATS = (".svg", ".png")
_POINTS = 160


def plan_curves(
    *,
    positive_share: float,
    expected_fnrs: Sequence[float],
    fractions: Mapping[str, float],
    coverage: float = 1.0,
    max_fnr: float = 0.02,
    confidence: float = 0.95,
    images: tuple[int, int] = (1_000, 500_000),
) -> dict[str, list[Any]]:
    """Return one row for every expected FNR and size of data set, as columns.

    Args:
        positive_share: Positives among images, in (0, 1].
        expected_fnrs: True rates among answered positives, one curve each.
        fractions: Of the splits; val_test counts.
        coverage: Share of positives answered, in (0, 1].
        max_fnr: The limit, in (0, 1).
        confidence: Of the bound.
        images: Smallest and largest size; sizes between are spaced evenly in their logarithm.

    Returns:
        expected_fnr, images, answered_positives, allowed_misses (-1: none certifies), certify_probability.
    """
    import numpy as np
    from scipy.stats import binom

    from stage1.conformal import certifiable_misses_each

    sizes = np.unique(np.geomspace(images[0], images[1], _POINTS).round().astype(np.int64))
    answered = np.round(sizes * fractions["val_test"] * positive_share * coverage).astype(np.int64)
    allowed = certifiable_misses_each(answered, max_fnr, confidence)
    curves: dict[str, list[Any]] = {
        "expected_fnr": [],
        "images": [],
        "answered_positives": [],
        "allowed_misses": [],
        "certify_probability": [],
    }
    for fnr in expected_fnrs:
        curves["expected_fnr"] += [float(fnr)] * len(sizes)
        curves["images"] += sizes.tolist()
        curves["answered_positives"] += answered.tolist()
        curves["allowed_misses"] += allowed.tolist()
        curves["certify_probability"] += binom.cdf(allowed, answered, fnr).tolist()
    return curves


def draw(curves: Mapping[str, Sequence[Any]], path: Path, *, power: float, title: str) -> None:
    """Write the curves as a picture, one line for each expected FNR, and the wanted chance as a dotted line.

    Raises:
        BadConfig: The file's ending is not one of FORMATS.
    """
    if path.suffix.lower() not in FORMATS:
        raise BadConfig(f"a plot needs a file ending in {' or '.join(FORMATS)}, got {path}.")
    import numpy as np
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # No date and a fixed salt: equal curves give equal files.
    with rc_context({"svg.hashsalt": "stage1"}):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.add_subplot()
        rates = np.asarray(curves["expected_fnr"])
        for rate in dict.fromkeys(curves["expected_fnr"]):
            row = np.flatnonzero(rates == rate)
            axes.plot(
                np.asarray(curves["images"])[row],
                np.asarray(curves["certify_probability"])[row],
                label=f"true FNR {rate:.2%}",
            )
        axes.axhline(power, linestyle=":", color="grey")
        axes.set(xscale="log", ylim=(0, 1.02), xlabel="labelled images", ylabel="chance to certify", title=title)
        axes.legend()
        figure.savefig(path, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
