"""Small pictures and data sets, made by the tests themselves."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def _picture(seed: int, size: int = 8, kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """picture(seed, size=8, kind="PNG"): the bytes of a picture of noise; equal seeds give equal bytes."""
    return _picture


@pytest.fixture(scope="session")
def huge_png() -> bytes:
    """A file of some 70 bytes that declares 50,000 x 50,000 pixels."""
    stream = io.BytesIO()
    Image.new("1", (1, 1)).save(stream, "PNG")
    data = bytearray(stream.getvalue())
    data[16:24] = struct.pack(">2I", 50_000, 50_000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty pictures, ten of them in roadwork/, thirty in clear/."""
    root = tmp_path / "street"
    for name, seeds in (("roadwork", range(10)), ("clear", range(10, 40))):
        (root / name).mkdir(parents=True)
        for seed in seeds:
            (root / name / f"{seed}.png").write_bytes(_picture(seed))
    return root


@pytest.fixture
def sheet(tmp_path: Path) -> Callable[..., Path]:
    """sheet(text): writes images/0.png .. images/5.png and sheet.csv with this text; returns the sheet's path."""

    def write(text: str, name: str = "sheet.csv") -> Path:
        (tmp_path / "images").mkdir(exist_ok=True)
        for seed in range(6):
            (tmp_path / "images" / f"{seed}.png").write_bytes(_picture(seed))
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write
