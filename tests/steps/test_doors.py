"""One function, three doors: the step, its command and its component write equal files from equal inputs."""

import importlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from stage1.cli.main import app
from stage1.steps import STEPS, load
from stage1.steps.artifact import digest_files
from stage1.steps.configure import configure
from stage1.steps.path import walk
from tests.steps.conftest import OVERRIDES

INPUTS = {
    "split": (),
    "pretrain": ("manifest",),
    "train": ("manifest", "backbone"),
    "predict": ("manifest", "model"),
    "calibrate": ("predictions",),
    "evaluate": ("predictions", "policies"),
    "gate": ("evaluation",),
    "report": ("manifest", "backbone", "model", "predictions", "policies", "evaluation", "decision"),
    "export": ("manifest", "model", "predictions", "policies", "evaluation", "decision"),
    "promote": ("bundle",),
}
MAKES = {
    "split": "manifest",
    "pretrain": "backbone",
    "train": "model",
    "predict": "predictions",
    "calibrate": "policies",
    "evaluate": "evaluation",
    "gate": "decision",
    "report": "report",
    "export": "bundle",
    "promote": "promotion",
}
SETTINGS = (*OVERRIDES, "store=store", "tracking.uri=sqlite:///mlflow.db")
# What names a place or a random id, not content.
OWN = {"report": {"report.json"}, "promote": {"promoted.json", "mlflow/promotion.json"}}


def through_functions(task: Path) -> None:
    walk(str(task), Path("steps"), preset="demo", overrides=SETTINGS)


def through_commands(task: Path) -> None:
    runner = CliRunner()
    options = ["--preset", "demo", *(word for line in SETTINGS for word in ("--set", line))]
    for name in STEPS:
        folders = [word for each in INPUTS[name] for word in (f"--{each}", str(_folder(each)))]
        data = ["--data", str(task)] if name == "split" else []
        result = runner.invoke(app, [name, *data, *folders, "--out", f"steps/{name}", *options])
        assert result.exit_code == 0, result.output


def through_components(task: Path) -> None:
    sections = configure("demo", "", json.dumps(SETTINGS))
    for name in STEPS:
        component = getattr(importlib.import_module(f"components.{name}.component"), name)
        given: dict[str, Any] = {each: SimpleNamespace(path=str(_folder(each))) for each in INPUTS[name]}
        given |= {"data": str(task)} if name == "split" else {}
        for parameter in inspect.signature(component.python_func).parameters:
            if parameter not in given and parameter != "config":
                own = parameter == MAKES[name]
                given[parameter] = _output(Path("steps") / name if own else Path("extra") / f"{name}-{parameter}")
        component.python_func(**given, config=sections[name])


def _folder(artifact: str) -> Path:
    [step] = [step for step, made in MAKES.items() if made == artifact]
    return Path("steps") / step


def _output(path: Path) -> SimpleNamespace:
    """Stands for what KFP hands to a component: a place to write to, and what the UI is told."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ignore = lambda *_, **__: None  # noqa: E731
    return SimpleNamespace(
        path=str(path), log_metric=ignore, log_roc_curve=ignore, log_confusion_matrix=ignore, metadata={}
    )


@pytest.fixture(scope="module")
def doors(task: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder in which each door worked."""
    places = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("STAGE1_CACHE", raising=False)
        patch.delenv("STAGE1_EVENTS", raising=False)
        walks: tuple[Callable[[Path], None], ...] = (through_functions, through_commands, through_components)
        for door in walks:
            places[door.__name__] = tmp_path_factory.mktemp(door.__name__)
            patch.chdir(places[door.__name__])
            door(task)
    return places


@pytest.mark.parametrize("name", STEPS)
def test_three_doors_write_equal_files(doors: dict[str, Path], name: str) -> None:
    found = []
    for place in doors.values():
        files = digest_files(place / "steps" / name)
        found.append({path: digest for path, digest in files.items() if path not in OWN.get(name, set())})
    assert found[0] == found[1] == found[2]
    assert found[0] or name == "promote"


def test_the_doors_promote_the_same_bundle(doors: dict[str, Path]) -> None:
    digests = {json.loads((place / "steps/promote/promoted.json").read_text())["digest"] for place in doors.values()}
    assert len(digests) == 1


@pytest.mark.parametrize("name", STEPS)
def test_the_table_above_is_the_signature(name: str) -> None:
    parameters = list(inspect.signature(load(name)).parameters)
    assert parameters == [*(["data"] if name == "split" else []), *INPUTS[name], "out", "config"]
