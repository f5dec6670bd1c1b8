"""Bytes of unknown origin to an upright 8-bit RGB picture, or one BadImage: the only decoder in stage1.

What a file may be: the formats in FORMATS, told by their content and never by their name (the formats that Pillow
hands to outside programs, such as EPS, are not among them). What is done to it: the first frame of an animation; EXIF
orientation applied; CMYK, palette, grey and bilevel to RGB; 16-bit samples keep their high byte, as Pillow does for
16-bit colour; transparency composed over one grey level. ICC profiles are ignored: road cameras write none, and
applying them would tie the pixels to a colour library's version. No draft mode: a JPEG decoded at a fraction of its
size differs from the same picture handed over as an array, and both must get the same answer.

Needs numpy and Pillow only; the consumer of a bundle runs this very code.
"""

import io
import os
import stat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from stage1.errors import BadImage

Source = Path | bytes | Image.Image | NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
MAX_PIXELS = 64_000_000
BACKGROUND = 128

REASONS = {
    "missing": "there is no such file",
    "unreadable": "the file cannot be read: a folder, a device, no permission",
    "empty": "zero bytes",
    "not_an_image": f"none of {', '.join(FORMATS)}",
    "damaged": "an image whose bytes are cut short or broken",
    "too_large": "more pixels than max_pixels, or more bytes than such an image can have",
    "unsupported": "an image whose samples have no agreed way to 8-bit RGB, such as floats",
}

_SIGNATURES = (
    b"\xff\xd8\xff",
    b"\x89PNG",
    b"RIFF",
    b"GIF8",
    b"BM",
    b"II*\0",
    b"MM\0*",
    *(b"P%d" % kind for kind in range(1, 7)),
)
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(source: Source, *, max_pixels: int = MAX_PIXELS, background: int = BACKGROUND) -> Image.Image:
    """Return the picture upright, as mode RGB.

    Args:
        source: A path, the bytes of a file, an open Pillow image, or an array uint8 [H,W,3] RGB or [H,W] grey.
        max_pixels: Width times height above which nothing is decoded.
        background: Grey level, 0 to 255, that shows through transparent pixels.

    Raises:
        BadImage: For whatever cannot be used, with a `reason` that is a key of REASONS; no bytes raise anything else.
    """
    if isinstance(source, Path):
        return decode(read_bytes(source, max_pixels=max_pixels), max_pixels=max_pixels, background=background)
    if isinstance(source, bytes):
        if not source:
            raise BadImage("Need an image, got zero bytes.", "empty")
        return _guarded(_open(source, max_pixels), max_pixels, background)
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if not isinstance(source, Image.Image):
        raise BadImage(f"Need a Path, bytes, a Pillow image or an array, got {type(source).__name__}.", "unsupported")
    return _guarded(source, max_pixels, background)


def read_bytes(path: Path | str, *, max_pixels: int = MAX_PIXELS) -> bytes:
    """Read a regular file whole, unless it is larger than an image of `max_pixels` can be.

    Raises:
        BadImage: reason missing, unreadable or too_large.
    """
    limit = 8 * max_pixels + 2**26  # 16-bit RGBA without compression, and room for metadata
    try:
        status = os.stat(path)  # noqa: PTH116 - takes a str without building a Path a row
        if not stat.S_ISREG(status.st_mode):
            raise BadImage(f"Need a file, got something else at {path}.", "unreadable")
        if status.st_size > limit:
            raise BadImage(f"{path} has {status.st_size:,} bytes; at most {limit:,} are read.", "too_large")
        with open(path, "rb") as stream:  # noqa: PTH123
            return stream.read()
    except FileNotFoundError:
        raise BadImage(f"There is no file {path}.", "missing") from None
    except (OSError, ValueError) as error:
        raise BadImage(f"Cannot read {path}: {error}.", "unreadable") from error


def _open(data: bytes, max_pixels: int) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        if data.startswith(_SIGNATURES):
            raise BadImage(f"An image of {len(data):,} bytes has a damaged header.", "damaged") from None
        raise BadImage(f"Need one of {', '.join(FORMATS)}, got {len(data):,} other bytes.", "not_an_image") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(f"Need at most {max_pixels:,} pixels: {error}", "too_large") from None
    except Exception as error:  # decoders raise what they like on hostile bytes
        raise _damaged(error) from error


def _guarded(image: Image.Image, max_pixels: int, background: int) -> Image.Image:
    """Decode the pixels; size is checked before anything is allocated."""
    _check_size(*image.size, max_pixels)
    try:
        image.load()
        return _rgb(_upright(image), background)
    except BadImage:
        raise
    except Exception as error:
        raise _damaged(error) from error


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise BadImage(
            f"Need at most {max_pixels:,} pixels, got {width:,} x {height:,}. Make it smaller or raise max_pixels.",
            "too_large",
        )


def _damaged(error: Exception) -> BadImage:
    return BadImage(f"An image is damaged: {type(error).__name__}: {error}", "damaged")


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except Exception:  # noqa: BLE001 - broken EXIF turns nothing, and does not spoil the pixels
        return image
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image, background: int) -> Image.Image:
    if image.mode.startswith("I"):
        return _from_16_bit(image)
    if image.mode == "F":
        raise BadImage("Need 8- or 16-bit samples, got floating point.", "unsupported")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        over = Image.new("RGBA", image.size, (background, background, background, 255))
        return Image.alpha_composite(over, image.convert("RGBA")).convert("RGB")
    try:
        return image.convert("RGB")
    except ValueError as error:
        raise BadImage(f"Need an image that converts to RGB, got mode {image.mode}.", "unsupported") from error


def _from_16_bit(image: Image.Image) -> Image.Image:
    samples = np.asarray(image)
    if samples.min() < 0 or samples.max() > 65535:
        raise BadImage(f"Need 16-bit samples, got {samples.min()} to {samples.max()}.", "unsupported")
    return Image.fromarray((samples >> 8).astype(np.uint8)).convert("RGB")


def _from_array(array_HW3: NDArray[np.uint8], max_pixels: int) -> Image.Image:
    shape = array_HW3.shape
    grey = array_HW3.ndim == 2
    if array_HW3.dtype != np.uint8 or not (grey or (array_HW3.ndim == 3 and shape[2] == 3)) or 0 in shape:
        raise BadImage(f"Need uint8 [H,W,3] or [H,W], got {array_HW3.dtype} {list(shape)}.", "unsupported")
    _check_size(shape[1], shape[0], max_pixels)
    return Image.fromarray(np.ascontiguousarray(array_HW3)).convert("RGB")
