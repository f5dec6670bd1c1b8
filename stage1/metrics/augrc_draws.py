"""AUGRC of many bootstrap resamples at a cost in the number of errors, not of images.

A resample of n images holds M ~ Binomial(n, E/n) of the E errors, each drawn with equal chance, and n - M of the right
predictions. AUGRC asks of those only how many fall between two neighbouring errors. Pairs of errors order themselves to
exactly half of M^2, so

    2 n^2 AUGRC = M^2 + 2 * sum over drawn right predictions of (drawn errors above it, ties at half).

The counts between errors are multinomial. Independent Poisson counts, given their sum, are multinomial as well: counts
are drawn with a sum that is almost always a little short, and what is short is drawn one by one. A sum that is too
large is drawn again. Both choices look at the sum alone, so the counts are exactly those of the ordinary bootstrap.
The rates do not depend on M, so tables of them serve all resamples.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from stage1.metrics.arrays import Bools, Floats, Integers
from stage1.metrics.poisson_table import PoissonTable

# Resamples that share a stream of random numbers; the streams, not the threads, decide the result.
_CHUNK = 25
_SHORT_BY = 2.5  # standard deviations; one sum in 160 is drawn again


class AugrcDraws:
    """Draws the AUGRC of bootstrap resamples of independent images.

    Args:
        confidence_N: Finite, higher is surer.
        error_N: True where the prediction is wrong.
    """

    def __init__(self, confidence_N: Floats, error_N: Bools) -> None:
        self._num_images = len(confidence_N)
        right = np.sort(confidence_N[~error_N])
        levels, level_of_error = np.unique(confidence_N[error_N], return_inverse=True)
        self._level_of_error = level_of_error.astype(np.int64)
        self._num_levels = len(levels)
        # Even places lie between errors' confidences, odd places on them.
        place = np.searchsorted(levels, right, side="left") + np.searchsorted(levels, right, side="right")
        kept, count = np.unique(place, return_counts=True)
        # Errors above a place, ties at half: half the sum of the errors from these two levels on.
        self._from_level, self._from_next = kept // 2, (kept + 1) // 2
        self._place_of_right = np.repeat(np.arange(len(kept), dtype=np.int32), count)
        num_right, num_errors = len(right), self._num_images - len(right)
        # What is short: Poisson's own spread, and that of the number of right predictions drawn.
        spread = (num_right + num_right * num_errors / self._num_images) ** 0.5
        share = max(0.0, num_right - _SHORT_BY * spread) / max(1, num_right)
        self._draw_most = PoissonTable(count * share)

    def __call__(self, num_resamples: int, seed: int) -> Floats:
        """Return AUGRC of each resample (R); the same seed gives the same draws on any number of threads."""
        starts = range(0, num_resamples, _CHUNK)
        streams = np.random.SeedSequence(seed).spawn(len(starts))
        sizes = [min(_CHUNK, num_resamples - start) for start in starts]
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:
            return np.concatenate(list(threads.map(self._chunk, streams, sizes)))

    def _chunk(self, stream: np.random.SeedSequence, size: int) -> Floats:
        rng = np.random.Generator(np.random.SFC64(stream))
        return np.array([self._one(rng) for _ in range(size)])

    def _one(self, rng: np.random.Generator) -> float:
        num_errors = len(self._level_of_error)
        drawn = int(rng.binomial(self._num_images, num_errors / self._num_images))
        errors = self._level_of_error[rng.integers(0, num_errors, drawn)] if drawn else self._level_of_error[:0]
        at_or_above = np.zeros(self._num_levels + 1, dtype=np.int64)
        at_or_above[:-1] = np.cumsum(np.bincount(errors, minlength=self._num_levels)[::-1])[::-1]
        twice_above = at_or_above[self._from_level] + at_or_above[self._from_next]
        pairs = self._pairs(twice_above, self._num_images - drawn, rng) if drawn < self._num_images else 0
        return (drawn**2 + pairs) / 2 / self._num_images**2

    def _pairs(self, twice_above: Integers, num_right: int, rng: np.random.Generator) -> int:
        """Return the sum of `twice_above` over `num_right` right predictions drawn with equal chance."""
        missing = -1
        while missing < 0:
            counts = self._draw_most(rng)
            missing = num_right - int(counts.sum())
        singles = self._place_of_right[rng.integers(0, len(self._place_of_right), missing)]
        return int(counts @ twice_above) + int(twice_above[singles].sum())
