"""What of a cluster is ready for the pipeline: one finding a question, each with what to do.

Every question is asked by itself, so that one server that is away hides nothing of the others. Nothing is changed but
one small object in the store, which shows that a second writer is refused.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kubernetes import client

from pipelines.kubeflow import Kubeflow
from pipelines.ledger import TIMEOUT_S, faults
from pipelines.placing import USER
from stage1.errors import Conflict, Stage1Error

NEEDED = (
    ("create", "configmaps", ""),
    ("get", "configmaps", ""),
    ("update", "configmaps", ""),
    ("list", "pods", ""),
    ("create", "events", ""),
)
_PROBE = "doctor/probe.json"


@dataclass(frozen=True)
class Finding:
    """One answer: what was asked, whether it is ready, what was seen, and what to do where it is not."""

    name: str
    ready: bool
    seen: str
    fix: str = ""


@dataclass(frozen=True)
class Doctor:
    """Asks a cluster.

    Attributes:
        kubeflow: KFP's API server.
        api: Of a Kubernetes client.
        namespace: Where runs work.
        gpu_resource: Resource name of an accelerator.
        queue: Kueue's local queue; empty asks nothing about it.
        store: Object store of bundles; empty asks nothing about it.
    """

    kubeflow: Kubeflow
    api: client.ApiClient
    namespace: str
    gpu_resource: str = "nvidia.com/gpu"
    queue: str = ""
    store: str = ""

    def findings(self) -> Iterator[Finding]:
        """Yield every answer as it comes."""
        yield self._asked("kubeflow", self._kubeflow)
        yield self._asked("namespace", self._namespace)
        yield self._asked("pod security", self._pod)
        yield self._asked("rights", self._rights)
        yield self._asked("accelerators", self._accelerators)
        if self.queue:
            yield self._asked("queue", self._queue)
        if self.store:
            yield self._asked("store", self._store)

    def _asked(self, name: str, ask: Callable[[], Finding]) -> Finding:
        try:
            return ask()
        except Stage1Error as error:
            return Finding(name, False, str(error), "mend that first")

    def _kubeflow(self) -> Finding:
        multi = self.kubeflow.multi_user()
        if multi and not self.kubeflow.namespace:
            return Finding("kubeflow", False, "answers, in multi-user mode", "give --namespace, your profile's name")
        return Finding("kubeflow", True, f"answers, in {'multi' if multi else 'single'}-user mode")

    def _namespace(self) -> Finding:
        with faults(f"read namespace {self.namespace}"):
            try:
                found = client.CoreV1Api(self.api).read_namespace(self.namespace, _request_timeout=TIMEOUT_S)
            except client.ApiException as error:
                if error.status != 404:
                    raise
                return Finding("namespace", False, f"there is no {self.namespace}", "apply one of manifests/overlays")
        level = (found.metadata.labels or {}).get("pod-security.kubernetes.io/enforce", "none")
        fix = (
            ""
            if level == "restricted"
            else "label it pod-security.kubernetes.io/enforce=restricted, as manifests/base does"
        )
        return Finding("namespace", level == "restricted", f"{self.namespace} enforces Pod Security {level!r}", fix)

    def _pod(self) -> Finding:
        """Let the server judge a pod like a task's, without making it."""
        container = {
            "name": "main",
            "image": "stage1",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
        }
        context = {"runAsUser": USER, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        body = {
            "metadata": {"generateName": "stage1-doctor-"},
            "spec": {"containers": [container], "securityContext": context, "restartPolicy": "Never"},
        }
        with faults("take a task's pod"):
            client.CoreV1Api(self.api).create_namespaced_pod(
                self.namespace, body, dry_run="All", _request_timeout=TIMEOUT_S
            )
        return Finding("pod security", True, "a task's pod would be taken")

    def _rights(self) -> Finding:
        reviews = client.AuthorizationV1Api(self.api)
        missing = []
        with faults("ask for this account's rights"):
            for verb, resource, group in NEEDED:
                asked = {"verb": verb, "resource": resource, "group": group, "namespace": self.namespace}
                review = reviews.create_self_subject_access_review(
                    {"spec": {"resourceAttributes": asked}}, _request_timeout=TIMEOUT_S
                )
                if not review.status.allowed:
                    missing.append(f"{verb} {resource}")
        if missing:
            return Finding("rights", False, f"this account may not {', '.join(missing)}", "the chart's Roles give them")
        return Finding("rights", True, "this account may keep the ledger")

    def _accelerators(self) -> Finding:
        with faults("list nodes"):
            nodes = client.CoreV1Api(self.api).list_node(_request_timeout=TIMEOUT_S).items
        counts = [int((node.status.allocatable or {}).get(self.gpu_resource, 0)) for node in nodes]
        seen = f"{sum(counts)} {self.gpu_resource} on {sum(count > 0 for count in counts)} of {len(nodes)} nodes"
        fix = "" if any(counts) else "install the device plugin, or let the autoscaler's pool grow from zero as it may"
        return Finding("accelerators", any(counts), seen, fix)

    def _queue(self) -> Finding:
        custom = client.CustomObjectsApi(self.api)
        where = ("kueue.x-k8s.io", "v1beta1", self.namespace, "localqueues", self.queue)
        with faults(f"read local queue {self.queue}"):
            try:
                found = custom.get_namespaced_custom_object(*where, _request_timeout=TIMEOUT_S)
            except client.ApiException as error:
                if error.status != 404:
                    raise
                fix = "install Kueue 0.14 or newer and apply manifests/queue"
                return Finding("queue", False, f"there is no {self.queue} in {self.namespace}", fix)
        return Finding("queue", True, f"{self.queue} feeds {found['spec'].get('clusterQueue')}")

    def _store(self) -> Finding:
        """Write one object twice: the second must be refused, or two promoters could both win."""
        from stage1.storage import open_store

        store = open_store(self.store)
        for _ in range(2):
            try:
                store.put_new(_PROBE, b'{"schema": "stage1/doctor/v1"}')
            except Conflict:
                return Finding("store", True, f"{self.store} refuses a second writer")
        fix = "use a server with conditional writes (If-None-Match), such as S3 or MinIO"
        return Finding("store", False, f"{self.store} lets a second writer replace an object", fix)
