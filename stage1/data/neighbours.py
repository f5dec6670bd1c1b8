"""All pairs of 64-bit hashes that differ in at most a few bits, without comparing all pairs.

Cut the 64 bits into `distance + m` blocks: two hashes within `distance` agree wholly on at least m of them. So for
every choice of m blocks the hashes go into buckets by those blocks, and only hashes of one bucket are compared. m grows
with the number of hashes, so that few agree by chance (Manku, Jain and Das Sarma, WWW 2007).

Shapes: N hashes, P pairs, C candidates.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

Hashes = NDArray[np.uint64]
_BITS = 64
_MOST_BUCKET_BITS = 24
_MOST_CANDIDATES = 2**22
_BUCKETING = 16.0  # what putting a hash into a bucket costs, in comparisons


def near_pairs(hashes_N: Hashes, distance: int) -> NDArray[np.int64]:
    """Return every pair of rows that differ in at most `distance` bits.

    Args:
        hashes_N: Different hashes, uint64.
        distance: 0 to 8.

    Returns:
        Row indices [P, 2], ascending, each pair once with the smaller row first.
    """
    found = [np.empty((0, 2), np.int64)]
    if distance and len(hashes_N) > 1:
        num_blocks, num_equal = _blocks(len(hashes_N), distance)
        blocks = list(pairwise(np.linspace(0, _BITS, num_blocks + 1).astype(int).tolist()))
        for chosen in combinations(blocks, num_equal):
            found += list(_agreeing(hashes_N, chosen, distance))
    return np.unique(np.concatenate(found), axis=0)


def _blocks(count: int, distance: int) -> tuple[int, int]:
    """Return (blocks, blocks that must agree) with the least bucketing and comparing."""

    def cost(num_equal: int) -> float:
        blocks = distance + num_equal
        by_chance = count / 2 ** min(_BITS * num_equal / blocks, _MOST_BUCKET_BITS)
        return math.comb(blocks, num_equal) * (_BUCKETING + by_chance)

    best = min(range(1, 5), key=cost)
    return distance + best, best


def _agreeing(hashes_N: Hashes, blocks: Sequence[tuple[int, int]], distance: int) -> Iterator[NDArray[np.int64]]:
    """Yield near pairs among the hashes that agree in these blocks, a bounded number of candidates at a time."""
    order, follow_N = _buckets(hashes_N, blocks)
    first_N = np.flatnonzero(follow_N)
    total_N = np.cumsum(follow_N[first_N], dtype=np.int64)
    done = 0
    while done < len(first_N):
        before = int(total_N[done - 1]) if done else 0
        upto = max(done + 1, int(np.searchsorted(total_N, before + _MOST_CANDIDATES, side="right")))
        rows = first_N[done:upto]
        counts = follow_N[rows]
        left_C = np.repeat(rows, counts)
        right_C = left_C + 1 + np.arange(len(left_C)) - np.repeat(np.cumsum(counts) - counts, counts)
        one, other = order[left_C], order[right_C]
        near = np.bitwise_count(hashes_N[one] ^ hashes_N[other]) <= distance
        yield np.sort(np.stack([one[near], other[near]], axis=1), axis=1).astype(np.int64)
        done = upto


def _buckets(hashes_N: Hashes, blocks: Sequence[tuple[int, int]]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the rows bucket by bucket, and how many rows of its bucket follow each; linear in the rows."""
    key_N = np.zeros(len(hashes_N), np.uint64)
    width = 0
    for start, end in blocks:
        key_N <<= np.uint64(end - start)
        key_N |= (hashes_N >> np.uint64(start)) & np.uint64((1 << (end - start)) - 1)
        width += end - start
    most = min(_MOST_BUCKET_BITS, len(hashes_N).bit_length())
    if width > most:  # fewer buckets hold more by chance and lose nothing
        width = most
        key_N &= np.uint64((1 << width) - 1)
    rows = np.arange(len(hashes_N), dtype=np.int32)
    one_per_row = coo_array(
        (np.ones(len(rows), np.int8), (key_N.astype(np.int32), rows)), shape=(1 << width, len(rows))
    ).tocsr()
    sizes = np.diff(one_per_row.indptr)
    follow_N = np.repeat(one_per_row.indptr[1:], sizes) - rows - 1
    return one_per_row.indices.astype(np.int32), follow_N.astype(np.int32)
