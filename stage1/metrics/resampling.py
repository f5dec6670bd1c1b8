"""Bootstrap intervals from shared resampling weights.

A bootstrap resample of n images is a vector of counts, so a statistic that takes weights needs its sort only once and
all statistics of one evaluation can share the counts. `Resampler` yields the counts in blocks of bounded memory;
whole groups are drawn where groups are given, because images of one drive are not independent. The same seed gives the
same counts at each pass, which is what pairs two models on the same images.

Legend: N images, G groups, B resamples of one block, R resamples in all.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from stage1.errors import BadConfig
from stage1.metrics.arrays import Floats, Integers, group_codes

_BLOCK_ELEMENTS = 4_000_000
_MOST_PARTS = 1000


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

    `unit_N` holds the drawn unit of each image, its group or itself: 0 to `num_units` - 1.
    """

    def __init__(
        self, num_images: int, groups_N: ArrayLike | None = None, *, num_resamples: int = 2000, seed: int = 0
    ) -> None:
        if num_resamples < 1 or num_images < 1:
            raise BadConfig(f"Resampling needs images and resamples, got {num_images} and {num_resamples}.")
        self.num_images = num_images
        self.num_resamples = num_resamples
        self._seed = seed
        self.unit_N, self.num_units = group_codes(groups_N, num_images)

    def counts(self) -> Iterator[Integers]:
        """Yield, for each resample, how often each image or group was drawn: (G), `num_resamples` times."""
        rng = np.random.default_rng(self._seed)
        for _ in range(self.num_resamples):
            yield np.bincount(rng.integers(0, self.num_units, self.num_units), minlength=self.num_units)

    def blocks(self) -> Iterator[Floats]:
        """Yield weights (B, N), `num_resamples` rows in all, each block at most 32 MB or one row."""
        counts = self.counts()
        while rows := list(islice(counts, self._rows_at_once())):
            yield self._spread(np.array(rows, dtype=np.float64))

    def without(self) -> Iterator[Floats]:
        """Yield weights (B, N) that leave out each image or group once; above 1,000 of them, 1,000 random parts.

        The skewness that BCa reads from these is known to 0.1 from 1,000 parts, and is divided by 6 times their root.
        """
        num_parts = min(self.num_units, _MOST_PARTS)
        part_of_unit = np.arange(self.num_units) % num_parts
        if self.num_units > num_parts:
            part_of_unit = np.random.default_rng(self._seed).permutation(part_of_unit)
        part_N = part_of_unit[self.unit_N]
        block = self._rows_at_once()
        for start in range(0, num_parts, block):
            yield (part_N != np.arange(start, min(start + block, num_parts))[:, None]).astype(np.float64)

    def _rows_at_once(self) -> int:
        return max(1, _BLOCK_ELEMENTS // self.num_images)

    def _spread(self, counts_BG: Floats) -> Floats:
        return counts_BG if self.num_units == self.num_images else counts_BG[:, self.unit_N]

    def evaluate(self, statistics: Mapping[str, WeightedStatistic]) -> dict[str, Floats]:
        """Return, per statistic, its value on every resample: (R,) or (R, K)."""
        parts: dict[str, list[Floats]] = {name: [] for name in statistics}
        for weights in self.blocks():
            for name, statistic in statistics.items():
                parts[name].append(statistic(weights))
        return {name: np.concatenate(blocks) for name, blocks in parts.items()}

    def observed(self, statistic: WeightedStatistic) -> Floats:
        """Return the statistic of the sample itself: () or (K,)."""
        value: Floats = statistic(np.ones((1, self.num_images)))[0]
        return value

    def jackknife(self, statistic: WeightedStatistic) -> Floats:
        """Return the statistic without each image, group or part (see `without`)."""
        return np.concatenate([statistic(weights) for weights in self.without()])

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
