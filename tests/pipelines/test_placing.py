"""Where the compiled tasks would run, and under which rules."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stage1.steps import STEPS

ROOT = Path(__file__).parents[2]
GPU = {"pretrain", "train", "predict"}
CONSTANT = {"export", "promote", "finish"}
OWN = {"configure", "finish", *STEPS}


def _parents(ir: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield executor, task and the parameters that the task's DAG declares."""
    dags = [(ir["root"]["dag"], ir["root"].get("inputDefinitions", {}))]
    dags += [(part["dag"], part.get("inputDefinitions", {})) for part in ir["components"].values() if "dag" in part]
    for dag, declared in dags:
        for name, task in dag["tasks"].items():
            component = ir["components"][task["componentRef"]["name"]]
            if "executorLabel" in component:
                yield component["executorLabel"], name, declared.get("parameters", {})


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "componentInputParameter":
                yield inner
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def test_every_task_runs_as_a_user_that_is_not_root_and_ends_some_day(placed: dict[str, Any]) -> None:
    assert set(placed) == {f"exec-{name}" for name in OWN}
    for name, rules in placed.items():
        assert rules["securityContext"] == {"runAsUser": "10001", "runAsGroup": "10001", "runAsNonRoot": True}, name
        assert 3600 <= int(rules["activeDeadlineSeconds"]) <= 48 * 3600, name


def test_every_task_has_limits_and_only_gpu_tasks_ask_for_an_accelerator(ir: dict[str, Any]) -> None:
    executors = ir["deploymentSpec"]["executors"]
    for name in OWN:
        resources = executors[f"exec-{name}"]["container"]["resources"]
        assert resources["resourceCpuLimit"], name
        assert resources["resourceMemoryLimit"], name
        assert ("accelerator" in resources) == (name in GPU), name
        run_time = "{{$.inputs" in resources["resourceMemoryLimit"]
        assert run_time == (name not in CONSTANT), name


def test_whatever_goes_into_a_pods_resources_is_text(ir: dict[str, Any]) -> None:
    """KFP's driver reads the text of such a parameter (GetStringValue), and a number as nothing."""
    executors, seen = ir["deploymentSpec"]["executors"], set()
    for executor, task, declared in _parents(ir):
        container = str(executors[executor]["container"]["resources"])
        for name in re.findall(r"\{\{\$\.inputs\.parameters\['pipelinechannel--(\w+)'\]\}\}", container):
            seen.add(name)
            assert declared[name]["parameterType"] == "STRING", f"{task}: {name}"
    assert seen == {"gpu_resource", "gpu_count", "gpu_cpu", "gpu_memory", "cpu_cpu", "cpu_memory"}


def test_gpu_and_cpu_tasks_go_to_their_own_pools(placed: dict[str, Any]) -> None:
    for name in OWN - CONSTANT:
        kind = "gpu" if name in GPU else "cpu"
        rules = placed[f"exec-{name}"]
        assert rules["nodeSelector"]["nodeSelectorJson"] == {"componentInputParameter": f"{kind}_node_selector"}
        assert rules["tolerations"] == [{"tolerationJson": {"componentInputParameter": f"{kind}_tolerations"}}]
        assert ("nodeAffinity" in rules) == (kind == "gpu")
        memory = [mount["medium"] for mount in rules.get("emptyDirMounts", []) if mount["mountPath"] == "/dev/shm"]
        assert memory == (["Memory"] if kind == "gpu" else [])


def test_gpu_tasks_are_tried_twice_and_no_other(ir: dict[str, Any]) -> None:
    tried = {}
    for part in [ir["root"], *ir["components"].values()]:
        for name, task in part.get("dag", {}).get("tasks", {}).items():
            tried[name] = task.get("retryPolicy", {}).get("maxRetryCount", 0)
    assert {name for name, count in tried.items() if count} == GPU
    assert {tried[name] for name in GPU} == {1}


def test_whatever_the_platform_takes_from_a_parameter_its_dag_declares(
    ir: dict[str, Any], placed: dict[str, Any]
) -> None:
    checked = 0
    for executor, task, declared in _parents(ir):
        for name in _references(placed[executor]):
            checked += 1
            assert name in declared, f"{task}: {name}"
    assert checked > 30


def test_secrets_come_by_name_and_only_where_they_are_needed(placed: dict[str, Any]) -> None:
    def holders(variable: str) -> set[str]:
        return {
            name.removeprefix("exec-")
            for name, rules in placed.items()
            for secret in rules.get("secretAsEnv", [])
            for pair in secret["keyToEnv"]
            if pair["envVar"] == variable
        }

    assert holders("STAGE1_SIGNING_KEY") == {"export"}
    assert holders("STAGE1_PUBLIC_KEY") == {"promote"}
    assert holders("MLFLOW_TRACKING_TOKEN") == {"pretrain", "train", "report", "promote"}
    assert holders("AWS_SECRET_ACCESS_KEY") == OWN - {"finish"}
    assert all(secret["optional"] for rules in placed.values() for secret in rules.get("secretAsEnv", []))


def test_every_task_is_told_its_run_by_kubeflows_own_label(placed: dict[str, Any]) -> None:
    for rules in placed.values():
        assert {"name": "STAGE1_RUN_ID", "fieldPath": "metadata.labels['pipeline/runid']"} in rules["fieldPathAsEnv"]


@pytest.mark.parametrize("queue", ["", "gpu-team-a"])
def test_a_queue_labels_every_pod(tmp_path: Path, queue: str) -> None:
    command = [sys.executable, "-m", "pipelines", "compile", "-o", str(tmp_path / "p.yaml"), "--queue", queue]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    executors = list(yaml.safe_load_all((tmp_path / "p.yaml").read_text()))[1]["platforms"]["kubernetes"]
    labels = [
        rules.get("podMetadata", {}).get("labels", {}).get("kueue.x-k8s.io/queue-name", "")
        for rules in executors["deploymentSpec"]["executors"].values()
    ]
    assert labels == [queue] * len(OWN)
