"""Bootstrap intervals from shared resampling weights.

A bootstrap resample of n images is a vector of counts, so a statistic that takes weights needs its sort only once and
all statistics of one evaluation can share the counts. `Resampler` yields the counts in blocks of bounded memory;
whole groups are drawn where groups are given, because images of one drive are not independent. The same seed gives the
same counts at each pass, which is what pairs two models on the same images.

Legend: N images, G groups, B resamples of one block, R resamples in all.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stage1.errors import BadConfig, BadData
from stage1.metrics.arrays import Floats

_BLOCK_ELEMENTS = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A value with its two-sided interval; NaN where it cannot be computed."""

    value: float
    low: float
    high: float


class WeightedStatistic(Protocol):
    """Maps weights (one row per resample) to one value per resample: (B, N) -> (B,) or (B, K)."""

    def __call__(self, weights_BN: Floats, /) -> Floats:
        """Return the statistic of each weighted sample."""


class Resampler:
    """Draws bootstrap resamples of `num_images` as weights, by whole groups where `groups_N` is given.

    Args:
        num_images: Rows that the statistics are about.
        groups_N: One label per image (any type that sorts), or None for independent images.
        num_resamples: At least 1; 2,000 for a 95 % interval.
        seed: Same seed, same weights, whatever the statistics.
        multiplicity_N: How many images each row stands for (1 each by default); not with groups.
    """

    def __init__(
        self,
        num_images: int,
        groups_N: ArrayLike | None = None,
        *,
        num_resamples: int = 2000,
        seed: int = 0,
        multiplicity_N: NDArray[np.int64] | None = None,
    ) -> None:
        if num_resamples < 1 or num_images < 1:
            raise BadConfig(f"Resampling needs images and resamples, got {num_images} and {num_resamples}.")
        self.num_images = num_images
        self.num_resamples = num_resamples
        self._seed = seed
        self._group_N: NDArray[np.int64] | None = None
        self._multiplicity_N = multiplicity_N
        self.num_units = num_images if multiplicity_N is None else int(multiplicity_N.sum())
        if groups_N is not None:
            groups = np.asarray(groups_N)
            if groups.shape != (num_images,):
                raise BadData(f"groups needs one label for each of {num_images:,} images, got shape {groups.shape}.")
            names, codes = np.unique(groups, return_inverse=True)
            self.num_units = len(names)
            if len(names) < num_images:
                self._group_N = codes.astype(np.int64)

    def blocks(self) -> Iterator[Floats]:
        """Yield weights (B, N), `num_resamples` rows in all, each block at most 32 MB or one row."""
        rng = np.random.default_rng(self._seed)
        block = max(1, _BLOCK_ELEMENTS // self.num_images)
        for start in range(0, self.num_resamples, block):
            yield self._draw(rng, min(block, self.num_resamples - start))

    def _draw(self, rng: np.random.Generator, rows: int) -> Floats:
        if self._multiplicity_N is not None:
            share = self._multiplicity_N / self.num_units
            return rng.multinomial(self.num_units, share, size=rows).astype(np.float64)
        counts = np.empty((rows, self.num_units))
        for row in counts:
            row[:] = np.bincount(rng.integers(0, self.num_units, self.num_units), minlength=self.num_units)
        return counts if self._group_N is None else counts[:, self._group_N]

    def evaluate(self, statistics: Mapping[str, WeightedStatistic]) -> dict[str, Floats]:
        """Return, per statistic, its value on every resample: (R,) or (R, K)."""
        parts: dict[str, list[Floats]] = {name: [] for name in statistics}
        for weights in self.blocks():
            for name, statistic in statistics.items():
                parts[name].append(statistic(weights))
        return {name: np.concatenate(blocks) for name, blocks in parts.items()}

    def observed(self, statistic: WeightedStatistic) -> Floats:
        """Return the statistic of the sample itself: () or (K,)."""
        ones = np.ones(self.num_images) if self._multiplicity_N is None else self._multiplicity_N.astype(np.float64)
        value: Floats = statistic(ones[None, :])[0]
        return value

    def intervals(self, statistics: Mapping[str, WeightedStatistic], confidence: float = 0.95) -> dict[str, Interval]:
        """Return a percentile interval for each scalar statistic.

        Resamples on which a statistic does not exist (no positive drawn, say) are left out of its percentiles; a
        statistic that does not exist on the sample has a NaN interval.
        """
        draws = self.evaluate(statistics)
        return {name: percentile(self.observed(statistics[name]), draws[name], confidence) for name in statistics}


def percentile(value: Floats | float, draws_R: Floats, confidence: float = 0.95) -> Interval:
    """Return the equal-tailed percentile interval of `draws_R` around `value`."""
    if not 0 < confidence < 1:
        raise BadConfig(f"confidence must lie in (0, 1), got {confidence}.")
    kept = draws_R[np.isfinite(draws_R)]
    if not len(kept) or not np.isfinite(value):
        return Interval(float(value), float("nan"), float("nan"))
    low, high = np.quantile(kept, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(value), float(low), float(high))
