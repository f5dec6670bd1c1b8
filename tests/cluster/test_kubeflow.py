"""Submitting, finding, looking at and cancelling runs, and what is said when the server fails."""

import re
import subprocess
import sys
import threading

import pytest

from pipelines.kubeflow import Kubeflow, check_arguments, load_package
from stage1.errors import BadInput, NoAnswer, NotFound
from tests.servers.kubeflow import wait_until


def started(kubeflow, package, name="one", **arguments):
    return kubeflow.submit(package, name, {"data": "d", **arguments}, experiment="roads", account="runner")


def test_a_run_carries_pipeline_arguments_and_account(kfp, kubeflow, package):
    run_id = started(kubeflow, package, seed=4, gpu_tolerations=[{"key": "gpu"}])
    (run,) = kfp.runs.values()
    assert run["runtime_config"]["parameters"] == {"data": "d", "seed": 4, "gpu_tolerations": [{"key": "gpu"}]}
    assert run["pipeline_spec"]["pipeline_spec"]["pipelineInfo"]["name"] == "stage1"
    assert "kubernetes" in run["pipeline_spec"]["platform_spec"]["platforms"]
    assert (run["display_name"], run["service_account"]) == ("one", "runner")
    assert kfp.experiments[run["experiment_id"]]["display_name"] == "roads"
    assert kubeflow.run(run_id).outcome == "running"


def test_an_experiment_is_made_once(kfp, kubeflow, package):
    for name in ("one", "two"):
        started(kubeflow, package, name)
    assert len(kfp.experiments) == 1


def test_runs_are_found_by_name_over_many_pages(kubeflow, package):
    ids = [started(kubeflow, package, name) for name in ("a", "b", "a", "a", "b", "a", "a")]
    assert kubeflow.named("a", experiment="roads") == [ids[i] for i in (0, 2, 3, 5, 6)]
    assert kubeflow.named("c", experiment="roads") == []
    assert kubeflow.named("a", experiment="elsewhere") == []


@pytest.mark.parametrize(
    ("state", "promoted", "outcome"),
    [
        ("RUNNING", False, "running"),
        ("PAUSED", False, "running"),
        ("SUCCEEDED", True, "promoted"),
        ("SUCCEEDED", False, "refused"),
        ("FAILED", False, "failed"),
        ("CANCELED", False, "cancelled"),
    ],
)
def test_how_a_run_stands(kfp, kubeflow, package, state, promoted, outcome):
    run_id = started(kubeflow, package)
    kfp.end(run_id, state, promoted=promoted, message="why" if state == "FAILED" else "")
    run = kubeflow.run(run_id)
    assert (run.outcome, run.name, run.message) == (outcome, "one", "why" if state == "FAILED" else "")


def test_a_cancelled_run_is_cancelled_and_an_ended_one_stays(kfp, kubeflow, package):
    one, two = started(kubeflow, package), started(kubeflow, package)
    kfp.end(two, "SUCCEEDED", promoted=True)
    for run_id in (one, two):
        kubeflow.cancel(run_id)
    assert [kubeflow.run(run_id).outcome for run_id in (one, two)] == ["cancelled", "promoted"]


def test_a_token_is_sent(kfp, tmp_path, package):
    (tmp_path / "token").write_text("secret\n")
    started(Kubeflow(kfp.endpoint, token_file=str(tmp_path / "token")), package)
    assert kfp.tokens == {"Bearer secret"}
    with pytest.raises(BadInput, match="Need a token at"):
        Kubeflow(kfp.endpoint, token_file=str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (500, NoAnswer, "Try again later"),
        (503, NoAnswer, "Try again later"),
        (403, BadInput, "Give a token of an account that may"),
        (400, BadInput, "told to fail"),
        (404, NotFound, "Is the id right"),
    ],
)
def test_what_the_server_says_is_told_with_what_to_do(kfp, kubeflow, status, error, words):
    kfp.refuse = [status]
    with pytest.raises(error, match=words):
        kubeflow.run("some")


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(NoAnswer, match=r"http://127.0.0.1:9 could not be reached to look at run x.*network policies"):
        Kubeflow("http://127.0.0.1:9").run("x")
    with pytest.raises(BadInput, match="as http"):
        Kubeflow("kubeflow:8888")


def test_arguments_are_those_of_the_pipeline(package):
    check_arguments(package, {"data": "d", "gpu_count": "2"})
    with pytest.raises(BadInput, match=r"no parameter gpus; it has .*gpu_count"):
        check_arguments(package, {"data": "d", "gpus": 2})
    with pytest.raises(BadInput, match=r"^The pipeline needs data\.$"):
        check_arguments(package, {"seed": 2})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("gpu_count", 2, "gpu_count as text, got 2"),
        ("seed", "2", 'seed as a whole number, got "2"'),
        ("seed", True, "seed as a whole number, got true"),
        ("gpu_node_selector", [], "gpu_node_selector as a JSON object, got"),
        ("gpu_tolerations", {}, "gpu_tolerations as a JSON list, got"),
    ],
)
def test_arguments_have_the_types_of_the_pipeline(package, name, value, words):
    with pytest.raises(BadInput, match=f"^The pipeline needs {words}"):
        check_arguments(package, {"data": "d", name: value})


@pytest.mark.parametrize("text", ["", "a: b", "[", "- 1"])
def test_a_file_that_is_no_pipeline_is_refused(tmp_path, text):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(BadInput, match="Need a compiled pipeline at"):
        load_package(tmp_path / "p.yaml")
    with pytest.raises(BadInput, match="Need a compiled pipeline at"):
        load_package(tmp_path / "none.yaml")


def ask(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pipelines", *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def test_from_a_shell(kfp, pipeline_file):
    where = ("--endpoint", kfp.endpoint)
    told = ("submit", "--data", "s3://scenes/v1", "--pipeline", str(pipeline_file), *where, "--key", "monday")
    one = ask(
        *told,
        "-p",
        "gpu_count=2",
        "-p",
        "gpu_cpu=8",
        "-p",
        'gpu_node_selector={"pool": "l4"}',
        "--set",
        "train.epochs=3",
    )
    run_id = one.stdout.strip()
    assert one.returncode == 0, one.stderr
    given = kfp.runs[run_id]["runtime_config"]["parameters"]
    assert (given["gpu_count"], given["gpu_node_selector"], given["overrides"]) == (
        "2",
        {"pool": "l4"},
        "train.epochs=3",
    )
    assert given["gpu_cpu"] == "8"
    assert given["claim"] == "submit/monday"
    again = ask(*told)
    assert again.stdout.strip() == run_id
    assert "there already" in again.stderr
    assert len(kfp.runs) == 1
    assert ask("status", run_id, *where).stdout == "running\tmonday\n"
    kfp.refuse = [0, 503]
    ends = threading.Thread(target=lambda: (wait_until(lambda: not kfp.refuse, 60), kfp.end(run_id, "SUCCEEDED")))
    ends.start()
    refused = ask("status", run_id, *where, "--wait")
    assert (refused.returncode, refused.stdout) == (3, "refused\tmonday\n")
    assert "Asking again." in refused.stderr
    assert ask("cancel", run_id, *where).returncode == 0


def test_a_wrong_parameter_starts_nothing(kfp, pipeline_file):
    wrong = ask("submit", "--data", "d", "--endpoint", kfp.endpoint, "--pipeline", str(pipeline_file), "-p", "gpus=1")
    assert wrong.returncode == 2
    assert re.match(r"error: The pipeline has no parameter gpus; it has .*gpu_count", wrong.stderr)
    assert not kfp.runs
    assert not kfp.experiments
