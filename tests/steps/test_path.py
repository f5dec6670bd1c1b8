"""The whole way, on a task that is easy enough to be certified, and on the same with shuffled labels."""

import json
from pathlib import Path

import pytest

from stage1.bundle import Bundle, Channel
from stage1.steps import STEPS
from stage1.steps.path import walk
from stage1.storage import open_store
from tests.steps.conftest import OVERRIDES, draw_task


def test_an_easy_task_is_promoted(walked: dict[str, Path], task: Path) -> None:
    assert tuple(walked) == STEPS
    decision = json.loads((walked["gate"] / "decision.json").read_text())
    assert decision["promote"], decision["reasons"]
    promoted = json.loads((walked["promote"] / "promoted.json").read_text())
    store = open_store(str(walked["split"].parent.parent / "store"))
    pointer = Channel(store, "demo").read()
    assert pointer is not None
    assert pointer.digest == promoted["digest"]
    bundle = Bundle.load(promoted["uri"])
    names = [line.split(",") for line in task.read_text().splitlines()[1:41]]
    answers = bundle.decide([task.parent / name for name, *_ in names])
    answered = [(answer.label, label) for answer, (_, label, *_) in zip(answers, names, strict=True) if answer.label]
    assert len(answered) >= 20
    assert sum(answer == label for answer, label in answered) >= 0.9 * len(answered)


def test_every_artifact_says_where_it_comes_from(walked: dict[str, Path]) -> None:
    digests = set()
    for name, folder in walked.items():
        record = json.loads((folder / "step.json").read_text())
        assert record["step"] == name
        assert record["libraries"]["numpy"]
        assert len(record["code"]) == 64
        assert record["config"]
        digests.add(record["data_digest"])
    assert len(digests) == 1
    assert len(digests.pop()) == 64


def test_the_run_is_recorded_in_mlflow(walked: dict[str, Path]) -> None:
    from mlflow import MlflowClient

    run_id = json.loads((walked["report"] / "report.json").read_text())["mlflow_run"]
    client = MlflowClient(f"sqlite:///{walked['split'].parent.parent / 'mlflow.db'}")
    run = client.get_run(run_id)
    metrics = json.loads((walked["evaluate"] / "metrics.json").read_text())
    coverage = metrics["policies"][metrics["chosen"]]["coverage"]["value"]
    assert run.data.metrics["val_test/coverage"] == pytest.approx(coverage)
    assert run.data.params["train.batch_size"] == "32"
    assert len(client.get_metric_history(run_id, "train/loss")) == 4
    version = client.get_model_version_by_alias("stage1", "demo")
    assert version.run_id == run_id
    assert version.tags["digest"] == json.loads((walked["promote"] / "promoted.json").read_text())["digest"]


def test_shuffled_labels_are_refused_and_leave_no_bundle(tmp_path: Path) -> None:
    sheet = draw_task(tmp_path / "images", groups=40, shuffled=True)
    folders = walk(str(sheet), tmp_path / "steps", preset="demo", overrides=[*OVERRIDES, f"store={tmp_path / 'store'}"])
    assert "export" not in folders
    assert "promote" not in folders
    assert not json.loads((folders["gate"] / "decision.json").read_text())["promote"]
    assert (folders["report"] / "report.html").stat().st_size > 10_000
    assert Channel(open_store(str(tmp_path / "store")), "demo").read() is None


def test_the_second_model_is_compared_with_the_first_on_the_same_images(
    walked: dict[str, Path], task: Path, tmp_path: Path
) -> None:
    store = walked["split"].parent.parent / "store"
    first = json.loads((walked["promote"] / "promoted.json").read_text())
    folders = walk(
        str(task), tmp_path / "steps", preset="demo", overrides=[*OVERRIDES, f"store={store}", "seed=1", "channel=demo"]
    )
    metrics = json.loads((folders["evaluate"] / "metrics.json").read_text())
    assert metrics["champion"]["digest"] == first["digest"]
    assert not metrics["champion"]["identical"]
    before = json.loads((walked["evaluate"] / "metrics.json").read_text())
    # The champion's numbers, found again by the consumer's code from the files, are those of its own evaluation.
    was = before["policies"][before["chosen"]]
    assert metrics["champion"]["augrc"]["value"] == pytest.approx(was["augrc"]["value"], abs=1e-6)
    assert metrics["champion"]["coverage"]["value"] == pytest.approx(was["coverage"]["value"], abs=1e-6)
    decision = json.loads((folders["gate"] / "decision.json").read_text())
    assert decision["look"]["number"] == 2
    assert decision["champion"]["digest"] == first["digest"]
