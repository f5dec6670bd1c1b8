"""Retraining once: a real API server keeps the ledger, a stand-in with faults keeps the runs."""

import json
import threading
import time

import pytest
from kubernetes import client

from pipelines.kubeflow import Kubeflow
from pipelines.ledger import Attempt, Entry, Ledger
from pipelines.preview import preview
from pipelines.retrain import retrain
from pipelines.watch import Watcher
from stage1.errors import BadInput, NoAnswer
from tests.cluster.test_kubeflow import ask
from tests.servers.kubeflow import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("apiserver")]


def quietly(_):
    """Hear nothing."""


def submit(wanted, package, kubeflow, ledger, holder="pod-1", **options):
    return retrain(wanted, package, kubeflow, ledger, holder=holder, tell=quietly, **options)


def look(wanted, package, kubeflow, ledger):
    Watcher(package, kubeflow, ledger, "watcher", quietly).look(wanted.name)


def attempts(ledger, wanted):
    return [(each.number, each.end) for each in ledger.read(wanted).entry.attempts]


def events(kubernetes, namespace):
    found = kubernetes.core.list_namespaced_event(namespace).items
    return [(event.type, event.reason, event.involved_object.name) for event in found]


def test_values_are_trained_once_however_often_they_are_synced(kfp, kubeflow, package, ledger, wanted):
    for number in range(4):
        attempt = submit(wanted, package, kubeflow, ledger, f"pod-{number}")
    (run_id,) = kfp.runs
    assert (attempt.run, attempt.number, attempt.end) == (run_id, 1, "")
    parameters = kfp.runs[run_id]["runtime_config"]["parameters"]
    assert parameters == {**wanted.arguments, "claim": "roads/0123abcd/1"}
    assert kfp.runs[run_id]["display_name"] == "roads-0123abcd-1"


def test_twenty_at_once_start_one_run(kfp, package, kubernetes, namespace, wanted):
    found, start = [], threading.Barrier(20)

    def one(number):
        ledger = Ledger(kubernetes.core, namespace)
        start.wait()
        found.append(submit(wanted, package, Kubeflow(kfp.endpoint), ledger, f"pod-{number}").run)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert {*found} == {*kfp.runs}
    assert (kfp.creates, len(kfp.runs)) == (1, 1)


def test_other_values_are_another_run_and_old_ones_none(kfp, kubeflow, package, ledger, wanted):
    newer = wanted.model_copy(update={"hash": "ffff0000", "arguments": {"data": "s3://scenes/v2"}})
    for values in (wanted, newer, wanted):
        submit(values, package, kubeflow, ledger)
    assert [run["display_name"] for run in kfp.runs.values()] == ["roads-0123abcd-1", "roads-ffff0000-1"]
    assert {run["state"] for run in kfp.runs.values()} == {"PENDING"}, "older runs may finish"


def test_newer_values_may_cancel_older_runs(kfp, kubeflow, package, ledger, wanted):
    submit(wanted, package, kubeflow, ledger)
    newer = wanted.model_copy(update={"hash": "ffff0000", "superseded": "cancel"})
    submit(newer, package, kubeflow, ledger)
    assert [run["state"] for run in kfp.runs.values()] == ["CANCELED", "PENDING"]
    look(wanted, package, kubeflow, ledger)
    assert attempts(ledger, wanted) == [(1, "cancelled")]
    look(wanted, package, kubeflow, ledger)
    assert len(kfp.runs) == 2, "what was cancelled is not tried again"


class Killed(Exception):
    """The process is gone."""


def killed_at(monkeypatch, step):
    """Let the submitter die right before, or right after, its n-th request."""
    seen = []

    def dying(function):
        def asked(self, *arguments, **options):
            seen.append(function.__name__)
            if len(seen) * 2 - 1 == step:
                raise Killed
            answer = function(self, *arguments, **options)
            if len(seen) * 2 == step:
                raise Killed
            return answer

        return asked

    for kind, names in ((Ledger, ("create", "read", "replace")), (Kubeflow, ("named", "submit"))):
        for name in names:
            monkeypatch.setattr(kind, name, dying(getattr(kind, name)))


