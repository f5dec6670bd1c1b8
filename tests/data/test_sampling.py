"""More of one class than there is: exact counts, fair within a class."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stage1.data.sampling import class_copies


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_an_epoch_keeps_its_length_and_has_the_share_that_was_asked_for(
    positives: int, negatives: int, share: float, seed: int
) -> None:
    labels = np.array([1] * positives + [0] * negatives, np.int8)
    copies = class_copies(labels, share, seed=seed)
    total = positives + negatives
    assert copies.sum() == total
    wanted = min(max(1, round(share * total)), total - 1)
    assert copies[labels == 1].sum() == wanted
    for label in (0, 1):
        assert np.ptp(copies[labels == label]) <= 1, "no image is seen much more often than its like"


def test_over_epochs_every_image_of_a_class_is_seen_equally_often() -> None:
    """10 of 100 are positive: at a share of .5 each is seen 5 times an epoch, and each of 90 others 50 / 90 times."""
    labels = np.array([1] * 10 + [0] * 90, np.int8)
    seen = sum(class_copies(labels, 0.5, seed=seed) for seed in range(900))
    assert set(seen[:10].tolist()) == {5 * 900}
    expected, spread = 900 * 50 / 90, np.sqrt(900 * (50 / 90) * (40 / 90))
    assert np.abs(seen[10:] - expected).max() < 5 * spread


@pytest.mark.parametrize("seed", [0, 1])
def test_the_seed_alone_decides(seed: int) -> None:
    labels = (np.arange(40) % 4 == 0).astype(np.int8)
    assert np.array_equal(class_copies(labels, 0.4, seed=seed), class_copies(labels, 0.4, seed=seed))
    assert not np.array_equal(class_copies(labels, 0.4, seed=seed), class_copies(labels, 0.4, seed=seed + 1))
