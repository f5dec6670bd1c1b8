"""Where a task runs on a cluster and under which rules: pool, resources, security context, time, secrets.

Two kinds of tasks. A GPU task (pretrain, train, predict) goes to the GPU pool with memory for its loaders' shared
memory; every other task goes to the CPU pool. What a person chooses per run travels as pipeline parameters (`Pools`);
what KFP can only fix when compiling (time limits, users, shared memory, pod labels) stands here as constants.

kfp.local ignores all of it.
"""

from dataclasses import dataclass
from typing import Any

from kfp import kubernetes

USER = 10001
"""The numeric user of our images; Pod Security `restricted` asks for one that is not root."""

RUN_ID = "metadata.labels['pipeline/runid']"
"""Where Kubeflow tells a pod its run; every artifact names it (stage1.steps.run_id)."""

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
SHARED_MEMORY = "16Gi"
_HOUR_S = 3600
_GPU_LIMIT_S = 48 * _HOUR_S
_CPU_LIMIT_S = 6 * _HOUR_S

_STORAGE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_STORAGE_SETTINGS = ("AWS_ENDPOINT_URL", "AWS_REGION")
_TRACKING_KEYS = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
_SIGNING_KEYS = ("STAGE1_SIGNING_KEY",)
_VERIFYING_KEYS = ("STAGE1_PUBLIC_KEY",)


@dataclass(frozen=True)
class Pools:
    """Pipeline parameters that say where tasks run; each a value or a channel.

    Counts and sizes are text: KFP's driver reads only text into a pod's resources, and a number as nothing at all, so
    that a task would get no accelerator and no word would be said.

    Attributes:
        gpu_resource: Resource name of one accelerator, such as nvidia.com/gpu or nvidia.com/mig-1g.10gb.
        gpu_count: Accelerators of a GPU task, as text.
        gpu_cpu, gpu_memory: Limits of a GPU task, such as "8" and "32Gi".
        gpu_node_selector, gpu_tolerations, gpu_affinity: Of a GPU task, as Kubernetes writes them in JSON.
        cpu_cpu, cpu_memory: Limits of every other task.
        cpu_node_selector, cpu_tolerations: Of every other task.
    """

    gpu_resource: Any
    gpu_count: Any
    gpu_cpu: Any
    gpu_memory: Any
    gpu_node_selector: Any
    gpu_tolerations: Any
    gpu_affinity: Any
    cpu_cpu: Any
    cpu_memory: Any
    cpu_node_selector: Any
    cpu_tolerations: Any


def on_gpu(task: Any, pools: Pools, queue: str) -> Any:
    """Place a task that trains or infers; it is tried twice, because it goes on from its checkpoint."""
    task.set_accelerator_type(pools.gpu_resource).set_accelerator_limit(pools.gpu_count)
    task.set_cpu_limit(pools.gpu_cpu).set_memory_limit(pools.gpu_memory)
    kubernetes.add_node_selector_json(task, pools.gpu_node_selector)
    kubernetes.add_toleration_json(task, pools.gpu_tolerations)
    kubernetes.add_node_affinity_json(task, pools.gpu_affinity)
    kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=SHARED_MEMORY)  # noqa: S108
    task.set_retry(num_retries=1, backoff_duration="60s")
    return _governed(task, queue, _GPU_LIMIT_S)


def on_cpu(task: Any, pools: Pools, queue: str) -> Any:
    """Place a task that reads arrays and files."""
    task.set_cpu_limit(pools.cpu_cpu).set_memory_limit(pools.cpu_memory)
    kubernetes.add_node_selector_json(task, pools.cpu_node_selector)
    kubernetes.add_toleration_json(task, pools.cpu_tolerations)
    return _governed(task, queue, _CPU_LIMIT_S)


def anywhere(task: Any, queue: str) -> Any:
    """Place a task inside a branch or the exit handler, where KFP takes constants only."""
    task.set_cpu_request("500m").set_cpu_limit("2").set_memory_request("1Gi").set_memory_limit("4Gi")
    return _governed(task, queue, _CPU_LIMIT_S)


def _governed(task: Any, queue: str, limit_s: int) -> Any:
    """Apply what holds for every task; KFP's own cache is off, because it knows neither inputs nor code."""
    task.set_caching_options(False)
    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
    kubernetes.set_timeout(task, limit_s)
    kubernetes.set_image_pull_policy(task, "IfNotPresent")
    kubernetes.use_field_path_as_env(task, "STAGE1_RUN_ID", RUN_ID)
    if queue:
        kubernetes.add_pod_label(task, QUEUE_LABEL, queue)
    return task


def with_secrets(
    task: Any, *, storage: Any = None, tracking: Any = None, signing: Any = None, verifying: Any = None
) -> Any:
    """Give a task credentials by the names of secrets; a missing secret is no error, workload identity may do.

    Args:
        task: The task.
        storage: Secret with an S3 access key, and config map of the same name with the endpoint and region.
        tracking: Secret with MLflow's address and credentials.
        signing: Secret with the private key that signs bundles.
        verifying: Secret with the public key that they are verified by.
    """
    if storage is not None:
        kubernetes.use_secret_as_env(task, storage, _same(_STORAGE_KEYS), optional=True)
        kubernetes.use_config_map_as_env(task, storage, _same(_STORAGE_SETTINGS), optional=True)
    if tracking is not None:
        kubernetes.use_secret_as_env(task, tracking, _same(_TRACKING_KEYS), optional=True)
    if signing is not None:
        kubernetes.use_secret_as_env(task, signing, _same(_SIGNING_KEYS), optional=True)
    if verifying is not None:
        kubernetes.use_secret_as_env(task, verifying, _same(_VERIFYING_KEYS), optional=True)
    return task


def _same(names: tuple[str, ...]) -> dict[str, str]:
    return {name: name for name in names}
