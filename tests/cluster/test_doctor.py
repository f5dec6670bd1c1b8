"""What is ready is said, what is not comes with what to do, and one server that is away hides nothing of the others."""

import pytest

from pipelines.doctor import Doctor
from pipelines.kubeflow import Kubeflow
from tests.cluster.test_kubeflow import ask
from tests.cluster.test_manifests import CRDS, KUEUE

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("apiserver")]


@pytest.fixture
def restricted(kubernetes):
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    made = kubernetes.core.create_namespace({"metadata": {"generateName": "ready-", "labels": labels}}).metadata.name
    yield made
    kubernetes.core.delete_namespace(made)


@pytest.fixture
def node(kubernetes):
    made = kubernetes.core.create_node({"metadata": {"generateName": "node-"}}).metadata.name
    status = {"allocatable": {"nvidia.com/gpu": "4", "cpu": "8"}, "capacity": {"nvidia.com/gpu": "4", "cpu": "8"}}
    kubernetes.core.patch_node_status(made, {"status": status})
    yield made
    kubernetes.core.delete_node(made)


def told(doctor):
    return {each.name: each for each in doctor.findings()}


def test_a_ready_cluster(kubernetes, kubeflow, restricted, node, tmp_path):
    for path in CRDS:
        kubernetes.install(KUEUE, path)
    kubernetes.apply(
        [
            {
                "apiVersion": "kueue.x-k8s.io/v1beta1",
                "kind": "LocalQueue",
                "metadata": {"name": "team", "namespace": restricted},
                "spec": {"clusterQueue": "all"},
            }
        ]
    )
    found = told(Doctor(kubeflow, kubernetes.api(), restricted, queue="team", store=str(tmp_path)))
    assert [*found] == ["kubeflow", "namespace", "pod security", "rights", "accelerators", "queue", "store"]
    assert {name: each.fix for name, each in found.items() if not each.ready or each.fix} == {}
    assert found["accelerators"].seen == "4 nvidia.com/gpu on 1 of 1 nodes"
    assert found["kubeflow"].seen == "answers, in single-user mode"
    assert found["queue"].seen == "team feeds all"
    assert kubernetes.core.list_namespaced_pod(restricted).items == []


def test_an_empty_cluster_is_told_what_to_do(kubernetes, kfp, namespace):
    kfp.multi_user = True
    found = told(Doctor(Kubeflow(kfp.endpoint), kubernetes.api(), namespace, queue="none"))
    assert {name for name, each in found.items() if not each.ready} == {
        "kubeflow", "namespace", "accelerators", "queue"
    }  # fmt: skip
    assert all(each.fix for each in found.values() if not each.ready)
    assert "--namespace" in found["kubeflow"].fix
    assert "enforces Pod Security 'none'" in found["namespace"].seen
    assert "there is no none in" in found["queue"].seen


def test_servers_that_are_away_hide_nothing(kubernetes, restricted):
    found = told(Doctor(Kubeflow("http://127.0.0.1:9"), kubernetes.api(), restricted, store="s3://Bad"))
    assert (found["kubeflow"].ready, found["store"].ready) == (False, False)
    assert "could not be reached" in found["kubeflow"].seen
    assert found["pod security"].ready
    gone = told(Doctor(Kubeflow("http://127.0.0.1:9"), kubernetes.api(), "nowhere"))
    assert gone["namespace"].seen == "there is no nowhere"
    assert not gone["pod security"].ready


def test_an_account_without_rights_is_told_which(kubernetes, kubeflow, restricted):
    kubernetes.core.create_namespaced_service_account(restricted, {"metadata": {"name": "nobody"}})
    token = kubernetes.core.create_namespaced_service_account_token("nobody", restricted, {"spec": {}}).status.token
    found = told(Doctor(kubeflow, kubernetes.api(token), restricted))
    assert found["rights"].seen == (
        "this account may not create configmaps, get configmaps, update configmaps, list pods, create events"
    )
    assert "does not let this account list nodes" in found["accelerators"].seen


def test_a_store_that_lets_a_second_writer_in_is_found(kubernetes, kubeflow, restricted, monkeypatch, tmp_path):
    monkeypatch.setattr("stage1.storage.LocalStore.put_new", lambda *_: "version")
    found = told(Doctor(kubeflow, kubernetes.api(), restricted, store=str(tmp_path)))
    assert not found["store"].ready
    assert "conditional writes" in found["store"].fix


def test_a_real_object_store(kubernetes, kubeflow, restricted, minio, monkeypatch):
    minio.use(monkeypatch)
    doctor = Doctor(kubeflow, kubernetes.api(), restricted, store=f"s3://{minio.new_bucket()}/models")
    for _ in range(2):
        assert told(doctor)["store"].ready


def test_from_a_shell(kubernetes, kfp, restricted, node, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    where = ("--endpoint", kfp.endpoint, "--ledger-namespace", restricted)
    good, bad = ask("doctor", *where), ask("doctor", *where, "--gpu-resource", "example.com/tpu")
    assert (good.returncode, bad.returncode) == (0, 1), good.stdout + bad.stdout
    assert "ready     pod security: a task's pod would be taken" in good.stdout
    assert "NOT READY accelerators: 0 example.com/tpu on 0 of 1 nodes" in bad.stdout
    assert "device plugin" in bad.stdout
