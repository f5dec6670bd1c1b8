"""The once-per-cluster manifests: every overlay builds, a real API server takes it, and what it forbids is refused."""

import subprocess
from pathlib import Path

import pytest
import yaml
from kubernetes import client

MANIFESTS = Path(__file__).parents[2] / "manifests"
OVERLAYS = sorted(path.name for path in (MANIFESTS / "overlays").iterdir())
KUEUE = "sigs.k8s.io/kueue@v0.14.5"
CRDS = [f"config/components/crd/bases/kueue.x-k8s.io_{kind}.yaml" for kind in ("clusterqueues", "localqueues")]
CRDS.append("config/components/crd/bases/kueue.x-k8s.io_resourceflavors.yaml")


def build(overlay):
    done = subprocess.run(
        ["kustomize", "build", str(MANIFESTS / "overlays" / overlay)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(done.stdout)}


def test_there_are_the_overlays_that_the_readme_names():
    assert OVERLAYS == ["dev", "kind", "prod"]
    words = (MANIFESTS / "README.md").read_text()
    assert all(f"`overlays/{name}`" in words for name in OVERLAYS)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_quota_and_the_queue_give_the_same_gpus(overlay):
    objects = build(overlay)
    quota = objects["ResourceQuota", "stage1"]["spec"]["hard"]
    queue = objects.get(("ClusterQueue", "stage1"))
    assert (queue is None) == (overlay == "kind")
    if queue is None:
        assert quota["requests.nvidia.com/gpu"] == "0"
        return
    (group,) = queue["spec"]["resourceGroups"]
    flavours = {each["name"]: {r["name"]: r["nominalQuota"] for r in each["resources"]} for each in group["flavors"]}
    assert flavours["stage1-gpu"]["nvidia.com/gpu"] == quota["requests.nvidia.com/gpu"]
    assert flavours["stage1-cpu"]["nvidia.com/gpu"] == "0"
    assert sum(int(each["cpu"]) for each in flavours.values()) == int(quota["requests.cpu"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_launcher_names_a_secret_that_the_tasks_read_too(overlay):
    providers = yaml.safe_load(build(overlay)["ConfigMap", "kfp-launcher"]["data"]["providers"])
    reference = providers["s3"]["default"]["credentials"]["secretRef"]
    from pipelines.pipeline import pipeline

    assert reference["secretName"] == pipeline.component_spec.inputs["storage_secret"].default
    assert reference["accessKeyKey"] == "AWS_ACCESS_KEY_ID"


@pytest.fixture(scope="module", params=OVERLAYS)
def applied(kubernetes, request):
    for path in CRDS:
        kubernetes.install(KUEUE, path)
    objects = build(request.param)
    in_order = sorted(objects.values(), key=lambda each: each["kind"] != "Namespace")
    kubernetes.apply(in_order)
    kubernetes.apply(in_order)  # applying again changes nothing
    return objects


@pytest.mark.cluster
@pytest.mark.xdist_group("apiserver")
def test_the_server_takes_every_object(applied, kubernetes):
    labels = kubernetes.core.read_namespace("stage1").metadata.labels
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    policies = client.NetworkingV1Api(kubernetes.api()).list_namespaced_network_policy("stage1").items
    assert {each.metadata.name for each in policies} == {
        "default-deny", "allow-dns", "allow-runs", "allow-between-runs"
    }  # fmt: skip
    if ("LocalQueue", "stage1") in applied:
        custom = client.CustomObjectsApi(kubernetes.api())
        queue = custom.get_namespaced_custom_object("kueue.x-k8s.io", "v1beta1", "stage1", "localqueues", "stage1")
        assert queue["spec"]["clusterQueue"] == "stage1"


@pytest.mark.cluster
@pytest.mark.xdist_group("apiserver")
@pytest.mark.usefixtures("applied")
def test_a_privileged_pod_is_refused_and_a_silent_one_gets_limits(kubernetes):
    container = {"name": "main", "image": "i", "securityContext": {"privileged": True}}
    with pytest.raises(client.ApiException) as told:
        kubernetes.core.create_namespaced_pod(
            "stage1", {"metadata": {"name": "bad"}, "spec": {"containers": [container]}}
        )
    assert "violates PodSecurity" in told.value.body
    container["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    spec = {
        "containers": [container],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    kubernetes.core.delete_namespaced_resource_quota("stage1", "stage1")  # no controller fills its status here
    made = kubernetes.core.create_namespaced_pod("stage1", {"metadata": {"generateName": "good-"}, "spec": spec})
    assert made.spec.containers[0].resources.limits == {"cpu": "1", "memory": "1Gi"}
