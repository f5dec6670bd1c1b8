"""The command line as a stranger meets it: help, bad input, exit codes, no tracebacks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stage1.steps import STEPS


def stage1(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    code = "from stage1.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, cwd=cwd, timeout=120
    )


def test_help_names_every_command() -> None:
    shown = stage1("--help")
    assert shown.returncode == 0
    for name in (*STEPS, "run", "config", "plan", "decide", "data", "bundle", "channel"):
        assert f" {name} " in shown.stdout


def test_a_step_explains_its_arguments() -> None:
    shown = " ".join(stage1("calibrate", "sweep", "--help").stdout.split())
    assert "--predictions" in shown
    assert "--set" in shown
    shown = " ".join(stage1("train", "--help").stdout.split())
    assert "Output folder of the split step" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "--data", "nowhere"), 2, ["nowhere"]),
        (("run", "--data", "nowhere", "--set", "train.batchsize=1"), 2, ["train.batchsize", "batch_size"]),
        (("run", "--data", "nowhere", "--preset", "hyper"), 2, ["hyper", "demo, full"]),
        (("run", "--data", "nowhere", "--config", "absent.yaml"), 2, ["absent.yaml"]),
        (("train", "--manifest", ".", "--backbone", ".", "--out", "x"), 2, ["manifest", "step.json"]),
        (("decide", "absent", "absent.png"), 2, ["absent"]),
        (("bundle", "verify", "absent"), 2, ["absent"]),
        (("channel", "show", "demo", "--store", "empty"), 2, ["demo"]),
        (("config", "--set", "seed=-1"), 2, ["seed", "greater than or equal to 0"]),
        (("train",), 2, ["Missing option"]),
    ],
)
def test_bad_input_is_said_without_a_traceback(
    tmp_path: Path, arguments: tuple[str, ...], code: int, words: list[str]
) -> None:
    shown = stage1(*arguments, cwd=tmp_path)
    assert shown.returncode == code, shown.stderr
    assert "Traceback" not in shown.stderr + shown.stdout
    for word in words:
        assert word in shown.stderr + shown.stdout


def test_config_prints_what_would_be_used() -> None:
    shown = stage1("config", "--preset", "demo", "--set", "seed=5")
    assert shown.returncode == 0
    assert "seed: 5" in shown.stdout
    assert "val_test: 0.15" in shown.stdout


def test_plan_prints_the_table(tmp_path: Path) -> None:
    shown = stage1("plan", "--positive-share", "0.5", "--expected-fnr", "0.01", "--power", "0.79", cwd=tmp_path)
    assert shown.returncode == 0
    assert "chance to certify" in shown.stdout
    # 1,000 answered positives (half of a tenth of 20,000) at a true FNR of 1 % certify with a chance of .79.
    assert any("1,000" in line and "79%" in line for line in shown.stdout.splitlines())


def test_a_consumer_loads_neither_torch_nor_scipy() -> None:
    code = """
import json, sys
sys.argv = ["stage1", "decide", "--help"]
from stage1.cli import main
try:
    main()
except SystemExit:
    heavy = ("torch", "scipy", "sklearn", "pyarrow", "mlflow")
    print(json.dumps([name for name in heavy if name in sys.modules]))
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout.splitlines()[-1]) == []
