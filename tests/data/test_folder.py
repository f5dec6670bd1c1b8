"""A folder per class: what is listed, what is ignored and counted, and what is an error that says what to do."""

import os
from pathlib import Path

import pytest

from stage1.data.config import SplitConfig
from stage1.data.listing import Listing
from stage1.data.sources import read_source
from stage1.errors import BadData

CONFIG = SplitConfig()


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"not read when listing")


def labels(listing: Listing) -> dict[str, int]:
    return dict(zip(listing.table["uri"].to_pylist(), listing.table["label"].to_pylist(), strict=True))


def test_classes_nest_and_names_may_be_unicode_and_hold_spaces(tmp_path: Path) -> None:
    touch(tmp_path, "Road Work/day 1/Straße é.JPG", "Road Work/b.png", "clear/道路/c.webp")
    listing = read_source(str(tmp_path), CONFIG)
    assert labels(listing) == {"Road Work/day 1/Straße é.JPG": 1, "Road Work/b.png": 1, "clear/道路/c.webp": 0}
    assert listing.class_names == ("clear", "Road Work")
    assert listing.root == str(tmp_path.resolve())
    assert listing.table["group"].null_count == 3


def test_everything_else_is_ignored_and_counted(tmp_path: Path) -> None:
    touch(tmp_path, "yes/a.png", "no/b.png", "no/Thumbs.db", "no/.hidden.png", ".git/c.png", "top.png", "README.md")
    (tmp_path / "no" / "linked").symlink_to(tmp_path / "yes")
    Path(os.fsdecode(bytes(tmp_path / "no") + b"/\xff.png")).write_bytes(b"")
    listing = read_source(str(tmp_path), CONFIG)
    assert set(labels(listing)) == {"yes/a.png", "no/b.png"}
    assert sorted(listing.ignored) == [
        (".git/c.png", "hidden"),
        ("README.md", "other_file"),
        ("no/.hidden.png", "hidden"),
        ("no/Thumbs.db", "other_file"),
        ("no/\\xff.png", "odd_name"),
        ("no/linked", "symlink"),
        ("top.png", "outside_class_folder"),
    ]


def test_a_folder_without_images_is_no_class(tmp_path: Path) -> None:
    touch(tmp_path, "positive/a.png", "negative/b.png", "docs/notes.txt")
    assert read_source(str(tmp_path), CONFIG).class_names == ("negative", "positive")


@pytest.mark.parametrize("names", [("b", "a"), ("yes", "positive")])
def test_an_unclear_positive_class_is_asked_for(tmp_path: Path, names: tuple[str, str]) -> None:
    touch(tmp_path, f"{names[0]}/1.png", f"{names[1]}/2.png")
    with pytest.raises(BadData, match=rf"'{min(names)}'.*'{max(names)}'.*[Ss]et positive_class"):
        read_source(str(tmp_path), CONFIG)
    chosen = read_source(str(tmp_path), SplitConfig(positive_class=names[0]))
    assert labels(chosen) == {f"{names[0]}/1.png": 1, f"{names[1]}/2.png": 0}


def test_a_positive_class_that_is_not_there(tmp_path: Path) -> None:
    touch(tmp_path, "yes/1.png", "no/2.png")
    with pytest.raises(BadData, match="positive_class='roadworks'"):
        read_source(str(tmp_path), SplitConfig(positive_class="roadworks"))


def test_one_class_and_three_classes(tmp_path: Path) -> None:
    touch(tmp_path, "yes/1.png", "no/notes.txt")
    with pytest.raises(BadData, match=r"two classes.*got 1: 'yes' \(1 images\)"):
        read_source(str(tmp_path), CONFIG)
    touch(tmp_path, "no/1.png", "maybe/1.png")
    with pytest.raises(BadData, match="got 3"):
        read_source(str(tmp_path), CONFIG)


def test_one_class_under_two_spellings(tmp_path: Path) -> None:
    touch(tmp_path, "true/1.png", "1/2.png", "0/3.png")
    with pytest.raises(BadData, match="one class twice"):
        read_source(str(tmp_path), CONFIG)


def test_no_such_empty_and_foreign_places(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for place in (str(tmp_path / "none"), "", "ftp://host/data", "x" * 5000):
        with pytest.raises(BadData):
            read_source(place, CONFIG)
    with pytest.raises(BadData, match="got the file"):
        read_source(str(tmp_path / "notes.txt"), CONFIG)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadData, match="one sub-folder per class"):
        read_source(str(tmp_path / "empty"), CONFIG)


def test_a_sheet_in_the_folder_is_pointed_to(tmp_path: Path) -> None:
    touch(tmp_path, "images/1.png", "manifest.csv")
    with pytest.raises(BadData, match=r"there is a sheet in it: pass .*manifest\.csv"):
        read_source(str(tmp_path), CONFIG)


def test_links_are_never_followed(tmp_path: Path) -> None:
    touch(tmp_path, "data/yes/1.png", "data/no/2.png", "secret/3.png")
    (tmp_path / "data/no/inside.png").symlink_to(tmp_path / "data/no/2.png")
    (tmp_path / "data/no/outside.png").symlink_to(tmp_path / "secret/3.png")
    (tmp_path / "data/maybe").symlink_to(tmp_path / "secret")
    listing = read_source(str(tmp_path / "data"), CONFIG)
    assert set(labels(listing)) == {"yes/1.png", "no/2.png"}
    assert listing.ignored == [(path, "symlink") for path in ("maybe", "no/inside.png", "no/outside.png")]


def test_the_data_set_itself_may_be_a_link(tmp_path: Path) -> None:
    touch(tmp_path, "data/yes/1.png", "data/no/2.png")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert read_source(str(tmp_path / "link"), CONFIG).root == str((tmp_path / "data").resolve())
