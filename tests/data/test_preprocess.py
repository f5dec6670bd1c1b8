"""One definition: the same picture gives the same array whichever way it comes in."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from stage1.data import Preprocessing
from stage1.errors import BadArtifact, BadImage


def frame(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("resize", ["squash", "letterbox"])
@pytest.mark.parametrize("size", [(64, 64), (16, 9), (300, 17), (1, 1), (1, 500)])
def test_every_way_in_gives_the_same_array(resize: str, size: tuple[int, int], tmp_path: Path) -> None:
    image = frame(*size)
    path = tmp_path / "frame.png"
    image.save(path)
    preprocessing = Preprocessing(image_size=32, resize=resize)
    expected = preprocessing.load(path)
    assert expected.shape == (32, 32, 3)
    assert expected.dtype == np.uint8
    assert expected.flags.writeable
    assert expected.flags.c_contiguous
    for source in (path.read_bytes(), image, np.asarray(image), Image.open(path)):
        assert np.array_equal(preprocessing.load(source), expected)


@pytest.mark.parametrize("resize", ["squash", "letterbox"])
def test_the_right_size_passes_unchanged(resize: str) -> None:
    pixels = np.asarray(frame(48, 48))
    assert np.array_equal(Preprocessing(image_size=48, resize=resize).load(pixels), pixels)


def test_the_result_is_no_view_of_the_source() -> None:
    pixels = np.array(frame(48, 48))
    before = pixels.copy()
    Preprocessing(image_size=48).load(pixels)[:] = 0
    assert np.array_equal(pixels, before)


def test_squash_keeps_what_stands_at_the_edges() -> None:
    pixels = np.zeros((90, 160, 3), np.uint8)
    pixels[:, :10] = (255, 0, 0)
    pixels[:, -10:] = (0, 255, 0)
    small = Preprocessing(image_size=32).load(pixels)
    assert small[:, 0].tolist() == [[255, 0, 0]] * 32
    assert small[:, -1].tolist() == [[0, 255, 0]] * 32


def test_letterbox_keeps_the_aspect_ratio_between_bars() -> None:
    pixels = np.full((90, 160, 3), 255, np.uint8)
    small = Preprocessing(image_size=32, resize="letterbox", background=7).load(pixels)
    rows_of_scene = np.flatnonzero((small == 255).all(axis=(1, 2)))
    assert rows_of_scene.tolist() == list(range(7, 25))  # 32 * 90 / 160 = 18 rows, 7 above and below
    assert (small[[*range(7), *range(25, 32)]] == 7).all()


def test_resizing_averages_instead_of_skipping_pixels() -> None:
    checkers = np.indices((64, 64)).sum(axis=0) % 2 * np.uint8(255)
    small = Preprocessing(image_size=8).load(checkers.astype(np.uint8))
    assert np.abs(small.astype(int) - 127.5).max() < 3


def test_a_16_9_frame_and_its_thumbnail_agree_with_pillow() -> None:
    image = frame(160, 90)
    expected = np.asarray(image.resize((64, 64), Image.Resampling.BICUBIC))
    assert np.array_equal(Preprocessing(image_size=64).load(image), expected)


def test_json_round_trip() -> None:
    preprocessing = Preprocessing(image_size=96, resize="letterbox", background=0, max_pixels=10**6)
    assert Preprocessing.from_json(json.loads(json.dumps(preprocessing.to_json()))) == preprocessing


@pytest.mark.parametrize(
    "change",
    [{"schema": "stage1/preprocessing/v2"}, {"image_size": 4}, {"crop": True}, {"resize": "crop"}, {"image_size": "x"}],
)
def test_foreign_json_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(BadArtifact):
        Preprocessing.from_json({**Preprocessing().to_json(), **change})


def test_json_with_a_missing_field_is_refused_by_name() -> None:
    data = Preprocessing().to_json()
    del data["resize"]  # a default could change between versions; a bundle must say what it was
    with pytest.raises(BadArtifact, match="resize"):
        Preprocessing.from_json(data)


def test_it_is_frozen_and_takes_no_unknown_field() -> None:
    with pytest.raises(ValidationError):
        Preprocessing(size=64)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Preprocessing().image_size = 32


def test_bad_images_carry_their_reason() -> None:
    with pytest.raises(BadImage) as caught:
        Preprocessing(max_pixels=99).load(np.zeros((10, 10), np.uint8))
    assert caught.value.reason == "too_large"


def test_a_consumer_needs_neither_torch_nor_pyarrow_nor_scipy() -> None:
    code = (
        "import sys; from stage1.data import Preprocessing; import numpy as np;"
        "Preprocessing().load(np.zeros((9, 9), np.uint8));"
        "print(sorted({'torch', 'pyarrow', 'scipy', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_jpegs_are_decoded_whole() -> None:
    """Draft mode would make bytes and array of one picture differ."""
    stream = io.BytesIO()
    frame(512, 512).save(stream, "JPEG")
    pixels = np.asarray(Image.open(io.BytesIO(stream.getvalue())).convert("RGB"))
    preprocessing = Preprocessing(image_size=64)
    assert np.array_equal(preprocessing.load(stream.getvalue()), preprocessing.load(pixels))


def test_a_row_of_a_batch_is_written_in_place() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    batch = np.zeros((2, 24, 24, 3), np.uint8)
    preprocessing = Preprocessing(image_size=24)
    written = preprocessing.load(picture, batch[1])
    assert np.shares_memory(written, batch)
    assert np.array_equal(batch[1], preprocessing.load(picture))
    assert not batch[0].any()
