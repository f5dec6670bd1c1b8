"""A bundle says in which run it was judged."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest

from stage1.steps.artifact import read_artifact, write_record
from stage1.steps.run_id import VARIABLE, id_of, run_id


def test_a_folder_keeps_the_id_of_its_run(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: id_of(tmp_path), range(32)))
    assert len(ids) == 1
    assert UUID(ids.pop()).version == 4
    other = tmp_path / "other"
    other.mkdir()
    assert id_of(other) != id_of(tmp_path)


def test_every_step_writes_down_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert run_id() == ""
    monkeypatch.setenv(VARIABLE, "3f0c")
    write_record(tmp_path, {"step": "gate", "data_digest": "d" * 64, "config": {}, "inputs": {}})
    assert read_artifact(tmp_path, "decision").record["run"] == "3f0c"
