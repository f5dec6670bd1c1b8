"""Every kind of file has a stated outcome: these pixels, or a BadImage with this reason."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from stage1.data.decode import REASONS, decode, read_bytes
from stage1.errors import BadImage

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def quadrants(mode: str = "RGB") -> Image.Image:
    """16 x 8: red, green above; blue, white below."""
    image = Image.new("RGB", (16, 8))
    for box, colour in (((0, 0), RED), ((8, 0), GREEN), ((0, 4), BLUE), ((8, 4), WHITE)):
        image.paste(colour, (*box, box[0] + 8, box[1] + 4))
    return image.convert(mode)


def reason(source: object, **options: int) -> str:
    with pytest.raises(BadImage) as caught:
        decode(source, **options)  # type: ignore[arg-type]
    assert caught.value.reason in REASONS
    return caught.value.reason


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_keep_the_pixels(kind: str) -> None:
    assert np.array_equal(decode(encoded(quadrants(), kind)), quadrants())


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_are_near(kind: str) -> None:
    image = Image.new("RGB", (32, 32), (200, 120, 40))
    assert np.abs(np.asarray(decode(encoded(image, kind)), int) - [200, 120, 40]).max() <= 4


# Where the stored picture must be turned so that the red corner of quadrants() comes to the upper left, by the EXIF
# standard: the stored row 0 and column 0 are these sides of the upright picture.
EXIF = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", EXIF)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_exif_orientation_is_applied_once(orientation: int, kind: str) -> None:
    stored = Image.fromarray(np.ascontiguousarray(EXIF[orientation](np.asarray(quadrants()))))
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode(encoded(stored, kind, exif=exif)), quadrants())


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_does_not_spoil_the_picture() -> None:
    data = encoded(Image.new("RGB", (8, 8), RED), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff garbage")
    assert decode(data).size == (8, 8)


def test_cmyk_jpeg_becomes_rgb() -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan, full magenta and yellow: red
    assert np.abs(np.asarray(decode(encoded(image, "JPEG")), int) - RED).max() <= 4


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    samples = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    grey = np.asarray(decode(encoded(Image.fromarray(samples), kind)))[0, :, 0]
    assert grey.tolist() == [0, 0, 1, 128, 255]


def test_16_bit_colour_png_is_scaled_likewise() -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    pixel = struct.pack(">3H", 65535, 32768, 255)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", 1, 1, 16, 2, 0, 0, 0))
    data += chunk(b"IDAT", zlib.compress(b"\0" + pixel)) + chunk(b"IEND", b"")
    assert np.asarray(decode(data))[0, 0].tolist() == [255, 128, 0]


def test_floats_are_refused() -> None:
    assert reason(encoded(Image.new("F", (4, 4), 0.5), "TIFF")) == "unsupported"


def test_32_bit_samples_beyond_16_bits_are_refused() -> None:
    assert reason(encoded(Image.fromarray(np.array([[70000]], np.int32)), "TIFF")) == "unsupported"


def test_palette_grey_and_bilevel_become_rgb() -> None:
    assert np.array_equal(decode(encoded(quadrants().quantize(4), "PNG")), quadrants())
    assert np.array_equal(decode(encoded(quadrants("L"), "PNG")), quadrants("L").convert("RGB"))
    assert np.array_equal(decode(encoded(Image.new("1", (4, 4), 1), "PNG")), np.full((4, 4, 3), 255))


def test_transparency_shows_the_background() -> None:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (255, 0, 0, 0))
    pixels = np.asarray(decode(encoded(image, "PNG"), background=77))
    assert pixels[0].tolist() == [[255, 0, 0], [77, 77, 77]]


def test_transparent_palette_entry_shows_the_background() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *GREEN])
    image.putpixel((1, 0), 1)
    pixels = np.asarray(decode(encoded(image, "PNG", transparency=1), background=9))
    assert pixels[0].tolist() == [[255, 0, 0], [9, 9, 9]]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_is_its_first_frame(kind: str) -> None:
    first, second = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)
    data = encoded(first, kind, save_all=True, append_images=[second], **({"lossless": True} if kind == "WEBP" else {}))
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert np.array_equal(decode(data), first)


def test_bombs_are_refused_by_their_declared_size(huge_png: bytes) -> None:
    assert reason(huge_png) == "too_large"
    assert reason(encoded(Image.new("RGB", (11, 10)), "PNG"), max_pixels=109) == "too_large"
    assert decode(encoded(Image.new("RGB", (11, 10)), "PNG"), max_pixels=110).size == (11, 10)


def test_files_far_beyond_any_such_image_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.bmp"
    with path.open("wb") as stream:
        stream.truncate(2**26 + 8 * 100 + 1)
    assert reason(path, max_pixels=100) == "too_large"


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", "empty"), (b"path,label\n", "not_an_image"), (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not_an_image")],
)
def test_what_is_no_image_is_named(data: bytes, expected: str) -> None:
    assert reason(data) == expected


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_truncated_files_are_damaged(kind: str, kept: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, kind)
    assert reason(data[: int(kept * len(data))]) == "damaged"


def test_paths_that_are_no_readable_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert reason(tmp_path / "none.png") == "missing"
    assert reason(tmp_path) == "unreadable"
    assert reason(tmp_path / "pipe") == "unreadable"
    assert reason(tmp_path / "zero\0byte") == "unreadable"


def test_arrays_and_pillow_images_are_taken_as_they_are() -> None:
    pixels = np.asarray(quadrants())
    assert np.array_equal(decode(pixels), pixels)
    assert np.array_equal(decode(pixels[..., 0]), np.repeat(pixels[..., :1], 3, axis=2))
    assert np.array_equal(decode(quadrants()), pixels)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((11, 11, 3), np.uint8)[:, :, :2],
    ],
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    assert reason(array) == "unsupported"


def test_large_arrays_and_other_types_are_refused() -> None:
    assert reason(np.zeros((11, 10), np.uint8), max_pixels=109) == "too_large"
    assert reason("photo.png") == "unsupported"


def test_read_bytes_reads_all(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert read_bytes(tmp_path / "a") == b"abc"


def corpus() -> list[bytes]:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (12, 9, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [encoded(noise, kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")]
    files.append(encoded(noise, "JPEG", exif=exif, progressive=True))
    files.append(encoded(noise.convert("CMYK"), "JPEG"))
    files.append(encoded(noise, "GIF", save_all=True, append_images=[noise.rotate(90)]))
    files += [encoded(noise, "TIFF", compression=name) for name in ("tiff_lzw", "tiff_deflate", "jpeg")]
    return files


CORPUS = corpus()


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_flipped_and_cut_bytes_raise_nothing_but_bad_image(data: st.DataObject) -> None:
    broken = bytearray(data.draw(st.sampled_from(CORPUS)))
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.just(len(broken)), st.integers(0, len(broken))))
    decodes_or_says_why(bytes(broken[:end]))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"II*\0", b"P6 "]),
    st.binary(),
)
def test_any_bytes_raise_nothing_but_bad_image(start: bytes, rest: bytes) -> None:
    decodes_or_says_why(start + rest)


def decodes_or_says_why(data: bytes) -> None:
    image, refusal = None, ""
    try:
        image = decode(data, max_pixels=10_000)
    except BadImage as error:
        refusal = error.reason
    if image is None:
        assert refusal in REASONS
    else:
        assert image.mode == "RGB"
        assert 0 < image.size[0] * image.size[1] <= 10_000
