"""Scanning: digests, sizes, reasons, the budget, progress; the same with any number of threads."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from stage1 import events
from stage1.data.decode import MAX_PIXELS
from stage1.data.listing import Listing, listing_table
from stage1.data.origin import Origin
from stage1.data.pool import ordered_map
from stage1.data.scan import Scan
from stage1.data.scan import scan as scan_listings
from stage1.errors import BadData

Picture = Callable[..., bytes]


def scan(root: Path, uris: list[str], **options: object) -> Scan:
    table = listing_table(pa.array(uris), pa.repeat(pa.scalar(0, pa.int8()), len(uris)))
    return scan_listings([Listing(Origin(str(root)), table, ("no", "yes"), [])], **options)


def fill(root: Path, picture: Picture, num_good: int, *bad: str) -> list[str]:
    for index in range(num_good):
        (root / f"{index}.png").write_bytes(picture(index, size=3 + index % 5))
    for name in bad:
        (root / name).write_bytes(b"" if "empty" in name else b"plain text")
    return [f"{index}.png" for index in range(num_good)] + list(bad)


@pytest.mark.parametrize("num_threads", [1, 3])
def test_digest_and_size_of_each(tmp_path: Path, picture: Picture, num_threads: int) -> None:
    uris = fill(tmp_path, picture, 150)
    found = scan(tmp_path, uris, max_pixels=MAX_PIXELS, max_bad_fraction=0, num_threads=num_threads)
    assert [bytes(digest) for digest in found.digests] == [
        hashlib.sha256((tmp_path / uri).read_bytes()).digest() for uri in uris
    ]
    assert found.sizes.tolist() == [[3 + index % 5] * 2 for index in range(150)]
    assert found.bad == []


def test_sizes_are_those_of_the_upright_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "turned.jpg", exif=exif)
    found = scan(tmp_path, ["turned.jpg"], max_pixels=MAX_PIXELS, max_bad_fraction=0)
    assert found.sizes.tolist() == [[10, 20]]


def test_bad_images_are_told_with_their_reasons_within_the_budget(tmp_path: Path, picture: Picture) -> None:
    uris = fill(tmp_path, picture, 97, "empty.png", "text.png")
    uris.insert(0, "gone.png")
    found = scan(tmp_path, uris, max_pixels=MAX_PIXELS, max_bad_fraction=0.03)
    assert found.bad == [(0, "missing"), (98, "empty"), (99, "not_an_image")]
    assert not found.digests[[0, 98, 99]].any()
    assert found.digests[1:98].any(axis=1).all()


def test_over_the_budget_the_message_has_counts_and_the_first_few(tmp_path: Path, picture: Picture) -> None:
    uris = fill(tmp_path, picture, 96, *(f"text{index}.png" for index in range(3)), "empty.png")
    with pytest.raises(BadData) as caught:
        scan(tmp_path, uris, max_pixels=MAX_PIXELS, max_bad_fraction=0.03)
    message = str(caught.value)
    assert "4 of 100 images" in message
    assert "3 not_an_image, 1 empty" in message
    assert "allows 3" in message
    assert "text0.png (not_an_image)" in message


def test_max_pixels_is_obeyed(tmp_path: Path, picture: Picture) -> None:
    (tmp_path / "a.png").write_bytes(picture(0, size=10))
    assert scan(tmp_path, ["a.png"], max_pixels=100, max_bad_fraction=0).bad == []
    with pytest.raises(BadData, match="too_large"):
        scan(tmp_path, ["a.png"], max_pixels=99, max_bad_fraction=0)


def test_progress_begins_at_none_and_ends_at_all(
    tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    uris = fill(tmp_path, picture, 70)
    monkeypatch.setenv(events.VARIABLE, str(tmp_path / "events"))
    scan(tmp_path, uris, max_pixels=MAX_PIXELS, max_bad_fraction=0)
    lines = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert [(line["kind"], line["done"], line["total"], line["unit"]) for line in (lines[0], lines[-1])] == [
        ("progress", 0, 70, "image"),
        ("progress", 70, 70, "image"),
    ]


def test_ordered_map_keeps_the_order_and_is_bounded() -> None:
    taken: list[int] = []

    def items() -> "np.ndarray":
        for item in range(50):
            taken.append(item)
            yield item

    results = ordered_map(lambda item: item * item, items(), num_threads=4, ahead=3)
    assert next(results) == 0
    assert len(taken) <= 4
    assert list(results) == [item * item for item in range(1, 50)]


def test_ordered_map_raises_in_its_place_and_stops() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        return 10 // (5 - item)

    results = ordered_map(work, range(1000), num_threads=2, ahead=4)
    with pytest.raises(ZeroDivisionError):
        list(results)
    assert max(begun) <= 5 + 4
