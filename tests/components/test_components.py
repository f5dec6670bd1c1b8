"""Every component is its step: same parameters, same defaults, same words, no logic of its own."""

import ast
import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml

from stage1.steps import STEPS, load
from stage1.steps.configure import configure
from stage1.steps.step import read_config

ROOT = Path(__file__).parents[2] / "components"
NAMES = ("configure", *STEPS, "finish")
FOR_THE_UI = {"metrics", "curves", "page", "verdict"}
OUTPUT = {
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


def _component(name: str) -> Any:
    return getattr(importlib.import_module(f"components.{name}.component"), name)


def _parameters(name: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(_component(name).python_func).parameters)


def _tree(name: str) -> ast.FunctionDef:
    module = ast.parse((ROOT / name / "component.py").read_text())
    return next(node for node in module.body if isinstance(node, ast.FunctionDef))


def test_there_is_a_folder_for_every_step_and_no_other() -> None:
    assert {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(NAMES)


@pytest.mark.parametrize("name", STEPS)
def test_inputs_and_output_are_the_step_s(name: str) -> None:
    step = list(inspect.signature(load(name)).parameters)
    mine = [each for each in _parameters(name) if each not in FOR_THE_UI]
    expected = [OUTPUT[name] if each == "out" else each for each in step]
    assert sorted(mine) == sorted(expected)
    artifacts = [each for each in mine if each not in ("data", "config")]
    assert artifacts == [each for each in expected if each not in ("data", "config")], "in the step's order"


@pytest.mark.parametrize("name", STEPS)
def test_the_empty_config_is_the_step_s_default(name: str) -> None:
    step = load(name)
    assert _parameters(name)["config"].default == ""
    assert read_config(step, "") == inspect.signature(step).parameters["config"].default


def test_configure_has_the_defaults_of_its_step() -> None:
    step = inspect.signature(configure).parameters
    mine = _parameters("configure")
    assert {name: mine[name].default for name in step} == {name: each.default for name, each in step.items()}
    assert set(_component("configure").component_spec.outputs) == set(STEPS)


def test_named_parameters_of_configure_become_overrides() -> None:
    function = _component("configure").python_func
    configured = function("demo", overrides="train.batch_size=48", seed=7, store="bundles", channel="night")
    text = "\n".join(["seed=7", "store=bundles", "channel=night", "train.batch_size=48"])
    assert configured._asdict() == configure("demo", "", text)
    assert '"batch_size":48' in configured.train
    assert '"seed":7' in configured.train
    assert '"channel":"night"' in configured.promote


def test_unset_parameters_of_configure_leave_preset_and_config_alone() -> None:
    function = _component("configure").python_func
    assert function("demo", config="seed: 5")._asdict() == configure("demo", "seed: 5", "")


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_in_our_image_and_installs_nothing(name: str) -> None:
    container = _component(name).pipeline_spec.deployment_spec["executors"][f"exec-{name}"]["container"]
    from components import IMAGE

    assert container["image"] == IMAGE
    assert "pip install" not in " ".join(container["command"])


@pytest.mark.parametrize("name", NAMES)
def test_it_imports_only_steps_and_only_inside_its_body(name: str) -> None:
    module = ast.parse((ROOT / name / "component.py").read_text())
    outside = {node.module for node in module.body if isinstance(node, ast.ImportFrom)}
    assert outside <= {"kfp", "components", "typing"}
    inside = {node.module for node in ast.walk(_tree(name)) if isinstance(node, ast.ImportFrom) and node.module}
    own = {module for module in inside if module.startswith("stage1")}
    allowed = {f"stage1.steps.{name}", "stage1.steps.step"}
    assert own <= (allowed | {"stage1.console"} if name == "report" else allowed)


@pytest.mark.parametrize("name", NAMES)
def test_it_has_no_logic(name: str) -> None:
    logic = ast.If | ast.While | ast.Try | ast.FunctionDef
    assert [type(node) for node in ast.walk(_tree(name)) if isinstance(node, logic)] == [ast.FunctionDef]
    statements = [node for node in _tree(name).body if not isinstance(node, ast.Import | ast.ImportFrom)]
    assert len(statements) <= 8


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_stands_in_its_docstring_in_order(name: str) -> None:
    text = inspect.cleandoc(ast.get_docstring(_tree(name)) or "")
    arguments = text.partition("Args:\n")[2].partition("\n\n")[0]
    named = [
        line.strip().partition(":")[0] for line in arguments.splitlines() if line.startswith("    ") and line[4] != " "
    ]
    assert sorted(named) == sorted(_parameters(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_lists_every_input_and_output_and_nothing_else(name: str) -> None:
    text = (ROOT / name / "README.md").read_text()
    assert text.startswith(f"# {name}\n")
    listed = {
        tuple(cell.strip(" `") for cell in line.split("|")[1:3])
        for line in text.splitlines()
        if "`" in line and line[0] == "|"
    }
    spec = _component(name).component_spec
    inputs, outputs = set(spec.inputs or {}), set(spec.outputs or {})
    if name == "configure":
        listed = {row for row in listed if row[0] == "in"} | {("out", step) for step in STEPS}
    assert listed == {("in", each) for each in inputs} | {("out", each) for each in outputs}


@pytest.mark.parametrize("name", NAMES)
def test_metadata_names_it_and_says_what_its_docstring_says(name: str) -> None:
    metadata = yaml.safe_load((ROOT / name / "metadata.yaml").read_text())
    assert metadata["name"] == name
    assert metadata["description"] == (ast.get_docstring(_tree(name)) or "").splitlines()[0]
    assert metadata["runs_on"] == ("gpu" if name in ("pretrain", "train", "predict") else "cpu")
    assert metadata.get("step") == (None if name == "finish" else f"stage1.steps.{name}")
