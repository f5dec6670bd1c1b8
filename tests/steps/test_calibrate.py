"""The calibrate step reads what it may, in pieces, and says what is wrong with a file that it cannot use."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stage1.data.predictions import SCHEMA
from stage1.errors import BadArtifact
from stage1.policy import CalibrateConfig, Predictions, load_policy
from stage1.steps import calibration_rows as reading
from stage1.steps.calibrate import calibrate, calibrate_gate, calibrate_scrc, calibrate_sweep
from stage1.steps.calibration_rows import calibration_rows

CONFIG = CalibrateConfig(price_limits=(0.02, 0.1))


def table(num_rows: int = 4000, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, num_rows).astype(np.int8)
    return pa.table(
        {
            "id": [str(i) for i in range(num_rows)],
            "split": rng.choice(["val_calib", "val_select", "val_test"], num_rows).tolist(),
            "label": label,
            "group": [f"g{i}" for i in rng.integers(0, num_rows // 4, num_rows)],
            "source": [""] * num_rows,
            "logit_0": np.zeros(num_rows, np.float32),
            "logit_1": (rng.normal(size=num_rows) + 8 * label - 4).astype(np.float32),
            "gate": rng.normal(size=num_rows).astype(np.float32),
        },
        schema=SCHEMA,
    )


def written(folder: Path, rows: pa.Table) -> Path:
    pq.write_table(rows, folder / "predictions.parquet")
    return folder / "predictions.parquet"


@pytest.mark.parametrize("at_a_time", [1 << 17, 333])
def test_rows_are_those_of_the_split_however_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_a_time: int
) -> None:
    monkeypatch.setattr(reading, "_ROWS_AT_A_TIME", at_a_time)
    rows = table()
    found = calibration_rows(written(tmp_path, rows))
    assert sorted(found) == ["val_calib", "val_select"]
    for split, predictions in found.items():
        kept = rows.filter(pa.array([name == split for name in rows["split"].to_pylist()]))
        assert np.array_equal(predictions.margin, kept["logit_1"].to_numpy().astype(np.float64))
        assert np.array_equal(np.asarray(predictions.labels), kept["label"].to_numpy())
        assert np.array_equal(predictions.gate_scores(), kept["gate"].to_numpy())
        expected = np.unique(np.array(kept["group"].to_pylist()), return_inverse=True)[1]
        assert np.array_equal(np.asarray(predictions.groups), expected)


def test_a_split_without_rows_is_empty(tmp_path: Path) -> None:
    rows = table().filter(pa.array([name == "val_calib" for name in table()["split"].to_pylist()]))
    found = calibration_rows(written(tmp_path, rows))
    assert len(found["val_select"]) == 0 < len(found["val_calib"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.drop_columns(["gate"]), "column gate is missing"),
        (lambda rows: changed(rows, "logit_1", np.nan), "train with a lower learning rate"),
        (lambda rows: changed(rows, "gate", np.inf), "gate needs a finite number"),
        (lambda rows: changed(rows, "label", 7), "labels needs 0 or 1"),
        (lambda rows: with_null(rows), "column gate has nulls"),
    ],
)
def test_files_that_cannot_be_used_are_said(tmp_path: Path, change: object, words: str) -> None:
    with pytest.raises(BadArtifact, match=words):
        calibration_rows(written(tmp_path, change(table())))  # type: ignore[operator]


def test_no_file_and_no_parquet_are_said(tmp_path: Path) -> None:
    with pytest.raises(BadArtifact, match="Run predict again"):
        calibration_rows(tmp_path / "predictions.parquet")
    (tmp_path / "predictions.parquet").write_bytes(b"no parquet")
    with pytest.raises(BadArtifact, match="Run predict again"):
        calibration_rows(tmp_path / "predictions.parquet")


def changed(rows: pa.Table, column: str, value: float) -> pa.Table:
    first = rows["split"].to_pylist().index("val_calib")
    values = rows[column].to_numpy().copy()
    values[first] = value
    index = rows.schema.get_field_index(column)
    return rows.set_column(index, rows.schema.field(column), pa.array(values))


def with_null(rows: pa.Table) -> pa.Table:
    index = rows.schema.get_field_index("gate")
    return rows.set_column(index, "gate", pa.array([None, *rows["gate"].to_pylist()[1:]], pa.float32()))


def test_the_whole_step_is_its_parts(tmp_path: Path) -> None:
    written(tmp_path, table())
    out = {name: tmp_path / name for name in ("all", "softmax", "gate", "scrc")}
    parts = {"softmax": calibrate_sweep, "gate": calibrate_gate, "scrc": calibrate_scrc}
    for name, folder in out.items():
        folder.mkdir()
        vars({**parts, "all": calibrate}[name])["__wrapped__"](tmp_path, folder, config=CONFIG)
    whole = json.loads((out["all"] / "policies.json").read_text(encoding="utf-8"))["policies"]
    for name in parts:
        alone = json.loads((out[name] / "policies.json").read_text(encoding="utf-8"))
        assert alone["policies"] == {name: whole[name]}
        assert alone["chosen"] == name
        assert load_policy(out[name] / whole[name]["file"]) == load_policy(out["all"] / whole[name]["file"])


def test_prices_are_written_twice_and_agree(tmp_path: Path) -> None:
    written(tmp_path, table())
    (tmp_path / "out").mkdir()
    vars(calibrate)["__wrapped__"](tmp_path, tmp_path / "out", config=CONFIG)
    document = json.loads((tmp_path / "out/prices.json").read_text(encoding="utf-8"))
    assert document["schema"] == "stage1/prices/v1"
    assert pq.read_table(tmp_path / "out/prices.parquet").to_pydict() == document["columns"]
    assert document["columns"]["max_fnr"] == [0.02, 0.1] * 3


def test_val_select_plans_and_never_certifies(tmp_path: Path) -> None:
    """Without a row of val_calib nothing holds, however much val_select there is."""
    rows = table()
    only = rows.filter(pa.array([name == "val_select" for name in rows["split"].to_pylist()]))
    found = calibration_rows(written(tmp_path, only))
    assert isinstance(found["val_calib"], Predictions)
    (tmp_path / "out").mkdir()
    result = vars(calibrate)["__wrapped__"](tmp_path, tmp_path / "out", config=CONFIG)
    assert not any(result.feasible.values())
