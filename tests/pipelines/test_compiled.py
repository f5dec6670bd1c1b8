"""The compiled pipeline, walked: what Kubeflow would run."""

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.pipeline import compile_to, pipeline
from stage1.steps import STEPS

ROOT = Path(__file__).parents[2]


def _dags(ir: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield name, dag and input definitions of the root and of every component that is a DAG."""
    yield "root", ir["root"]["dag"], ir["root"].get("inputDefinitions", {})
    for name, component in ir["components"].items():
        if "dag" in component:
            yield name, component["dag"], component.get("inputDefinitions", {})


def _tasks(ir: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for _, dag, _ in _dags(ir):
        yield from dag["tasks"].items()


def test_every_input_that_a_task_takes_from_its_dag_is_declared_there(ir: dict[str, Any]) -> None:
    taken = 0
    for dag_name, dag, declared in _dags(ir):
        for task_name, task in dag["tasks"].items():
            for kind, key in (("parameters", "componentInputParameter"), ("artifacts", "componentInputArtifact")):
                for source in task.get("inputs", {}).get(kind, {}).values():
                    if key in source:
                        taken += 1
                        assert source[key] in declared.get(kind, {}), f"{dag_name}.{task_name}: {source[key]}"
    assert taken > 20


def test_every_output_that_a_task_takes_is_one_of_its_producer(ir: dict[str, Any]) -> None:
    for _, dag, _ in _dags(ir):
        for task in dag["tasks"].values():
            for kind, key, output in (
                ("parameters", "taskOutputParameter", "outputParameterKey"),
                ("artifacts", "taskOutputArtifact", "outputArtifactKey"),
            ):
                for source in task.get("inputs", {}).get(kind, {}).values():
                    if key in source:
                        producer = dag["tasks"][source[key]["producerTask"]]["componentRef"]["name"]
                        assert source[key][output] in ir["components"][producer]["outputDefinitions"][kind]


def test_every_task_has_the_image_and_installs_nothing(ir: dict[str, Any]) -> None:
    executors = ir["deploymentSpec"]["executors"]
    assert len(executors) == len(STEPS) + 2  # configure and finish
    for executor in executors.values():
        container = executor["container"]
        assert container["image"]
        command = " ".join(container["command"][:-1])
        assert "pip" not in command
        assert "_KFP_RUNTIME=true python3 -m kfp.dsl.executor_main" in command


def test_the_only_branch_is_on_the_unnamed_bool_of_gate(ir: dict[str, Any]) -> None:
    conditions = [
        task["triggerPolicy"]["condition"] for _, task in _tasks(ir) if "condition" in task.get("triggerPolicy", {})
    ]
    assert conditions == ["inputs.parameter_values['pipelinechannel--gate-Output'] == true"]
    outputs = ir["components"]["comp-gate"]["outputDefinitions"]["parameters"]
    assert outputs == {"Output": {"parameterType": "BOOLEAN"}}


def test_promotion_stands_behind_the_branch_and_everything_else_before(ir: dict[str, Any]) -> None:
    dags = {name: set(dag["tasks"]) for name, dag, _ in _dags(ir)}
    assert dags["comp-condition-1"] == {"export", "promote"}
    assert {"configure", *STEPS} - {"export", "promote"} <= dags["comp-steps"]


def test_the_exit_handler_runs_whatever_happened(ir: dict[str, Any]) -> None:
    finish = ir["root"]["dag"]["tasks"]["finish"]
    assert finish["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    assert "taskFinalStatus" in finish["inputs"]["parameters"]["status"]


def test_kfp_caches_no_task_of_ours(ir: dict[str, Any]) -> None:
    own = [task for _, task in _tasks(ir) if "executorLabel" in ir["components"][task["componentRef"]["name"]]]
    assert len(own) == len(STEPS) + 2
    assert not [task["taskInfo"]["name"] for task in own if task["cachingOptions"].get("enableCache")]


def test_each_step_depends_on_the_steps_before_it_only(ir: dict[str, Any]) -> None:
    """The order of STEPS is an order of the pipeline's own dependencies."""
    inner = ir["components"]["comp-steps"]["dag"]["tasks"]
    promoted = ir["components"]["comp-condition-1"]["dag"]["tasks"]
    place = {name: number for number, name in enumerate(("configure", *STEPS))}
    for name, task in inner.items():
        mine = place["export"] if name == "condition-1" else place[name]
        assert all(place[dependency] < mine for dependency in task.get("dependentTasks", []))
    assert promoted["promote"]["dependentTasks"] == ["export"]
    assert "report" in inner["condition-1"]["dependentTasks"]


def test_every_parameter_is_documented_and_defaults_to_text_or_number(ir: dict[str, Any]) -> None:
    declared = ir["root"]["inputDefinitions"]["parameters"]
    assert list(declared) == sorted(inspect.signature(pipeline.pipeline_func).parameters)
    for name, parameter in declared.items():
        assert len(parameter["description"]) > 20, name
        assert parameter.get("isOptional", False) == (name != "data")
        assert parameter.get("defaultValue", "") is not None


def test_equal_sources_give_equal_bytes(compiled: Path, tmp_path: Path) -> None:
    compile_to(tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_bytes() == compiled.read_bytes()


def test_compiling_needs_none_of_our_library_and_takes_the_image(tmp_path: Path) -> None:
    image = "registry.example/stage1@sha256:" + "0" * 64
    script = (
        "import sys\n"
        f"sys.argv = ['pipelines', 'compile', '-o', 'p.yaml', '--image', '{image}']\n"
        "from pipelines.__main__ import app\n"
        "app(standalone_mode=False)\n"
        "heavy = {'torch', 'numpy', 'scipy', 'pyarrow', 'mlflow', 'stage1.steps', 'stage1.config'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    images = re.findall(r"^ +image: (.*)$", (tmp_path / "p.yaml").read_text(), re.MULTILINE)
    assert set(images) == {image}


@pytest.mark.parametrize("word", ["http://", "https://", "/root/", str(ROOT)])
def test_no_address_and_no_path_of_this_machine_is_compiled_in(compiled: Path, word: str) -> None:
    assert word not in compiled.read_text()


def test_tasks_without_torch_may_have_an_image_of_their_own(tmp_path: Path) -> None:
    names = {
        "--image": "registry.example/stage1@sha256:" + "0" * 64,
        "--cpu-image": "registry.example/cpu@sha256:" + "1" * 64,
    }
    given = [word for pair in names.items() for word in pair]
    command = [sys.executable, "-m", "pipelines", "compile", "-o", str(tmp_path / "p.yaml"), *given]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (spec, *_) = yaml.safe_load_all((tmp_path / "p.yaml").read_text())
    executors = spec["deploymentSpec"]["executors"]
    found = {name.removeprefix("exec-"): each["container"]["image"] for name, each in executors.items()}
    with_torch = {name for name, image in found.items() if image == names["--image"]}
    assert with_torch == {"pretrain", "train", "predict"}
    assert {image for name, image in found.items() if name not in with_torch} == {names["--cpu-image"]}
