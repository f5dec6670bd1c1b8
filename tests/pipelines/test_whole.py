"""The real pipeline, compiled and run: once to a promotion, then again to a refusal."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stage1.errors import BadArtifact
from stage1.steps import STEPS
from stage1.steps.artifact import read_artifact
from tests.pipelines.images import write_images

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
CONFIG = """
constraint: {max_fnr: 0.05, max_fpr: 0.1}
split: {fractions: {train: 0.3, val_select: 0.1, val_calib: 0.3, val_test: 0.3}}
pretrain: {epochs: 0, preprocessing: {image_size: 32}, backbone: {widths: [8, 8]}}
train: {phases: [{loss: ce, epochs: 4}], batch_size: 16, ema_decay: 0.5}
evaluate: {num_resamples: 100}
gate: {max_augrc: 0.1}
"""


class Whole:
    """A folder of separable images, and runs of the real pipeline over it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.out = root / "run"
        (root / "config.yaml").write_text(CONFIG)
        write_images(root / "images", per_class=600, side=32)

    def command(self, *more: str) -> dict[str, Any]:
        options = ["--data", "images", "--config", "config.yaml", "--out", "run", "--store", str(self.root / "store")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return {
            "args": [sys.executable, "-m", "pipelines", "run", *options, *more],
            "cwd": self.root,
            "env": environment,
        }

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(**self.command(*more), capture_output=True, text=True, timeout=550)

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(**self.command(*more), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def all_events(self) -> list[dict[str, Any]]:
        events = self.out / "events.jsonl"
        whole_lines = events.read_text().split("\n")[:-1] if events.exists() else []
        return [json.loads(line) for line in whole_lines]

    def events(self, kind: str) -> dict[str, dict[str, Any]]:
        return {event["step"]: event for event in self.all_events() if event["kind"] == kind}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def promoted(whole: Whole) -> tuple[Whole, str]:
    done = whole.run()
    assert done.returncode == 0, done.stdout + done.stderr
    return whole, done.stdout


def test_every_step_runs_in_order_and_the_bundle_is_promoted(promoted: tuple[Whole, str]) -> None:
    whole, words = promoted
    assert tuple(whole.events("done")) == STEPS
    assert "PROMOTED to channel demo, sequence 1" in words
    pointer = json.loads((whole.root / "store" / "channels" / "demo.json").read_text())
    assert pointer["digest"] in words


def test_every_folder_is_whole_and_linked_under_latest(promoted: tuple[Whole, str]) -> None:
    whole, _ = promoted
    for step in STEPS:
        assert read_artifact(whole.out / "latest" / step, step).record["step"] == step


def test_the_command_of_the_summary_answers(promoted: tuple[Whole, str]) -> None:
    whole, words = promoted
    line = next(line for line in words.splitlines() if line.startswith("Ask it"))
    command = line.removeprefix("Ask it").split()
    assert command[:3] == ["stage1", "decide", "run/latest/export/bundle"]
    script = [sys.executable, "-c", "from stage1.cli import main; main()", *command[1:]]
    done = subprocess.run(script, cwd=whole.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path(command[3]).name in done.stdout


def test_the_metrics_and_the_curves_reach_kfp(promoted: tuple[Whole, str]) -> None:
    whole, _ = promoted
    evaluation = (whole.out / "latest" / "evaluate").resolve()
    outputs = json.loads((evaluation.parent / "executor_output.json").read_text())["artifacts"]
    logged = outputs["metrics"]["artifacts"][0]["metadata"]
    metrics = json.loads((evaluation / "metrics.json").read_text())
    assert metrics["policies"][metrics["chosen"]]["coverage"]["value"] in logged.values()
    curves = outputs["curves"]["artifacts"][0]["metadata"]
    assert len(curves["confidenceMetrics"]) == len(json.loads((evaluation / "curves.json").read_text())["roc"]["fpr"])
    cells = [cell for row in curves["confusionMatrix"]["rows"] for cell in row["row"]]
    assert sum(cells) == metrics["num_images"]


def test_the_page_and_the_verdict_stand_beside_the_report(promoted: tuple[Whole, str]) -> None:
    whole, _ = promoted
    folder = (whole.out / "latest" / "report").resolve()
    assert (folder.parent / "page").read_bytes() == (folder / "report.html").read_bytes()
    verdict = (folder.parent / "verdict").read_text()
    assert verdict.startswith("# PROMOTED\n")
    digest = json.loads((folder / "step.json").read_text())["data_digest"]
    assert f"| Data | `{digest}` |" in verdict
    assert "| Channel | `" in verdict
    assert "The run ended as **SUCCEEDED**" in (folder.parents[1] / "finish" / "ending").read_text()


def test_running_again_with_another_limit_reuses_what_does_not_depend_on_it_and_refuses(
    promoted: tuple[Whole, str],
) -> None:
    whole, _ = promoted
    done = whole.run("--set", "gate.min_groups=100000")
    assert done.returncode == 3, done.stdout + done.stderr
    ended = whole.events("done")
    assert tuple(ended) == STEPS[:-2]
    assert {"pretrain", "train"} <= {step for step, event in ended.items() if event["cached"]}
    assert "REFUSED" in done.stdout
    assert "100,000" in done.stdout
    pointer = json.loads((whole.root / "store" / "channels" / "demo.json").read_text())
    assert pointer["sequence"] == 1


def test_a_changed_artifact_of_the_cache_is_made_anew(promoted: tuple[Whole, str]) -> None:
    whole, _ = promoted
    model = next((whole.out / "cache").glob("train-*/result"))
    (model / "history.json").write_text("{}")
    with pytest.raises(BadArtifact):
        read_artifact(model, "model")
    done = whole.run("--set", "gate.min_groups=100000")
    assert done.returncode == 3, done.stdout + done.stderr
    assert not whole.events("done")["train"]["cached"]
    assert read_artifact(whole.out / "latest" / "train", "model").record["step"] == "train"


def test_no_such_data_is_bad_input_and_says_so(whole: Whole) -> None:
    whole.out = whole.root / "other"
    done = whole.run("--data", "nowhere", "--out", "other")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_in_training_saves_its_state_and_running_again_goes_on_from_there(whole: Whole) -> None:
    whole.out = whole.root / "stopped"
    slow = ["--out", "stopped", "--set", "train.phases=[{loss: ce, epochs: 400}]"]
    process = whole.start(*slow)
    _wait_for(whole, process, lambda event: event["step"] == "train" and event["kind"] == "progress")
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    record = json.loads((whole.out / "end.json").read_text())
    assert (record["state"], record["step"]) == ("interrupted", "train")
    reached = max(event["done"] for event in whole.all_events() if event["step"] == "train" and "done" in event)

    (whole.out / "events.jsonl").unlink()
    again = whole.start(*slow)
    first = _wait_for(whole, again, lambda event: event["step"] == "train" and event["kind"] == "progress")
    again.send_signal(signal.SIGTERM)
    assert again.wait(20) == 143
    assert first["done"] >= reached
    assert whole.events("done")["pretrain"]["cached"]


def _wait_for(
    whole: Whole, process: subprocess.Popen[bytes], wanted: Callable[[dict[str, Any]], bool], timeout_s: float = 200.0
) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = next(filter(wanted, whole.all_events()), None)
        if found:
            return found
        assert process.poll() is None, "the run ended early"
        time.sleep(0.05)
    raise AssertionError(f"no such event within {timeout_s} s")
