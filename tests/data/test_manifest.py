"""The manifest: what comes back from the file, what is refused, and who may see which rows."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stage1.data import SPLITS, Manifest, SplitConfig, make_split
from stage1.data.manifest import SCHEMA, data_digest
from stage1.errors import BadArtifact, SplitForbidden


@pytest.fixture
def manifest(folder: Path) -> Manifest:
    return make_split(str(folder), SplitConfig())[0]


@pytest.fixture
def path(manifest: Manifest, tmp_path: Path) -> Path:
    manifest.write(tmp_path / "manifest.parquet")
    return tmp_path / "manifest.parquet"


def test_round_trip(manifest: Manifest, path: Path) -> None:
    back = Manifest.read(path)
    assert back.table.equals(manifest.table)
    assert (back.roots, back.salt, back.fractions, back.class_names, back.data_digest) == (
        manifest.roots,
        "stage1",
        SplitConfig().fractions.model_dump(),
        ("clear", "roadwork"),
        manifest.data_digest,
    )


def test_equal_manifests_give_equal_bytes(folder: Path, path: Path, tmp_path: Path) -> None:
    again, _ = make_split(str(folder), SplitConfig(), num_threads=1)
    again.write(tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == path.read_bytes()


def test_the_schema_is_what_the_contract_says(path: Path) -> None:
    assert [(field.name, str(field.type)) for field in pq.read_schema(path)] == [
        ("id", "string"),
        ("root", "int16"),
        ("uri", "string"),
        ("digest", "fixed_size_binary[32]"),
        ("label", "int8"),
        ("group", "string"),
        ("split", "string"),
        ("source", "string"),
        ("synthetic", "bool"),
        ("width", "int32"),
        ("height", "int32"),
    ]


def test_rows_of_the_splits_asked_for(manifest: Manifest) -> None:
    parts = {split: manifest.rows(split, allowed=SPLITS) for split in SPLITS}
    assert sum(map(len, parts.values())) == 40
    for split, rows in parts.items():
        assert set(rows.splits) <= {split}
    both = manifest.rows("train", "val_test", allowed=SPLITS)
    assert set(both.ids) == {*parts["train"].ids, *parts["val_test"].ids}
    assert both.roots == manifest.roots


def test_rows_as_arrays(manifest: Manifest) -> None:
    rows = manifest.rows(*SPLITS, allowed=SPLITS)
    assert rows.labels.dtype == np.int8
    assert rows.labels.tolist() == [int(uri.startswith("roadwork/")) for uri in rows.table["uri"].to_pylist()]
    assert rows.ids.tolist() == rows.groups.tolist()  # no groups given: each image is its own
    assert set(rows.sources) == {""}


def test_a_split_that_is_not_allowed_is_refused(manifest: Manifest) -> None:
    with pytest.raises(SplitForbidden, match="may see train, val_select, but asked for val_test"):
        manifest.rows("train", "val_test", allowed=("train", "val_select"))
    with pytest.raises(SplitForbidden, match="test"):
        manifest.rows("test", allowed=SPLITS)


def test_what_is_no_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArtifact, match="found no file"):
        Manifest.read(tmp_path / "none.parquet")
    with pytest.raises(BadArtifact, match="found no file"):
        Manifest.read(tmp_path)
    (tmp_path / "text.parquet").write_text("path,label")
    with pytest.raises(BadArtifact, match="something else"):
        Manifest.read(tmp_path / "text.parquet")
    pq.write_table(pa.table({"path": ["a"], "label": [1]}), tmp_path / "sheet.parquet")
    with pytest.raises(BadArtifact, match="no stage1 metadata"):
        Manifest.read(tmp_path / "sheet.parquet")


def change(path: Path, column: str, values: pa.Array | None) -> None:
    """Replace or drop a column and keep the metadata."""
    table = pq.read_table(path)
    index = table.schema.names.index(column)
    table = table.remove_column(index) if values is None else table.set_column(index, column, values)
    pq.write_table(table, path)


@pytest.mark.parametrize(
    ("column", "values", "match"),
    [
        ("group", None, "Need columns id, root, uri"),
        ("label", pa.array([1] * 40, pa.int64()), "column label .* as int8 .* got int64"),
        ("label", pa.array([2] + [1] * 39, pa.int8()), r"column label .* out of \[-1, 0, 1\], got \[2\]"),
        ("label", pa.array([None] + [1] * 39, pa.int8()), "without nulls, got int8 with 1"),
        ("split", pa.array(["test"] * 40), r"column split .*, got \['test'\]"),
        ("label", pa.array([1] * 40, pa.int8()), "do not match its data digest"),
        ("group", pa.array([str(index) for index in range(40)]), "do not match its data digest"),
    ],
)
def test_changed_columns_are_refused(path: Path, column: str, values: pa.Array | None, match: str) -> None:
    change(path, column, values)
    with pytest.raises(BadArtifact, match=match):
        Manifest.read(path)


@pytest.mark.parametrize("metadata", [b"no json", b"[]", b"{}", json.dumps({"schema": "stage1/manifest/v1"}).encode()])
def test_changed_metadata_is_refused(path: Path, metadata: bytes) -> None:
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"stage1": metadata}), path)
    with pytest.raises(BadArtifact, match="metadata"):
        Manifest.read(path)


def small(groups: list[str], label: int = 0, byte: int = 7, synthetic: bool = False) -> pa.Table:
    count = len(groups)
    columns = {
        "id": [str(index) for index in range(count)],
        "root": [0] * count,
        "uri": [str(index) for index in range(count)],
        "digest": [bytes([byte] * 31 + [index]) for index in range(count)],
        "label": [label] * count,
        "group": groups,
        "split": ["train"] * count,
        "source": [""] * count,
        "synthetic": [synthetic] * count,
        "width": [8] * count,
        "height": [8] * count,
    }
    return pa.table(columns, schema=SCHEMA)


def test_the_data_digest_sees_digests_labels_and_where_groups_end() -> None:
    tables = [
        small(["ab", "c"]),
        small(["a", "bc"]),
        small(["ab", "c"], label=1),
        small(["ab", "c"], byte=8),
        small(["ab", "c"], synthetic=True),
        small([]),
    ]
    assert len({data_digest(table) for table in tables}) == len(tables)


def test_the_data_digest_does_not_depend_on_how_the_table_lies_in_memory() -> None:
    table = small(["ab", "c", "", "ü", "e"])
    pieces = pa.concat_tables([table.slice(0, 2), table.slice(2, 1), table.slice(3)])
    assert data_digest(pieces) == data_digest(table) == data_digest(pieces.combine_chunks())
