"""From files to manifest and report: nothing leaks, nothing is lost, nothing moves that should not."""

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stage1.data import SPLITS, Manifest, SplitConfig, make_split
from stage1.data.splits import assign
from stage1.errors import BadData

CONFIG = SplitConfig()
Picture = Callable[..., bytes]


def split_by_digest(manifest: Manifest) -> dict[bytes, set[str]]:
    found: dict[bytes, set[str]] = {}
    for digest, split in zip(manifest.table["digest"].to_pylist(), manifest.table["split"].to_pylist(), strict=True):
        found.setdefault(digest, set()).add(split)
    return found


def write_set(root: Path, picture: Picture, rows: list[tuple[str, int, int, str]]) -> str:
    """Write (name, content, label, group) rows as images and a sheet; return the sheet's path."""
    lines = ["path,label,group"]
    for name, content, label, group in rows:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture(content, size=4))
        lines.append(f"{name},{label},{group}")
    (root / "sheet.csv").write_text("\n".join(lines) + "\n")
    return str(root / "sheet.csv")


def random_rows(seed: int) -> list[tuple[str, int, int, str]]:
    """30 to 90 images of 30 contents in up to 20 groups, so that many bytes stand under several names and groups."""
    rng = np.random.default_rng(seed)
    contents = [0, 1, *rng.integers(0, 30, rng.integers(28, 88))]
    return [
        (f"{index}.png", int(content), int(content) % 2, f"g{rng.integers(0, 20)}")
        for index, content in enumerate(contents)
    ]


@pytest.mark.parametrize("seed", range(50))
def test_no_content_and_no_group_stands_in_two_splits(seed: int, tmp_path: Path, picture: Picture) -> None:
    rows = random_rows(seed)
    manifest, report = make_split(write_set(tmp_path, picture, rows), SplitConfig(salt=str(seed)), num_threads=1)
    assert all(len(splits) == 1 for splits in split_by_digest(manifest).values())
    own_split: dict[str, set[str]] = {}
    group_of = {name: group for name, _, _, group in rows}
    for uri, split in zip(manifest.table["uri"].to_pylist(), manifest.table["split"].to_pylist(), strict=True):
        own_split.setdefault(group_of[uri], set()).add(split)
    assert all(len(splits) == 1 for splits in own_split.values())
    num_contents = len({content for _, content, _, _ in rows})
    assert report["duplicates"]["images"] == len(rows) - num_contents
    assert report["duplicates"]["groups_merged"] == len(own_split) - report["num_groups"]
    ids = manifest.table["id"].to_pylist()
    assert len(set(ids)) == len(rows)
    assert all(
        name.split("-")[0] == digest.hex()[:16]
        for name, digest in zip(ids, manifest.table["digest"].to_pylist(), strict=True)
    )


def placed(manifest: Manifest, key: str = "uri") -> dict[str, str]:
    return dict(zip(manifest.table[key].to_pylist(), manifest.table["split"].to_pylist(), strict=True))


@pytest.fixture
def base() -> list[tuple[str, int, int, str]]:
    return [(f"{index}.png", index, index % 2, f"drive{index // 3}") for index in range(120)]


def test_adding_and_removing_groups_moves_no_image(tmp_path: Path, picture: Picture, base: list) -> None:
    before = placed(make_split(write_set(tmp_path, picture, base), CONFIG)[0])
    more = base + [(f"new{index}.png", 1000 + index, index % 2, f"later{index // 3}") for index in range(12)]
    after = placed(make_split(write_set(tmp_path, picture, more), CONFIG)[0])
    assert len(after) == 132
    assert {name: after[name] for name in before} == before
    fewer = placed(make_split(write_set(tmp_path, picture, base[:108]), CONFIG)[0])
    assert fewer == {name: before[name] for name in fewer}


def test_renaming_files_moves_no_image_and_renaming_a_group_does(tmp_path: Path, picture: Picture, base: list) -> None:
    first, _ = make_split(write_set(tmp_path, picture, base), CONFIG)
    renamed = [(f"other/{99 - index}.png", *row[1:]) for index, row in enumerate(reversed(base))]
    second, _ = make_split(write_set(tmp_path / "b", picture, renamed), CONFIG)
    assert placed(second, "id") == placed(first, "id")
    assert second.data_digest == first.data_digest
    regrouped = [(*row[:3], row[3] + "x") for row in base]
    third, _ = make_split(write_set(tmp_path / "c", picture, regrouped), CONFIG)
    assert placed(third, "id") != placed(first, "id")
    assert third.data_digest != first.data_digest


def test_images_without_group_are_placed_by_their_content(folder: Path, tmp_path: Path) -> None:
    before = placed(make_split(str(folder), CONFIG)[0], "id")
    for index, path in enumerate(sorted((folder / "clear").iterdir())):
        path.rename(folder / "clear" / f"renamed {index}.png")
    assert placed(make_split(str(folder), CONFIG)[0], "id") == before
    expected = {name: SPLITS[assign([name], "stage1", CONFIG.fractions.model_dump())[0]] for name in before}
    assert before == expected


def test_the_data_digest_changes_with_any_byte_label_or_group(tmp_path: Path, picture: Picture, base: list) -> None:
    def digest(name: str, rows: list) -> str:
        return make_split(write_set(tmp_path / name, picture, rows), CONFIG)[0].data_digest

    original = digest("a", base)
    assert digest("b", base) == original
    assert digest("c", list(reversed(base))) == original
    assert digest("d", [("0.png", 0, 1, "drive0"), *base[1:]]) != original
    assert digest("e", [("0.png", 0, 0, "drive00"), *base[1:]]) != original
    sheet = write_set(tmp_path / "f", picture, base)
    with (tmp_path / "f" / "5.png").open("ab") as stream:
        stream.write(b"\0")  # behind the end of the PNG: the same pixels, other bytes
    assert make_split(sheet, CONFIG)[0].data_digest != original


