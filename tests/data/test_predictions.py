"""predictions.parquet: exact round trip, equal bytes, one split at a time, and nothing read that cannot be."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stage1.data.predictions import HELD_OUT, SCHEMA, PredictionTable
from stage1.errors import BadArtifact, SplitForbidden

NUM_ROWS = 9


def columns() -> dict[str, list[object]]:
    rng = np.random.default_rng(0)
    return {
        "id": [f"image{n}" for n in range(NUM_ROWS)],
        "split": [HELD_OUT[n % 3] for n in range(NUM_ROWS)],
        "label": [n % 2 for n in range(NUM_ROWS)],
        "group": [f"drive{n // 3}" for n in range(NUM_ROWS)],
        "source": ["", "north"] * 4 + [""],
        "logit_0": rng.normal(size=NUM_ROWS).astype(np.float32).tolist(),
        "logit_1": rng.normal(size=NUM_ROWS).astype(np.float32).tolist(),
        "gate": rng.normal(size=NUM_ROWS).astype(np.float32).tolist(),
    }


def predictions(**changed: list[object]) -> PredictionTable:
    return PredictionTable(pa.table(columns() | changed, schema=SCHEMA), "d" * 64, "m" * 64)


def test_what_is_written_is_read_and_equal_tables_give_equal_bytes(tmp_path: Path) -> None:
    predictions().write(tmp_path / "a.parquet")
    predictions().write(tmp_path / "b.parquet")
    found = PredictionTable.read(tmp_path / "a.parquet")
    assert found == predictions()
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert json.loads(pq.read_metadata(tmp_path / "a.parquet").metadata[b"stage1"]) == {
        "data_digest": "d" * 64,
        "model_digest": "m" * 64,
    }


def test_float32_logits_arrive_exactly_in_float64() -> None:
    given = columns()
    found = predictions()
    assert found.logits_N2.dtype == np.float64
    assert found.logits_N2.tolist() == [list(pair) for pair in zip(given["logit_0"], given["logit_1"], strict=True)]
    assert found.numbers_N("gate").tolist() == given["gate"]
    assert found.labels_N.tolist() == given["label"]
    assert found.strings_N("source").tolist() == given["source"]


def test_a_step_sees_the_split_it_may_see_and_no_other() -> None:
    part = predictions().split("val_test", allowed=("val_test",))
    assert part.strings_N("id").tolist() == ["image2", "image5", "image8"]
    assert (part.data_digest, part.model_digest) == ("d" * 64, "m" * 64)
    with pytest.raises(SplitForbidden, match="may see val_calib, but asked for val_test"):
        predictions().split("val_test", allowed=("val_calib",))


def test_the_digest_of_images_is_about_images_and_labels_alone() -> None:
    digest = predictions().images_digest
    backwards = PredictionTable(predictions().table.take(list(reversed(range(NUM_ROWS)))), "e" * 64, "f" * 64)
    assert backwards.images_digest == digest
    assert predictions(gate=[0.0] * NUM_ROWS).images_digest == digest
    assert predictions(label=[1] * NUM_ROWS).images_digest != digest
    assert predictions(id=[f"other{n}" for n in range(NUM_ROWS)]).images_digest != digest


@pytest.mark.parametrize("column", ["logit_0", "logit_1", "gate"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused_by_column_and_image(tmp_path: Path, column: str, bad: float) -> None:
    predictions(**{column: [1.0] * 4 + [bad] * 2 + [1.0] * 3}).write(tmp_path / "p.parquet")
    with pytest.raises(BadArtifact, match=rf"p\.parquet: {column} is not finite for 2 images, the first is image4"):
        PredictionTable.read(tmp_path / "p.parquet")


def nullable(**changed: list[object]) -> pa.Table:
    meta = {b"stage1": json.dumps({"data_digest": "d", "model_digest": "m"}).encode()}
    fields = [pa.field(field.name, field.type) for field in SCHEMA]
    return pa.table(columns() | changed, schema=pa.schema(fields, metadata=meta))


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (nullable(label=[None] + [1] * 8), "column label has nulls"),
        (nullable(label=[2] + [1] * 8), "label must be one of 0, 1, got 2"),
        (nullable(split=["train"] + ["val_test"] * 8), "split must be one of .*val_test, got 'train'"),
        (nullable().drop_columns(["gate"]), "gate"),
        (nullable().replace_schema_metadata(None), "stage1"),
        (nullable().replace_schema_metadata({b"stage1": b"[]"}), "list indices"),
        (nullable().replace_schema_metadata({b"stage1": b"{"}), "Expecting"),
    ],
)  # fmt: skip
def test_a_foreign_table_is_refused_with_the_reason(tmp_path: Path, table: pa.Table, reason: str) -> None:
    pq.write_table(table, tmp_path / "p.parquet")
    with pytest.raises(BadArtifact, match=reason) as caught:
        PredictionTable.read(tmp_path / "p.parquet")
    assert "p.parquet is not the predictions of the predict step" in str(caught.value)


@pytest.mark.parametrize("damage", ["missing", "truncated", "text"])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "p.parquet"
    predictions().write(path)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-20] if damage == "truncated" else b"id,label\n")
    with pytest.raises(BadArtifact, match=r"p\.parquet is not the predictions"):
        PredictionTable.read(path)
