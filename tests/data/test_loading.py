"""Loading: the same bytes from memory and from disk, and only the bytes that were split."""

import threading
from pathlib import Path

import numpy as np
import pytest

from stage1.data import SPLITS, ImageBatches, Preprocessing, Rows, SplitConfig, load_images, make_split
from stage1.errors import BadArtifact, BadImage

PREPROCESSING = Preprocessing(image_size=16)


@pytest.fixture
def rows(folder: Path) -> Rows:
    return make_split(str(folder), SplitConfig())[0].rows(*SPLITS, allowed=SPLITS)


@pytest.fixture
def expected(rows: Rows) -> np.ndarray:
    return np.stack([PREPROCESSING.load(Path(rows.roots[0]) / uri) for uri in rows.table["uri"].to_pylist()])


@pytest.mark.parametrize("num_threads", [1, 3])
def test_load_images_is_preprocessing_of_each_row_in_order(rows: Rows, expected: np.ndarray, num_threads: int) -> None:
    assert np.array_equal(load_images(rows, PREPROCESSING, num_threads), expected)


@pytest.mark.parametrize(("memory_limit_mb", "in_memory"), [(0.05, True), (0.02, False), (0, False)])
def test_batches_are_the_same_bytes_either_way(
    rows: Rows, expected: np.ndarray, memory_limit_mb: float, in_memory: bool
) -> None:
    """40 images of 16 x 16 x 3 bytes are .029 MiB."""
    images = ImageBatches(rows, PREPROCESSING, memory_limit_mb)
    assert images.in_memory is in_memory
    assert len(images) == 40
    order = np.random.default_rng(0).permutation(40)
    parts = [order[:7], order[7:8], order[8:40], order[:0], np.array([3, 3, 0])]
    for batch, indices in zip(images.batches(parts), parts, strict=True):
        assert np.array_equal(batch, expected[indices])
        assert np.array_equal(images.take(indices), expected[indices])


@pytest.mark.parametrize("memory_limit_mb", [1, 0])
def test_a_batch_may_be_changed_without_harm(rows: Rows, expected: np.ndarray, memory_limit_mb: float) -> None:
    images = ImageBatches(rows, PREPROCESSING, memory_limit_mb)
    images.take(np.arange(5))[:] = 0
    assert np.array_equal(images.take(np.arange(5)), expected[:5])


def test_the_next_batch_is_decoded_while_the_present_one_is_used(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    images = ImageBatches(rows, PREPROCESSING, 0, num_threads=1)
    second_begun = threading.Event()
    load = images._load

    def noticed(index: int, out: np.ndarray) -> None:
        if index == 1:
            second_begun.set()
        load(index, out)

    monkeypatch.setattr(images, "_load", noticed)
    batches = images.batches([np.array([0]), np.array([1]), np.array([2])])
    next(batches)
    assert second_begun.wait(timeout=30)
    batches.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("memory_limit_mb", [1, 0])
def test_a_file_changed_since_the_split_is_refused(rows: Rows, picture: object, memory_limit_mb: float) -> None:
    uri = rows.table["uri"][3].as_py()
    (Path(rows.roots[0]) / uri).write_bytes(picture(999))  # type: ignore[operator]
    with pytest.raises(BadArtifact, match=f"{uri} was changed since the split"):
        ImageBatches(rows, PREPROCESSING, memory_limit_mb).take(np.array([3]))


def test_a_file_gone_since_the_split_is_refused(rows: Rows) -> None:
    uri = rows.table["uri"][3].as_py()
    (Path(rows.roots[0]) / uri).unlink()
    with pytest.raises(BadArtifact, match=f"{uri}.*run `stage1 split`"):
        load_images(rows, PREPROCESSING)


def test_an_image_too_large_for_this_preprocessing_is_named(rows: Rows) -> None:
    with pytest.raises(BadImage, match=r"\.png.*63 pixels") as caught:
        load_images(rows, Preprocessing(image_size=16, max_pixels=63))
    assert caught.value.reason == "too_large"


def test_no_rows_give_an_empty_array(rows: Rows) -> None:
    none = Rows(rows.table.slice(0, 0), rows.roots)
    assert load_images(none, PREPROCESSING).shape == (0, 16, 16, 3)