@pytest.mark.parametrize("step", range(1, 13))
def test_a_submitter_killed_at_any_step_is_followed_by_one_run(
    kfp, kubeflow, package, ledger, wanted, monkeypatch, step
):
    with monkeypatch.context() as patch:
        killed_at(patch, step)
        # create, read, named, submit, replace and a last read, each before and after
        with pytest.raises(Killed):
            submit(wanted, package, kubeflow, ledger)
    attempt = submit(wanted, package, kubeflow, ledger, "pod-2", lease_s=0.2)
    assert [*kfp.runs] == [attempt.run]


def test_nothing_dies_after_the_last_request(kubeflow, package, ledger, wanted, monkeypatch):
    """The steps above are all that there are."""
    killed_at(monkeypatch, 13)
    assert submit(wanted, package, kubeflow, ledger).run


def test_a_live_submitter_is_waited_for(kfp, kubeflow, package, ledger, wanted):
    entry = Entry(request=wanted, attempts=(Attempt(number=1, holder="slow", since=time.time()),))
    assert ledger.create(entry)

    def finish():
        submit(wanted, package, Kubeflow(kfp.endpoint), ledger, "slow")

    timer = threading.Timer(1.0, finish)
    timer.start()
    found = submit(wanted, package, kubeflow, ledger, "quick", lease_s=30)
    timer.join()
    assert found.holder == "slow"
    assert kfp.creates == 1


def test_a_lost_answer_may_leave_two_runs_and_the_working_one_decides(
    kfp, kubeflow, package, ledger, wanted, kubernetes, namespace
):
    kfp.lose_answers, kfp.late_s = 1, 1.0
    with pytest.raises(NoAnswer, match="could not be reached to start run"):
        submit(wanted, package, kubeflow, ledger)
    second = submit(wanted, package, kubeflow, ledger).run  # before the first lands
    wait_until(lambda: len(kfp.runs) == 2)
    (first,) = set(kfp.runs) - {second}
    assert {run["runtime_config"]["parameters"]["claim"] for run in kfp.runs.values()} == {"roads/0123abcd/1"}
    kfp.end(second, "FAILED", message=f"Run {first} trains this already (retrain/roads/0123abcd/1.json in s3://m)")
    look(wanted, package, kubeflow, ledger)
    assert attempts(ledger, wanted) == [(1, "")], "the other one works"
    kfp.end(first, "SUCCEEDED", promoted=True)
    look(wanted, package, kubeflow, ledger)
    assert attempts(ledger, wanted) == [(1, "promoted")]
    assert ledger.read(wanted).entry.last.run == first
    assert events(kubernetes, namespace) == [("Normal", "Promoted", "stage1-retrain-roads-0123abcd")]


def test_a_lost_answer_that_landed_is_found_by_its_name(kfp, kubeflow, package, ledger, wanted):
    kfp.lose_answers = 1
    with pytest.raises(NoAnswer):
        submit(wanted, package, kubeflow, ledger)
    wait_until(lambda: len(kfp.runs) == 1)
    assert [submit(wanted, package, kubeflow, ledger).run] == [*kfp.runs]
    assert kfp.creates == 1


@pytest.mark.parametrize(
    ("state", "promoted", "end", "kind"),
    [
        ("SUCCEEDED", True, "promoted", "Normal"),
        ("SUCCEEDED", False, "refused", "Warning"),
        ("FAILED", False, "failed", "Warning"),
    ],
)
def test_an_end_is_mirrored_once_and_final(
    kfp, kubeflow, package, ledger, wanted, kubernetes, namespace, state, promoted, end, kind
):
    run_id = submit(wanted, package, kubeflow, ledger).run
    look(wanted, package, kubeflow, ledger)
    assert attempts(ledger, wanted) == [(1, "")]
    kfp.end(run_id, state, promoted=promoted, message="exit code 1" if end == "failed" else "")
    for _ in range(3):
        look(wanted, package, kubeflow, ledger)
    assert attempts(ledger, wanted) == [(1, end)]
    assert events(kubernetes, namespace) == [(kind, end.capitalize(), "stage1-retrain-roads-0123abcd")]
    assert submit(wanted, package, kubeflow, ledger).end == end
    assert len(kfp.runs) == 1


