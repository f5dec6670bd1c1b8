"""Rows of scores and counts: when classes are parted, Platt's targets, and what merging into bins keeps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stage1.calibration.rows import BLOCK, Rows, binned, blocks


@pytest.mark.parametrize(
    ("score", "label", "upwards", "either"),
    [
        ([0, 1, 2, 3], [0, 0, 1, 1], True, True),
        ([0, 1, 1, 3], [0, 0, 1, 1], True, True),  # touching
        ([0, 2, 1, 3], [0, 0, 1, 1], False, False),
        ([3, 2, 1, 0], [0, 0, 1, 1], False, True),
        ([3, 1, 1, 0], [0, 0, 1, 1], False, True),
        ([2, 2, 2, 2], [0, 0, 1, 1], False, False),  # nothing to part by
    ],
)
def test_classes_are_parted_by_a_threshold_or_not(score, label, upwards, either):
    rows = Rows.of(np.array(score, dtype=float), np.array(label))
    assert rows.parted(either_way=False) is upwards
    assert rows.parted(either_way=True) is either


def test_counts_and_targets():
    rows = Rows.of(np.zeros(5), np.array([0, 1, 1, 1, 0]))
    assert (len(rows), rows.num_negatives, rows.num_positives, rows.one_class) == (5, 2, 3, False)
    assert rows.smoothed() == (1 / 4, 4 / 5)
    assert Rows.of(np.zeros(2), np.array([0, 0])).one_class
    assert Rows.of(np.zeros(2), np.array([1, 1])).one_class
    assert rows.take(np.array([True, False, False, True, False])).positives_N.tolist() == [0, 1]


@pytest.mark.parametrize("num_rows", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_blocks_cover_every_row_once(num_rows):
    seen = np.concatenate([np.arange(num_rows)[block] for block in blocks(num_rows)])
    assert np.array_equal(seen, np.arange(num_rows))
    assert max(len(range(num_rows)[block]) for block in blocks(num_rows)) <= BLOCK


@given(st.integers(1, 300), st.integers(0, 1000), st.sampled_from([1e-3, 1.0, 1e4]))
def test_bins_keep_counts_and_means_of_every_fold(num_rows, seed, scale):
    rng = np.random.default_rng(seed)
    score, label, fold = rng.normal(size=num_rows) * scale, rng.integers(0, 2, num_rows), rng.integers(0, 3, num_rows)
    merged, its_fold = binned(Rows.of(score, label), fold, 3, 64)
    assert len(merged) <= 3 * 64
    images = merged.negatives_N + merged.positives_N
    for one in range(3):
        mine = its_fold == one
        assert merged.positives_N[mine].sum() == label[fold == one].sum()
        assert merged.negatives_N[mine].sum() == (1 - label[fold == one]).sum()
        assert (images * merged.score_N)[mine].sum() == pytest.approx(score[fold == one].sum(), abs=1e-9 * scale * 300)
    # A bin is as wide in asinh as the range over 63.
    order = np.sort(score)
    nearest = order[np.clip(np.searchsorted(order, merged.score_N), 0, num_rows - 1)]
    width = (np.arcsinh(order[-1]) - np.arcsinh(order[0])) / 63
    assert (np.abs(np.arcsinh(nearest) - np.arcsinh(merged.score_N)) <= width + 1e-9).all()


def test_equal_scores_share_a_bin():
    merged, fold = binned(Rows.of(np.full(7, 3.0), np.array([0, 1, 1, 0, 1, 1, 1])), np.zeros(7, dtype=int), 2, 8)
    assert (merged.score_N.tolist(), merged.negatives_N.tolist(), merged.positives_N.tolist()) == ([3.0], [2.0], [5.0])
    assert fold.tolist() == [0]


def test_a_bin_of_rows_with_many_images_has_their_mean():
    rows = Rows(np.array([1.0, 1.0 + 1e-12, 9.0]), np.array([2.0, 0.0, 1.0]), np.array([1.0, 3.0, 0.0]))
    merged, _ = binned(rows, np.zeros(3, dtype=int), 1, 4)
    assert merged.score_N == pytest.approx([1.0, 9.0])
    assert (merged.negatives_N.tolist(), merged.positives_N.tolist()) == ([2.0, 1.0], [4.0, 0.0])
