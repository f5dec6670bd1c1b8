"""The order of an epoch: each image once, mixed across shards, in equal parts for ranks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stage1.data.order import batches_of_rank, epoch_order
from stage1.errors import BadData

SHARDS = st.lists(st.integers(1, 20), min_size=1, max_size=12)


def shard_numbers(sizes: list[int]) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


@given(SHARDS, st.integers(1, 5), st.integers(1, 6), st.integers(2, 16), st.integers(0, 2**32))
def test_ranks_together_see_every_image_once_in_equally_many_steps(
    sizes: list[int], window: int, num_ranks: int, batch_size: int, seed: int
) -> None:
    order = epoch_order(shard_numbers(sizes), seed=seed, window=window)
    if len(order) < num_ranks:
        with pytest.raises(BadData, match=f"got {len(order)} for {num_ranks} ranks"):
            batches_of_rank(order, batch_size, rank=0, num_ranks=num_ranks)
        return
    ranks = [batches_of_rank(order, batch_size, rank=rank, num_ranks=num_ranks) for rank in range(num_ranks)]
    assert sorted(np.concatenate([np.concatenate(batches) for batches in ranks]).tolist()) == list(range(sum(sizes)))
    assert len({len(batches) for batches in ranks}) == 1
    lengths = [len(batch) for batches in ranks for batch in batches]
    assert min(lengths) >= 1
    assert max(lengths) <= batch_size
    assert np.array_equal(np.concatenate([np.concatenate(batches) for batches in ranks]), order)


@given(SHARDS, st.integers(1, 5), st.integers(0, 2**32))
def test_at_any_place_only_one_window_of_shards_is_open(sizes: list[int], window: int, seed: int) -> None:
    """Whoever reads the order needs the shards of one window, and comes back to none of them."""
    shard_M = shard_numbers(sizes)[epoch_order(shard_numbers(sizes), seed=seed, window=window)]
    seen = [shard for place, shard in enumerate(shard_M) if shard not in shard_M[:place]]
    groups = [set(seen[start : start + window]) for start in range(0, len(seen), window)]
    position = 0
    for group in groups:
        count = sum(sizes[shard] for shard in group)
        assert set(shard_M[position : position + count]) == group
        position += count
    assert position == len(shard_M)


def test_images_in_one_place_are_one_permutation() -> None:
    order = epoch_order(np.zeros(50, np.int64), seed=9, window=8)
    assert np.array_equal(order, np.random.default_rng(9).permutation(50))


def test_every_pair_of_images_in_a_window_is_as_likely_in_either_order() -> None:
    """400 seeds: image 0 comes before image 5 in half of them, within four standard deviations of .5."""
    shard_N = shard_numbers([4, 4, 4, 4])
    for window in (1, 2, 4):
        first = sum(
            int(np.flatnonzero(order == 0)[0] < np.flatnonzero(order == 5)[0])
            for order in (epoch_order(shard_N, seed=seed, window=window) for seed in range(400))
        )
        assert abs(first / 400 - 0.5) < 4 * 0.5 / 20


@given(SHARDS, st.integers(1, 5), st.integers(0, 2**32))
def test_copies_are_seen_as_often_as_asked(sizes: list[int], window: int, seed: int) -> None:
    copies_N = np.random.default_rng(seed).integers(0, 4, sum(sizes))
    order = epoch_order(shard_numbers(sizes), seed=seed, window=window, copies_N=copies_N)
    assert np.array_equal(np.bincount(order, minlength=sum(sizes)), copies_N)
