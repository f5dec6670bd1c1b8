"""The chart: what it renders, what it refuses, and that a real API server takes all of it in a restricted namespace."""

import copy
import json
import subprocess

import pytest
import yaml
from kubernetes import client

from pipelines.kubeflow import check_arguments
from pipelines.ledger import Request
from tests.cluster.chart_readme import CHART, readme, rows

CI = sorted((CHART / "ci").glob("*-values.yaml"))
MINIMAL = yaml.safe_load((CHART / "ci" / "minimal-values.yaml").read_text())

EXTERNAL_SECRETS = "config/crds/bases/external-secrets.io_externalsecrets.yaml"
needs_server = [pytest.mark.cluster, pytest.mark.xdist_group("apiserver")]


def helm(*arguments, **options):
    return subprocess.run(["helm", *arguments], capture_output=True, text=True, check=False, timeout=60, **options)


def render(values, name="roads", tmp_path=None, *more):
    """Return the objects of a release by (kind, name)."""
    done = helm(
        "template", name, str(CHART), "-n", "models", "--kube-version", "1.33.0", "-f", "-", *more,
        input=yaml.safe_dump(values),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [each for each in yaml.safe_load_all(done.stdout) if each]
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def changed(**paths):
    values = copy.deepcopy(MINIMAL)
    for path, value in paths.items():
        at = values
        *front, last = path.split("__")
        for name in front:
            at = at.setdefault(name, {})
        at[last] = value
    return values


def request_of(objects):
    (found,) = (each for (kind, _), each in objects.items() if kind == "ConfigMap")
    return json.loads(found["data"]["request.json"])


def job_of(objects):
    (found,) = (each for (kind, _), each in objects.items() if kind == "Job")
    return found


def pods(objects):
    """Return the pod of everything that starts one."""
    found = {}
    for (kind, name), each in objects.items():
        if kind == "Job":
            found[name] = each["spec"]["template"]["spec"]
        elif kind == "CronJob":
            found[name] = each["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        elif kind == "Pod":
            found[name] = each["spec"]
    return found


@pytest.mark.parametrize("file", CI, ids=lambda path: path.stem)
def test_every_example_passes_the_strict_linter(file):
    done = helm("lint", "--strict", str(CHART), "-f", str(file), "--kube-version", "1.33.0")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", CI, ids=lambda path: path.stem)
def test_the_request_is_what_the_submitter_reads(file, package):
    request = Request.model_validate(request_of(render(yaml.safe_load(file.read_text()))))
    check_arguments(package, request.arguments)


def test_the_arguments_are_the_values():
    values = yaml.safe_load((CHART / "ci" / "everything-values.yaml").read_text())
    request = request_of(render(values))
    arguments = request["arguments"]
    assert arguments["overrides"] == "train.seed=3\ncalibrate.exit_policy=softmax"
    assert arguments["config"] == "train:\n  epochs: 30\n"
    assert (arguments["seed"], arguments["gpu_count"], arguments["channel"]) == (7, "4", "roads-eu")
    assert arguments["gpu_tolerations"] == values["pools"]["gpu"]["tolerations"]
    assert arguments["gpu_affinity"] == values["pools"]["gpu"]["affinity"]
    assert (request["experiment"], request["account"], request["max_attempts"]) == ("roads", "pipeline-runner", 5)
    assert request["superseded"] == "cancel"


@pytest.mark.parametrize(
    "change",
    [
        {"training__data": "s3://scenes/2026-12"},
        {"training__preset": "demo"},
        {"training__overrides": ["train.epochs=3"]},
        {"training__seed": 4},
        {"training__channel": "beta"},
        {"training__generation": 1},
        {"training__config": "train: {epochs: 2}"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_training_value_is_another_training(change):
    before, after = render(MINIMAL), render(changed(**change))
    assert request_of(before)["hash"] != request_of(after)["hash"]
    assert job_of(before)["metadata"]["name"] != job_of(after)["metadata"]["name"]


@pytest.mark.parametrize(
    "change",
    [
        {"pools__gpu__count": 2},
        {"image__digest": "sha256:" + "1" * 64},
        {"retrain__maxAttempts": 5},
        {"retrain__checkpoints": "s3://elsewhere/states"},
        {"kubeflow__endpoint": "http://elsewhere:8888"},
        {"watch__schedule": "0 * * * *"},
        {"resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}},
        {"commonLabels": {"team": "roads"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_other_value_is_not(change):
    assert request_of(render(MINIMAL))["hash"] == request_of(render(changed(**change)))["hash"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "s3://models/states"),
        ({"training__store": "s3://models/roads/"}, "s3://models/roads/states"),
        ({"retrain__checkpoints": "s3://scratch/x"}, "s3://scratch/x"),
    ],
)
def test_a_run_that_loses_its_node_finds_its_checkpoints(change, expected):
    assert request_of(render(changed(**change)))["arguments"]["checkpoints"] == expected


def test_a_new_chart_version_is_not(tmp_path):
    newer = tmp_path / "chart"
    subprocess.run(["cp", "-r", str(CHART), str(newer)], check=True)
    chart = newer / "Chart.yaml"
    chart.write_text(chart.read_text().replace("ersion: 0.1.0", "ersion: 9.9.9"))
    done = helm("template", "roads", str(newer), "--kube-version", "1.33.0", "-f", "-", input=yaml.safe_dump(MINIMAL))
    found = [each for each in yaml.safe_load_all(done.stdout) if each and each["kind"] == "Job"]
    assert [each["metadata"]["name"] for each in found] == [job_of(render(MINIMAL))["metadata"]["name"]]


def test_a_pod_that_changes_is_another_job_of_the_same_training():
    """A Job's pods cannot be changed in place; the ledger keeps the second Job from submitting."""
    before, after = (job_of(render(values)) for values in (MINIMAL, changed(image__digest="sha256:" + "1" * 64)))
    assert before["metadata"]["name"] != after["metadata"]["name"]
    assert before["metadata"]["name"].rsplit("-", 1)[0] == after["metadata"]["name"].rsplit("-", 1)[0]


def test_rendering_twice_gives_the_same():
    assert render(MINIMAL) == render(MINIMAL)


def test_names_stay_legal_for_the_longest_release():
    objects = render(MINIMAL, "r" * 53)
    for kind, name in objects:
        assert len(name) <= (52 if kind == "CronJob" else 63), (kind, name)
    request = Request.model_validate(request_of(objects))
    assert len(request.config_map) <= 253


@pytest.mark.parametrize(
    "change",
    [
        {"training__data": ""},
        {"training__data": "/home/me/scenes"},
        {"training__data": "s3://UPPER/x"},
        {"training__preset": "huge"},
        {"training__store": "models"},
        {"retrain__checkpoints": "states"},
        {"training__seed": -2},
        {"training__seed": "3"},
        {"training__generation": -1},
        {"training__overrides": "train.epochs=3"},
        {"training__overrides": ["epochs"]},
        {"training__epochs": 3},
        {"training__channel": "Has Spaces"},
        {"retrain__maxAttempts": 0},
        {"retrain__superseded": "kill"},
        {"watch__schedule": "often"},
        {"kubeflow__endpoint": "kubeflow:8888"},
        {"pools__gpu__resource": "gpu"},
        {"pools__gpu__count": 0},
        {"pools__gpu__memory": "32 GB"},
        {"pools__gpu__tolerations": [{"effect": "Never"}]},
        {"pools__gpu__affinity": {"matchExpressions": []}},
        {"image__repository": ""},
        {"image__digest": "sha256:abc"},
        {"image__tag": "latest"},
        {"externalSecrets": {"enabled": True}},
        {"networkPolicy__apiServerPorts": [70000]},
        {"trainign": {}},
    ],
    ids=lambda change: f"{next(iter(change))}={next(iter(change.values()))!r}",
)
def test_nonsense_is_refused_before_anything_is_made(change):
    done = helm(
        "template", "roads", str(CHART), "--kube-version", "1.33.0", "-f", "-", input=yaml.safe_dump(changed(**change))
    )
    assert done.returncode != 0
    assert "values don't meet the specifications of the schema" in done.stderr
    assert next(iter(change)).split("__")[-1] in done.stderr, "the field is named"


def test_values_are_documented_and_the_readme_is_current():
    found, silent = rows((CHART / "values.yaml").read_text())
    assert silent == []
    assert len(found) > 40
    assert (CHART / "README.md").read_text() == readme()  # python -m tests.cluster.chart_readme


def test_every_pod_is_restricted_and_bounded():
    for file in CI:
        for name, pod in pods(render(yaml.safe_load(file.read_text()))).items():
            (container,) = pod["containers"]
            assert pod["securityContext"]["runAsNonRoot"] is True, name
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["resources"]["limits"]["memory"]
            assert next(volume for volume in pod["volumes"] if "emptyDir" in volume)["emptyDir"]["sizeLimit"]


def test_there_are_no_hooks_but_the_test():
    objects = render(yaml.safe_load((CHART / "ci" / "everything-values.yaml").read_text()))
    hooks = {name for (_, name), each in objects.items() if "helm.sh/hook" in each["metadata"].get("annotations", {})}
    assert hooks == {"roads-test"}


def test_the_network_is_closed_but_for_what_is_needed():
    objects = render(yaml.safe_load((CHART / "ci" / "everything-values.yaml").read_text()))
    spec = objects["NetworkPolicy", "roads-submit"]["spec"]
    assert spec["ingress"] == []
    ports = [port["port"] for rule in spec["egress"] for port in rule["ports"]]
    assert ports == [53, 53, 443, 6443, 8443]
    plain = render(changed(kubeflow__endpoint="http://kfp"))["NetworkPolicy", "roads-submit"]["spec"]["egress"]
    assert plain[-1]["ports"] == [{"protocol": "TCP", "port": 80}]


class TestOnAServer:
    """Against the real API server, in a namespace that enforces Pod Security `restricted`."""

    pytestmark = needs_server

    @pytest.fixture
    def restricted(self, kubernetes):
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        made = kubernetes.core.create_namespace({"metadata": {"generateName": "models-", "labels": labels}})
        yield made.metadata.name
        kubernetes.core.delete_namespace(made.metadata.name)

    def apply(self, kubernetes, namespace, values):
        done = helm(
            "template", "roads", str(CHART), "-n", namespace, "--kube-version", "1.33.0", "-f", "-",
            input=yaml.safe_dump(values),
        )  # fmt: skip
        objects = [each for each in yaml.safe_load_all(done.stdout) if each]
        kubernetes.apply(objects)
        return objects

    @pytest.mark.parametrize("file", CI, ids=lambda path: path.stem)
    def test_the_server_takes_every_object_and_every_pod(self, kubernetes, restricted, file):
        kubernetes.install("github.com/external-secrets/external-secrets@v1.3.2", EXTERNAL_SECRETS)
        values = yaml.safe_load(file.read_text())
        self.apply(kubernetes, restricted, values)
        self.apply(kubernetes, restricted, values)
        for number, pod in enumerate(pods(render(values)).values()):
            body = {"metadata": {"name": f"pod-{number}"}, "spec": pod}
            kubernetes.core.create_namespaced_pod(restricted, body)

    def test_a_pod_that_breaks_restricted_is_refused(self, kubernetes, restricted):
        (pod, *_) = pods(render(MINIMAL)).values()
        for change in ({"runAsNonRoot": False}, {"runAsUser": 0}):
            broken = {**pod, "securityContext": {**pod["securityContext"], **change}}
            with pytest.raises(client.ApiException) as told:
                kubernetes.core.create_namespaced_pod(restricted, {"metadata": {"name": "bad"}, "spec": broken})
            assert told.value.status == 403
            assert "violates PodSecurity" in told.value.body

    def test_accounts_may_what_they_need_and_no_more(self, kubernetes, restricted):
        self.apply(kubernetes, restricted, MINIMAL)
        ledger = Request.model_validate(request_of(render(MINIMAL))).config_map
        reviews = client.AuthorizationV1Api(kubernetes.api())

        def may(account, verb, resource, name="", namespace=restricted, group=""):
            spec = {
                "user": f"system:serviceaccount:{restricted}:roads-{account}",
                "groups": ["system:serviceaccounts", f"system:serviceaccounts:{restricted}", "system:authenticated"],
                "resourceAttributes": {
                    "verb": verb, "resource": resource, "name": name, "namespace": namespace, "group": group
                },
            }  # fmt: skip
            return reviews.create_subject_access_review({"spec": spec}).status.allowed

        assert may("retrain", "create", "configmaps")
        assert may("retrain", "get", "configmaps", ledger)
        assert may("retrain", "update", "configmaps", ledger)
        assert may("watch", "list", "configmaps")
        assert may("watch", "get", "configmaps", ledger)
        assert may("watch", "update", "configmaps", ledger)
        assert may("watch", "list", "pods")
        assert may("watch", "create", "events")
        refused = [
            ("get", "secrets", "stage1-storage", restricted, ""),
            ("list", "secrets", "", restricted, ""),
            ("create", "pods", "", restricted, ""),
            ("delete", "configmaps", ledger, restricted, ""),
            ("patch", "configmaps", "kube-root-ca.crt", restricted, ""),
            ("create", "pods/exec", "", restricted, ""),
            ("create", "serviceaccounts/token", "", restricted, ""),
            ("create", "jobs", "", restricted, "batch"),
            ("create", "rolebindings", "", restricted, "rbac.authorization.k8s.io"),
            ("get", "configmaps", ledger, "kube-system", ""),
            ("list", "namespaces", "", "", ""),
            ("list", "nodes", "", "", ""),
        ]
        for account in ("retrain", "watch"):
            for verb, resource, name, namespace, group in refused:
                assert not may(account, verb, resource, name, namespace, group), (account, verb, resource)
        assert not may("retrain", "get", "configmaps", "another")
        assert not may("retrain", "update", "configmaps", "another")
        assert not may("retrain", "list", "configmaps")
        assert not may("retrain", "list", "pods")
        assert not may("watch", "create", "configmaps")

    def test_the_submitter_works_with_its_accounts_token_alone(self, kubernetes, restricted, kubeflow, package, kfp):
        """The chart's request, its account's token, its Role: one run, and the watcher's token ends it."""
        from pipelines.ledger import Ledger
        from pipelines.retrain import retrain
        from pipelines.watch import Watcher

        self.apply(kubernetes, restricted, MINIMAL)
        request = Request.model_validate(request_of(render(MINIMAL)))

        def ledger(account):
            token = kubernetes.core.create_namespaced_service_account_token(account, restricted, {"spec": {}})
            return Ledger(client.CoreV1Api(kubernetes.api(token.status.token)), restricted)

        for holder in ("one", "two"):
            retrain(request, package, kubeflow, ledger("roads-retrain"), holder=holder, tell=lambda _: None)
        (run_id,) = kfp.runs
        kfp.end(run_id, "SUCCEEDED", promoted=True)
        Watcher(package, kubeflow, ledger("roads-watch"), "w", lambda _: None).look(request.name)
        assert ledger("roads-watch").read(request).entry.last.end == "promoted"
