"""The training step as the cluster runs it: killed with its machine and gone on with elsewhere; in two processes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from stage1.errors import BadConfig
from stage1.model.files import load_model
from stage1.steps.learning import kept_state
from stage1.steps.step import Step, read_config
from stage1.steps.train import train
from stage1.training import LoopConfig
from stage1.training.processes import Processes
from tests.servers.minio import MinioServer

CONFIG = {
    "batch_size": 32,
    "threads": 1,
    "ema_decay": 0.8,
    "phases": [{"loss": "ce", "epochs": 2}, {"loss": "selective", "epochs": 1}],
    "optimiser": {"kind": "fsam"},
}
SCRIPT = """
import sys
from pathlib import Path
from stage1.steps.step import read_config
from stage1.steps.train import train

if __name__ == "__main__":
    print(train(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), config=read_config(train, sys.argv[4])))
"""


def call(folders: dict[str, Path], out: Path, **changed: object) -> Step:
    return train(folders["split"], folders["pretrain"], out, config=read_config(train, json.dumps(CONFIG | changed)))


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def undisturbed(walked: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "model"
    call(walked, out)
    return out


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "events.jsonl"
    monkeypatch.setenv("STAGE1_EVENTS", str(path))
    return path


def messages(said: Path) -> list[str]:
    return [event["message"] for line in said.read_text().splitlines() if (event := json.loads(line))["kind"] == "note"]


def test_a_run_whose_machine_is_gone_goes_on_from_object_storage(
    walked: dict[str, Path], undisturbed: Path, tmp_path: Path, said: Path, minio: MinioServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Another folder, nothing of the old one: what finds the state is what the run is made from."""
    minio.use(monkeypatch)
    checkpoint = {"uri": f"s3://{minio.new_bucket()}/states", "every_steps": 2}
    config = json.dumps(CONFIG | {"checkpoint": checkpoint})
    there = tmp_path / "there"
    there.mkdir()
    command = [sys.executable, "-c", SCRIPT, walked["split"], walked["pretrain"], there / "model", config]
    with subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}) as process:
        patience = time.monotonic() + 120
        while not (said.exists() and '"epoch": 2' in said.read_text()) and time.monotonic() < patience:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    shutil.rmtree(there)
    said.unlink()
    call(walked, tmp_path / "here" / "model", checkpoint=checkpoint)
    (message,) = messages(said)
    assert message.startswith("going on from step ")
    assert weights(tmp_path / "here" / "model") == weights(undisturbed)


def test_two_processes_make_one_result(
    walked: dict[str, Path], undisturbed: Path, tmp_path: Path, said: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    result = call(walked, tmp_path / "model", processes=2)
    record = json.loads((tmp_path / "model/step.json").read_text())
    assert record["config"]["processes"] == 2
    model, _ = load_model(tmp_path / "model")
    expected, _ = load_model(undisturbed)
    for name, tensor in expected.state_dict().items():
        assert (model.state_dict()[name] - tensor).abs().max() < 1e-2, name
    history = json.loads((undisturbed / "history.json").read_text())["rows"]
    assert result.val_augrc == pytest.approx(min(row["val_augrc"] for row in history), abs=2e-3)
    told = [json.loads(line) for line in said.read_text().splitlines() if '"unit": "step"' in line]
    assert [event["done"] for event in told] == sorted({event["done"] for event in told}), "one process tells"
    assert {event["step"] for event in told} == {"train"}


def test_two_nodes_make_what_two_processes_make_and_go_on_after_a_preemption(
    walked: dict[str, Path], tmp_path: Path, said: Path
) -> None:
    """Each node has the variables that Kubeflow Trainer sets, its own folder, and the result; one is killed."""
    call(walked, tmp_path / "together" / "model", processes=2, device="cpu")
    config = json.dumps(CONFIG | {"device": "cpu", "checkpoint": {"uri": str(tmp_path / "states"), "every_steps": 3}})

    def start(node: int, attempt: int) -> subprocess.Popen[bytes]:
        with closing(socket.socket()) as listener:
            listener.bind(("127.0.0.1", 0))
            ports.setdefault(attempt, listener.getsockname()[1])
        place = {"NNODES": 2, "NODE_RANK": node, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": ports[attempt]}
        environment = (
            os.environ | {f"PET_{name}": str(value) for name, value in place.items()} | {"OMP_NUM_THREADS": "1"}
        )
        folder = tmp_path / f"node-{node}-{attempt}"
        folder.mkdir()
        command = [sys.executable, str(tmp_path / "script.py"), walked["split"], walked["pretrain"], folder / "model"]
        return subprocess.Popen([*command, config], env=environment)

    ports: dict[int, int] = {}
    (tmp_path / "script.py").write_text(SCRIPT)
    said.unlink()
    nodes = [start(node, 1) for node in (0, 1)]
    patience = time.monotonic() + 120
    while not (said.exists() and '"epoch": 2' in said.read_text()) and time.monotonic() < patience:
        time.sleep(0.02)
    nodes[1].kill()
    assert [node.wait(timeout=120) for node in nodes] != [0, 0]
    said.unlink()
    assert [node.wait(timeout=300) for node in [start(node, 2) for node in (0, 1)]] == [0, 0]
    assert [message.partition(" step ")[0] for message in messages(said)] == ["going on from"]
    together = weights(tmp_path / "together/model")
    assert [weights(tmp_path / f"node-{node}-2/model") for node in (0, 1)] == [together, together]


def test_nodes_without_a_place_that_all_reach_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="2 nodes need a place that all of them reach"):
        kept_state(tmp_path / "train-1" / "work", LoopConfig(), Processes(0, 2, 0, num_nodes=2))


def test_where_state_and_curves_go_changes_no_identity(
    walked: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Path
) -> None:
    monkeypatch.setenv("STAGE1_CACHE", str(tmp_path / "cache"))
    call(walked, tmp_path / "one")
    curves = {"tracking": {"uri": f"sqlite:///{tmp_path}/mlflow.db"}, "tensorboard": str(tmp_path / "boards")}
    call(walked, tmp_path / "two", checkpoint={"every_steps": 3, "uri": str(tmp_path / "states")}, **curves)
    done = [json.loads(line) for line in said.read_text().splitlines() if '"kind": "done"' in line]
    assert [event["cached"] for event in done] == [False, True]
    assert not (tmp_path / "states").exists()
    call(walked, tmp_path / "three", seed=5, **curves)
    assert list((tmp_path / "boards").glob("train-*/events.out.tfevents.*"))
