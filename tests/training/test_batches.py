"""Which images stand in which step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stage1.data import ImageBatches
from stage1.errors import BadData
from stage1.training.batches import Sampler, derived_seed


class Counted(ImageBatches):
    """As many images as it is told to have, none of which is looked at."""

    def __init__(self, count: int) -> None:
        self._kept = np.zeros((count, 1, 1, 3), np.uint8)
        self.shard_N = np.zeros(count, np.int64)


@given(st.integers(1, 200), st.integers(1, 70), st.integers(0, 2**63 - 1), st.integers(0, 5))
def test_every_image_is_seen_once_an_epoch_in_batches_of_like_size(
    count: int, batch_size: int, seed: int, epoch: int
) -> None:
    sampler = Sampler(Counted(count), batch_size, seed)
    batches = [batch.rows_B for batch in sampler.epoch(epoch)]
    assert sorted(np.concatenate(batches).tolist()) == list(range(count))
    assert len(batches) == sampler.steps_per_epoch == -(-count // batch_size)
    sizes = [len(batch) for batch in batches]
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_an_epoch_goes_on_at_any_step_as_if_it_had_not_stopped() -> None:
    sampler = Sampler(Counted(50), 8, seed=3)
    whole = [batch.rows_B.tolist() for batch in sampler.epoch(2)]
    for step in range(len(whole) + 1):
        assert [batch.rows_B.tolist() for batch in sampler.epoch(2, step)] == whole[step:]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {
        tuple(np.concatenate([batch.rows_B for batch in Sampler(Counted(50), 8, seed).epoch(epoch)]))
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_a_batch_holds_the_images_of_its_rows(streets) -> None:
    images = streets.batches(0, 20)
    for batch in Sampler(images, 6, seed=0).epoch(0):
        assert np.array_equal(batch.images_bHW3.numpy(), images.take(batch.rows_B))


def test_no_images_are_refused() -> None:
    with pytest.raises(BadData, match="training split is empty"):
        Sampler(Counted(0), 8, seed=0)


def test_derived_seeds_differ_by_every_number_and_fit_a_torch_generator() -> None:
    seeds = {derived_seed(a, b, c, 1) for a in (0, 1, 2**62) for b in range(10) for c in range(10)}
    assert len(seeds) == 300
    assert all(0 <= seed < 2**63 for seed in seeds)
