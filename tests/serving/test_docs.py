"""docs/serving.md is tried: its requests against a real server, its manifests against what a cluster asks."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bundle.making import RED, Maker, picture
from tests.serving.process import png, serving

TEXT = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
OUTPUTS = set(re.findall(r"`(\w+)` \(", TEXT.partition("Outputs: ")[2].partition("Errors")[0])) | {"confidence"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_the_requests_work_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "street.jpg").write_bytes(png(picture(RED)))
    (script,) = [block for block in blocks("sh") if "curl" in block]
    assert script.count("localhost:8080") == 3
    with serving(str(Maker(tmp_path / "made").path()), tmp_path / "log", "--model-name", "stage1") as process:
        local = script.replace("localhost:8080", process.url).replace("curl ", "curl --noproxy '*' -f -w '\\n' ")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", local], cwd=tmp_path, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    ready, model, answer = (json.loads(line) for line in done.stdout.splitlines())
    assert ready == {"ready": True}
    assert {output["name"] for output in model["outputs"]} == OUTPUTS
    assert {output["name"]: output["data"] for output in answer["outputs"]}["label"] == ["roadwork"]


def containers() -> list[Any]:
    """(pod, container) of every workload in the text."""
    found = []
    for block in blocks("yaml"):
        for document in yaml.safe_load_all(block):
            if document["kind"] == "Deployment":
                found.append((document["spec"]["template"]["spec"], document))
            if document["kind"] == "InferenceService":
                found.append((document["spec"]["predictor"], document))
    return [(pod, pod["containers"][0], document) for pod, document in found]


@pytest.mark.parametrize(("pod", "container", "document"), containers(), ids=["Deployment", "InferenceService"])
def test_the_manifests_are_restricted_and_probe_what_there_is(
    pod: dict[str, Any], container: dict[str, Any], document: dict[str, Any]
) -> None:
    """What Pod Security `restricted` asks, and a read-only root; the port and the addresses are the server's."""
    context = {**pod["securityContext"], **container["securityContext"]}
    assert context == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    command = container["command"]
    assert command[command.index("--port") + 1] == str(container["ports"][0]["containerPort"])
    assert command[command.index("--host") + 1] == "0.0.0.0"
    probes = {kind: probe["httpGet"]["path"] for kind, probe in container.items() if kind.endswith("Probe")}
    assert {"readinessProbe": "/v2/health/ready", "livenessProbe": "/v2/health/live"}.items() <= probes.items()
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    if document["kind"] == "InferenceService":
        assert command[command.index("--model-name") + 1] == document["metadata"]["name"]


def test_the_manifests_options_and_variables_are_ours() -> None:
    listed = {word for _, container, _ in containers() for word in container["command"] if word.startswith("--")}
    from stage1.cli.serve import serve

    assert {option.removeprefix("--").replace("-", "_") for option in listed} <= set(serve.__annotations__)
    for _, container, _ in containers():
        assert {"STAGE1_PUBLIC_KEY", "STAGE1_BUNDLE_CACHE"} <= {each["name"] for each in container["env"]}