def pod_of(kubernetes, namespace, run_id, **status):
    name = f"train-{len(kubernetes.core.list_namespaced_pod(namespace).items)}"
    body = {
        "metadata": {"name": name, "labels": {"pipeline/runid": run_id}},
        "spec": {"containers": [{"name": "main", "image": "i"}], "automountServiceAccountToken": False},
    }
    kubernetes.core.create_namespaced_pod(namespace, body)
    kubernetes.core.patch_namespaced_pod_status(name, namespace, {"status": status})


DISRUPTED = {
    "phase": "Failed",
    "conditions": [{"type": "DisruptionTarget", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
}


@pytest.mark.parametrize("status", [DISRUPTED, {"phase": "Failed", "reason": "Evicted"}], ids=["disrupted", "evicted"])
def test_what_the_cluster_took_away_is_tried_again_a_few_times(
    kfp, kubeflow, package, ledger, wanted, kubernetes, namespace, status
):
    submit(wanted, package, kubeflow, ledger)
    for number in (1, 2, 3):
        run_id = [*kfp.runs][-1]
        pod_of(kubernetes, namespace, run_id, **status)
        kfp.end(run_id, "FAILED", message="main: Error (exit code 137)")
        look(wanted, package, kubeflow, ledger)
        assert len(kfp.runs) == min(number + 1, 3)
    look(wanted, package, kubeflow, ledger)
    assert attempts(ledger, wanted) == [(1, "interrupted"), (2, "interrupted"), (3, "interrupted")]
    assert [run["display_name"] for run in kfp.runs.values()] == [f"roads-0123abcd-{n}" for n in (1, 2, 3)]


def test_a_pod_that_failed_by_itself_is_final(kfp, kubeflow, package, ledger, wanted, kubernetes, namespace):
    run_id = submit(wanted, package, kubeflow, ledger).run
    pod_of(kubernetes, namespace, run_id, phase="Failed", reason="Error")
    pod_of(kubernetes, namespace, "another-run", **DISRUPTED)
    kfp.end(run_id, "FAILED", message="exit code 2")
    look(wanted, package, kubeflow, ledger)
    assert attempts(ledger, wanted) == [(1, "failed")]


def test_a_deleted_pod_is_told_by_kubeflow_alone(kfp, kubeflow, package, ledger, wanted):
    run_id = submit(wanted, package, kubeflow, ledger).run
    kfp.end(run_id, "FAILED", message="task train: pod deleted")
    look(wanted, package, kubeflow, ledger)
    assert attempts(ledger, wanted) == [(1, "interrupted"), (2, "")]


def test_the_watcher_adopts_what_a_dead_submitter_left(kfp, kubeflow, package, ledger, wanted):
    long_ago = Attempt(number=1, holder="dead", since=time.time() - 3600)
    assert ledger.create(Entry(request=wanted, attempts=(long_ago,)))
    look(wanted, package, kubeflow, ledger)
    assert ledger.read(wanted).entry.last.run in kfp.runs


def test_the_watcher_goes_on_where_it_died_between_two_attempts(kfp, kubeflow, package, ledger, wanted):
    ended = Attempt(number=1, holder="pod", since=0, run="gone", end="interrupted")
    assert ledger.create(Entry(request=wanted, attempts=(ended,)))
    look(wanted, package, kubeflow, ledger)
    assert attempts(ledger, wanted) == [(1, "interrupted"), (2, "")]
    assert len(kfp.runs) == 1


def test_a_run_that_kubeflow_forgot_has_failed(kubeflow, package, ledger, wanted):
    assert ledger.create(Entry(request=wanted, attempts=(Attempt(number=1, holder="pod", since=0, run="gone"),)))
    look(wanted, package, kubeflow, ledger)
    assert ledger.read(wanted).entry.last.message == "KFP knows no such run any more."


def test_of_two_writers_one_is_told(ledger, wanted):
    entry = Entry(request=wanted, attempts=(Attempt(number=1, holder="pod", since=0),))
    assert ledger.create(entry)
    assert not ledger.create(entry)
    read = ledger.read(wanted)
    assert ledger.replace(read, entry.with_last(holder="a"))
    assert not ledger.replace(read, entry.with_last(holder="b"))
    assert ledger.read(wanted).entry.last.holder == "a"


def test_a_spoilt_entry_is_named(kubernetes, namespace, ledger, wanted):
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name=wanted.config_map), data={"ledger.json": "{}"})
    kubernetes.core.create_namespaced_config_map(namespace, body)
    with pytest.raises(BadInput, match="ConfigMap stage1-retrain-roads-0123abcd is no ledger entry"):
        ledger.read(wanted)


