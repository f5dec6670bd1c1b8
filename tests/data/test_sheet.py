"""Sheets: the same listing from CSV and parquet; errors that name the line and the column."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stage1.data.config import SplitConfig
from stage1.data.listing import Listing
from stage1.data.sources import read_source
from stage1.errors import BadData

CONFIG = SplitConfig()
Write = Callable[..., Path]


def rows(listing: Listing) -> list[tuple[object, ...]]:
    return [tuple(row.values())[:4] for row in listing.table.to_pylist()]


def refused(path: Path, match: str, config: SplitConfig = CONFIG) -> None:
    with pytest.raises(BadData, match=match):
        read_source(str(path), config)


def test_all_columns(sheet: Write) -> None:
    path = sheet("group,path,extra,label,source\n007,images/0.png,x,1,cam\n,./images//1.png,y,0,\n")
    listing = read_source(str(path), CONFIG)
    assert rows(listing) == [("images/0.png", 1, "007", "cam"), ("images/1.png", 0, None, None)]
    assert listing.class_names == ("0", "1")
    assert listing.root == str(path.parent.resolve())


@pytest.mark.parametrize(
    ("negative", "positive"), [("0", "1"), ("0.0", "1.0"), ("False", "TRUE"), ("no", "yes"), ("clear", "road work")]
)
def test_label_spellings(sheet: Write, negative: str, positive: str) -> None:
    path = sheet(f"path,label\nimages/0.png, {positive}\nimages/1.png,{negative}\n")
    assert [row[1] for row in rows(read_source(str(path), CONFIG))] == [1, 0]


def test_the_positive_class_can_be_named_and_so_turned_round(sheet: Write) -> None:
    path = sheet("path,label\nimages/0.png,a\nimages/1.png,b\n")
    refused(path, "Set positive_class")
    assert [row[1] for row in rows(read_source(str(path), SplitConfig(positive_class="a")))] == [1, 0]
    path = sheet("path,label\nimages/0.png,0\nimages/1.png,1\n")
    for name in ("0", "False"):
        assert [row[1] for row in rows(read_source(str(path), SplitConfig(positive_class=name)))] == [1, 0]


def test_other_column_names_and_root(sheet: Write, tmp_path: Path) -> None:
    (tmp_path / "sheets").mkdir()
    path = sheet("file;x\n", "ignored.csv").with_name("sheets") / "a.csv"
    path.write_text("file,is_work,drive\n0.png,1,a\n1.png,0,b\n")
    config = SplitConfig(
        path_column="file", label_column="is_work", group_column="drive", image_root=str(tmp_path / "images")
    )
    listing = read_source(str(path), config)
    assert rows(listing) == [("0.png", 1, "a", None), ("1.png", 0, "b", None)]
    assert listing.root == str((tmp_path / "images").resolve())


@pytest.mark.parametrize(
    "label",
    [
        pa.array([1, 0], pa.int64()),
        pa.array([1.0, 0.0]),
        pa.array([True, False]),
        pa.array(["yes", "no"]).dictionary_encode(),
    ],
)
def test_parquet_is_read_like_csv(sheet: Write, label: pa.Array) -> None:
    path = sheet("", "sheet.csv").with_suffix(".parquet")
    pq.write_table(pa.table({"path": ["images/0.png", "images/1.png"], "label": label, "group": [7, None]}), path)
    assert rows(read_source(str(path), CONFIG)) == [("images/0.png", 1, "7", None), ("images/1.png", 0, None, None)]


def test_parquet_errors_name_row_and_column(sheet: Write) -> None:
    path = sheet("", "sheet.csv").with_suffix(".parquet")
    pq.write_table(pa.table({"path": ["images/0.png", "images/1.png"], "label": [1.0, float("nan")]}), path)
    refused(path, r"row 2, column 'label': need a label, got nothing")
    pq.write_table(pa.table({"path": [b"\xff\xd8", b"\xff"], "label": [1, 0]}), path)
    refused(path, r"paths \(text\) in column 'path'.*binary")
    pq.write_table(pa.table({"path": ["images/0.png"], "label": [[1]]}), path)
    refused(path, "text or numbers in column 'label'")
    path.write_bytes(b"PAR1 but not really")
    refused(path, "Need a parquet file")


def test_missing_columns_name_what_is_there(sheet: Write) -> None:
    refused(sheet("file,label\n0.png,1\n"), r"column 'path'.*'file', 'label'.*path_column")
    refused(sheet("path,class\n0.png,1\n"), r"column 'label'.*'path', 'class'.*label_column")
    refused(sheet("path;label\n0.png;1\n"), "Separate columns by commas")
    refused(sheet("path,label\n0.png,1\n"), "column 'drive'", SplitConfig(group_column="drive"))
    refused(sheet("path,label,label\n0.png,1,1\n"), "2 times")
    refused(sheet(""), "column 'path'")


def test_no_rows(sheet: Write) -> None:
    refused(sheet("path,label\n"), "a row per image")


def test_ragged_and_undecodable_sheets(sheet: Write) -> None:
    refused(sheet("path,label\nimages/0.png\n"), "Expected 2 columns, got 1")
    path = sheet("")
    path.write_bytes(b"path,label\n\xff\xfe.png,1\n")
    refused(path, "UTF-8")


@pytest.mark.parametrize("absent", ["", "NaN", "nan", " ", "None"])
def test_absent_labels_name_line_and_column(sheet: Write, absent: str) -> None:
    path = sheet(f"path,label\nimages/0.png,1\nimages/1.png,{absent}\nimages/2.png,\n")
    refused(path, r"line 3, column 'label': need a label, got nothing \(so in 2 rows\)")


def test_absent_paths_name_line_and_column(sheet: Write) -> None:
    refused(sheet("path,label\nimages/0.png,1\n,0\n"), r"line 3, column 'path': need a path")


def test_lines_are_those_of_the_file(sheet: Write) -> None:
    """Empty lines and line ends inside quotes count, as they do in an editor; a byte-order mark does not matter."""
    text = '\ufeffpath,label,note\n\nimages/0.png,1,"two\nlines"\n\nimages/1.png,0,\nimages/2.png,maybe,\n'
    assert text.split("\n").index("images/2.png,maybe,") + 1 == 7
    refused(sheet(text), r"line 7, column 'label': need 0 or 1 as in other rows, got 'maybe'")


def test_one_class_or_three(sheet: Write) -> None:
    refused(sheet("path,label\nimages/0.png,1\nimages/1.png,1\n"), r"got 1: '1' \(2 images\)")
    refused(sheet("path,label\nimages/0.png,a\nimages/1.png,b\nimages/2.png,c\n"), "got 3: 'a'")


@pytest.mark.parametrize(
    "path", ["../secret.png", "images/../../secret.png", "/etc/passwd", "..", "s3://bucket/a.png", "file:///etc/passwd"]
)
def test_paths_that_lead_out(sheet: Write, path: str) -> None:
    written = sheet(f'path,label\nimages/0.png,1\n"{path}",0\n')
    refused(written, rf"line 3, column 'path': '{path}' leads out of the data root")


def test_a_neighbour_whose_name_begins_like_the_root_is_outside(sheet: Write, tmp_path: Path) -> None:
    (tmp_path / "images-secret").mkdir()
    path = sheet("path,label\n0.png,1\n../images-secret/1.png,0\n")
    refused(path, "leads out of the data root", SplitConfig(image_root=str(tmp_path / "images")))


def test_absolute_paths_under_the_root_and_dots_within_it(sheet: Write, tmp_path: Path) -> None:
    path = sheet(f"path,label\n{tmp_path}/images/0.png,1\nimages/../images/1.png,0\n./images//2.png,0\n")
    assert [row[0] for row in rows(read_source(str(path), CONFIG))] == ["images/0.png", "images/1.png", "images/2.png"]


def test_a_zero_byte_in_a_path(sheet: Write) -> None:
    path = sheet("", "sheet.csv").with_suffix(".parquet")
    pq.write_table(pa.table({"path": ["images/\0.png", "images/1.png"], "label": [1, 0]}), path)
    refused(path, "row 1, column 'path': a path cannot hold a zero byte")


def test_two_labels_or_groups_for_one_path(sheet: Write) -> None:
    refused(
        sheet("path,label\nimages/0.png,1\nimages/1.png,0\nimages/./0.png,0\n"),
        r"line 4: images/0\.png has label 0, but label 1 in .*line 2",
    )
    refused(
        sheet("path,label,group\nimages/0.png,1,a\nimages/1.png,0,a\nimages/0.png,1,b\n"),
        r"line 4: images/0\.png has group b, but group a in .*line 2",
    )


def test_a_repeated_row_is_skipped_and_counted(sheet: Write) -> None:
    path = sheet("path,label\nimages/0.png,1\nimages/1.png,0\nimages/0.png,1\nimages/2.png,0\n")
    listing = read_source(str(path), CONFIG)
    assert [row[0] for row in rows(listing)] == ["images/0.png", "images/1.png", "images/2.png"]
    assert listing.ignored == [("images/0.png", "listed_twice")]