def test_copies_under_two_labels_are_refused(folder: Path) -> None:
    shutil.copy(folder / "clear" / "12.png", folder / "roadwork" / "copy.png")
    with pytest.raises(
        BadData, match=r"1 images have both labels.*clear/12\.png \(label 0\), roadwork/copy\.png \(label 1\)"
    ):
        make_split(str(folder), CONFIG)


def test_copies_under_one_label_are_kept_together_and_counted(folder: Path) -> None:
    shutil.copy(folder / "clear" / "12.png", folder / "clear" / "a copy.png")
    manifest, report = make_split(str(folder), CONFIG)
    assert report["duplicates"] == {"images": 1, "groups_merged": 0}
    assert (report["num_images"], report["num_groups"]) == (41, 40)
    copies = [row for row in manifest.table.to_pylist() if row["uri"] in ("clear/12.png", "clear/a copy.png")]
    first, second = sorted(copies, key=lambda row: row["uri"])
    assert second["id"] == first["id"] + "-1"
    assert first["split"] == second["split"]


def test_a_class_without_a_readable_image_is_refused(folder: Path) -> None:
    for path in (folder / "roadwork").iterdir():
        path.write_bytes(b"")
    with pytest.raises(BadData, match="10 of 40 images cannot be used"):
        make_split(str(folder), CONFIG)
    with pytest.raises(BadData, match="readable images of both classes, clear and roadwork"):
        make_split(str(folder), SplitConfig(max_bad_fraction=0.5))


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def corpus(picture: Picture, huge_png: bytes) -> dict[str, tuple[bytes, str]]:
    """Files by name with the reason for which each is skipped, "" where it is used."""
    noise = Image.open(io.BytesIO(picture(500, size=24)))
    exif = Image.Exif()
    exif[0x0112] = 8
    return {
        "text.jpg": (b"<html>404</html>", "not_an_image"),
        "zero.png": (b"", "empty"),
        "truncated.jpg": (_encoded(noise, "JPEG")[:400], "damaged"),
        "truncated.png": (picture(501, size=24)[:300], "damaged"),
        "huge.png": (huge_png, "too_large"),
        "floats.tif": (_encoded(Image.new("F", (4, 4)), "TIFF"), "unsupported"),
        "cmyk.jpg": (_encoded(noise.convert("CMYK"), "JPEG"), ""),
        "deep.png": (_encoded(Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000), "PNG"), ""),
        "turned.jpg": (_encoded(noise, "JPEG", exif=exif), ""),
        "moving.gif": (_encoded(noise, "GIF", save_all=True, append_images=[noise.rotate(90)]), ""),
        "moving.png": (_encoded(noise, "PNG", save_all=True, append_images=[noise.rotate(90)]), ""),
        "a png by the name of.jpg": (picture(502), ""),
        "notes.txt": (b"not an image file", "other_file"),
        ".DS_Store": (b"\0", "hidden"),
    }


def test_a_corpus_of_odd_images_is_accounted_for(folder: Path, picture: Picture, huge_png: bytes) -> None:
    files = corpus(picture, huge_png)
    for name, (data, _) in files.items():
        (folder / "clear" / name).write_bytes(data)
    manifest, report = make_split(str(folder), SplitConfig(max_bad_fraction=0.2))
    used = set(manifest.table["uri"].to_pylist())
    for name, (_, reason) in files.items():
        assert (f"clear/{name}" in used) == (not reason), name
    assert {row["path"]: row["reason"] for row in report["skipped"]} == {
        f"clear/{name}": reason for name, (_, reason) in files.items() if reason
    }
    listed = sum(len(names) for _, _, names in os.walk(folder))
    assert report["num_images"] + sum(report["skipped_by_reason"].values()) == listed
    assert sum(counts["images"] for counts in report["splits"].values()) == report["num_images"]
    assert sum(counts["groups"] for counts in report["splits"].values()) == report["num_groups"]


def test_a_missing_file_of_a_sheet_is_a_counted_skip(tmp_path: Path, picture: Picture, base: list) -> None:
    sheet = write_set(tmp_path, picture, base)
    (tmp_path / "7.png").unlink()
    _, report = make_split(sheet, CONFIG)
    assert report["skipped"] == [{"path": "7.png", "reason": "missing"}]
    assert report["num_images"] == 119


REAL = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/data is not there")
@pytest.mark.parametrize(
    ("name", "positives", "images", "groups"), [("roadwork", 300, 982, 571), ("roadwork_signs", 360, 1193, 149)]
)
def test_real_data(name: str, positives: int, images: int, groups: int) -> None:
    """The numbers are those of the data's README."""
    manifest, report = make_split(str(REAL / name / "manifest.csv"), CONFIG)
    assert (report["num_images"], report["num_groups"]) == (images, groups)
    assert sum(counts["positives"] for counts in report["splits"].values()) == positives
    assert report["skipped"] == []
    assert any("val_test has" in warning and "149" in warning for warning in report["warnings"])
    assert all(len(splits) == 1 for splits in split_by_digest(manifest).values())
    with Image.open(Path(manifest.roots[0], manifest.table["uri"][0].as_py())) as image:
        assert image.size == (manifest.table["width"][0].as_py(), manifest.table["height"][0].as_py())