def test_an_account_that_may_not_is_told(kubernetes, namespace, wanted):
    account = {"metadata": {"name": "nobody"}}
    kubernetes.core.create_namespaced_service_account(namespace, account)
    token = kubernetes.core.create_namespaced_service_account_token("nobody", namespace, {"spec": {}}).status.token
    stranger = Ledger(client.CoreV1Api(kubernetes.api(token)), namespace)
    with pytest.raises(BadInput, match=r"does not let this account read a ledger entry: .*nobody.* cannot get"):
        stranger.read(wanted)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": "Not Allowed"}, "name"),
        ({"hash": "xyz"}, "hash"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"superseded": "kill"}, "superseded"),
        ({"more": 1}, "more"),
        ({"arguments": {"gpus": 1}}, "no parameter gpus"),
    ],
)
def test_a_wrong_request_is_refused_by_its_field(tmp_path, wanted, pipeline_file, changed, field):
    (tmp_path / "r.json").write_text(json.dumps({**wanted.model_dump(), **changed}))
    told = ask(
        "retrain", "--request", str(tmp_path / "r.json"), "--endpoint", "http://k", "--pipeline", str(pipeline_file)
    )
    assert told.returncode == 2
    assert field in told.stderr
    assert "Traceback" not in told.stderr


def test_a_review_sees_what_changed_and_what_the_last_run_took(kfp, kubeflow, package, ledger, wanted):
    before = {**wanted.arguments, "overrides": "train.epochs=3\ntrain.batch_size=64", "gpu_count": "1"}
    first = wanted.model_copy(update={"arguments": before})
    assert list(preview(first, kubeflow, ledger)) == [
        "stage1-retrain-roads-0123abcd: these values would train",
        "they are the first of roads",
    ]
    run = submit(first, package, kubeflow, ledger).run
    after = {**before, "preset": "full", "overrides": "train.epochs=5\ntrain.batch_size=64", "gpu_count": "2"}
    second = wanted.model_copy(update={"arguments": after, "hash": "4567cdef"})
    expected = [
        "stage1-retrain-roads-4567cdef: these values would train",
        "against 0123abcd, not ended:",
        '  gpu_count: "1" -> "2"',
        "  overrides:",
        "    - train.epochs=3",
        "    + train.epochs=5",
        f'  preset: {json.dumps(before["preset"]) if before.get("preset") else "nothing"} -> "full"',
    ]
    assert list(preview(second, kubeflow, ledger)) == expected
    kfp.end(run, "SUCCEEDED", promoted=True, hours=3)
    look(first, package, kubeflow, ledger)
    expected[1] = "against 0123abcd, promoted:"
    cost = "about 6.0 GPU-hours: roads-0123abcd-1 took 3.0 h, 2 asked for here"
    assert list(preview(second, kubeflow, ledger)) == [*expected, cost]
    del kfp.runs[run]
    assert list(preview(second, kubeflow, ledger)) == expected, "a run that the server forgot has no length"


def test_from_a_shell(kfp, kubernetes, namespace, request_file, pipeline_file, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    where = ("--endpoint", kfp.endpoint, "--pipeline", str(pipeline_file), "--ledger-namespace", namespace)
    told = ("retrain", "--request", str(request_file), *where)
    assert "these values would train" in ask(*told, "--dry-run").stdout
    assert not kfp.runs
    done = ask(*told)
    assert done.returncode == 0, done.stderr
    (run_id,) = kfp.runs
    assert f"attempt 1 submitted as run {run_id}" in done.stdout
    assert "attempt 1 is known: nothing would train" in ask(*told, "--dry-run").stdout
    kfp.end(run_id, "SUCCEEDED", promoted=True)
    assert ask("watch", "--name", "roads", *where).stdout == f"stage1-retrain-roads-0123abcd: run {run_id} promoted\n"
