"""The one definition of the pipeline; the laptop and the cluster run what is compiled from it.

The steps stand in an inner pipeline that the outer one calls inside the exit handler, because values taken from
parameters inside ExitHandler or If compile to a broken IR (ARCHITECTURE.md, "Pipeline facts"). The one branch is on the
gate's unnamed bool.
"""

import os
from pathlib import Path
from typing import Any

from kfp import compiler, dsl

from components.calibrate.component import calibrate
from components.configure.component import configure
from components.evaluate.component import evaluate
from components.export.component import export
from components.finish.component import finish
from components.gate.component import gate
from components.predict.component import predict
from components.pretrain.component import pretrain
from components.promote.component import promote
from components.report.component import report
from components.split.component import split
from components.train.component import train
from pipelines.placing import Pools, anywhere, on_cpu, on_gpu, with_secrets

NAME = "stage1"

QUEUE = os.environ.get("STAGE1_QUEUE", "")
"""Kueue's local queue of every task; `python -m pipelines compile --queue` sets it."""


@dsl.pipeline(name="steps", description="Every step, from a folder of images to a promoted or refused bundle.")  # type: ignore[untyped-decorator]
def steps(
    data: str,
    preset: str,
    config: str,
    overrides: str,
    seed: int,
    store: str,
    channel: str,
    checkpoints: str,
    claim: str,
    gpu_resource: str,
    gpu_count: str,
    gpu_cpu: str,
    gpu_memory: str,
    gpu_node_selector: dict,  # type: ignore[type-arg]  # KFP knows dict and list
    gpu_tolerations: list,  # type: ignore[type-arg]
    gpu_affinity: dict,  # type: ignore[type-arg]
    cpu_cpu: str,
    cpu_memory: str,
    cpu_node_selector: dict,  # type: ignore[type-arg]
    cpu_tolerations: list,  # type: ignore[type-arg]
    storage_secret: str,
    tracking_secret: str,
    signing_secret: str,
) -> None:
    """Run every step; the parameters are the outer pipeline's."""
    pools = Pools(
        gpu_resource=gpu_resource,
        gpu_count=gpu_count,
        gpu_cpu=gpu_cpu,
        gpu_memory=gpu_memory,
        gpu_node_selector=gpu_node_selector,
        gpu_tolerations=gpu_tolerations,
        gpu_affinity=gpu_affinity,
        cpu_cpu=cpu_cpu,
        cpu_memory=cpu_memory,
        cpu_node_selector=cpu_node_selector,
        cpu_tolerations=cpu_tolerations,
    )

    def gpu(task: Any, **secrets: Any) -> Any:
        return with_secrets(on_gpu(task, pools, QUEUE), storage=storage_secret, **secrets)

    def cpu(task: Any) -> Any:
        return with_secrets(on_cpu(task, pools, QUEUE), storage=storage_secret)

    configured = cpu(
        configure(
            preset=preset,
            config=config,
            overrides=overrides,
            seed=seed,
            store=store,
            channel=channel,
            checkpoints=checkpoints,
            claim=claim,
        )
    )
    section = configured.outputs
    manifest = cpu(split(data=data, config=section["split"])).outputs["manifest"]
    pretrained = gpu(pretrain(manifest=manifest, config=section["pretrain"]), tracking=tracking_secret)
    backbone = pretrained.outputs["backbone"]
    trained = gpu(train(manifest=manifest, backbone=backbone, config=section["train"]), tracking=tracking_secret)
    model = trained.outputs["model"]
    predictions = gpu(predict(manifest=manifest, model=model, config=section["predict"])).outputs["predictions"]
    policies = cpu(calibrate(predictions=predictions, config=section["calibrate"])).outputs["policies"]
    evaluated = cpu(evaluate(predictions=predictions, policies=policies, config=section["evaluate"]))
    evaluation = evaluated.outputs["evaluation"]
    judged = cpu(gate(evaluation=evaluation, config=section["gate"]))
    known = {
        "manifest": manifest,
        "model": model,
        "predictions": predictions,
        "policies": policies,
        "evaluation": evaluation,
        "decision": judged.outputs["decision"],
    }
    told = with_secrets(cpu(report(**known, backbone=backbone, config=section["report"])), tracking=tracking_secret)
    with dsl.If(judged.outputs["Output"] == True, name="promoted"):  # noqa: E712  # KFP overloads ==
        exported = anywhere(export(**known, config=section["export"]).after(told), QUEUE)
        with_secrets(exported, storage=storage_secret, signing=signing_secret)
        promoted = anywhere(promote(bundle=exported.outputs["bundle"], config=section["promote"]), QUEUE)
        with_secrets(promoted, storage=storage_secret, tracking=tracking_secret, verifying=signing_secret)


@dsl.pipeline(name=NAME, description="Train, certify and promote a selective image classifier.")  # type: ignore[untyped-decorator]
def pipeline(
    data: str,
    preset: str = "demo",
    seed: int = -1,
    store: str = "",
    channel: str = "",
    checkpoints: str = "",
    config: str = "",
    overrides: str = "",
    gpu_resource: str = "nvidia.com/gpu",
    gpu_count: str = "1",
    gpu_cpu: str = "8",
    gpu_memory: str = "32Gi",
    gpu_node_selector: dict = {},  # type: ignore[type-arg]  # noqa: B006  # a default of the IR, never changed
    gpu_tolerations: list = [],  # type: ignore[type-arg]  # noqa: B006
    gpu_affinity: dict = {},  # type: ignore[type-arg]  # noqa: B006
    cpu_cpu: str = "4",
    cpu_memory: str = "16Gi",
    cpu_node_selector: dict = {},  # type: ignore[type-arg]  # noqa: B006
    cpu_tolerations: list = [],  # type: ignore[type-arg]  # noqa: B006
    storage_secret: str = "stage1-storage",  # noqa: S107  # the name of one
    tracking_secret: str = "stage1-tracking",  # noqa: S107
    signing_secret: str = "stage1-signing",  # noqa: S107
    claim: str = "",
) -> None:
    """Turn a folder of labelled images into a promoted bundle, or into a refusal that says why.

    Args:
        data: The images: a folder with one sub-folder a class, or a CSV or parquet sheet with path, label and
            optional group; a path or s3://bucket/prefix.
        preset: Where the configuration begins: demo (minutes on a laptop) or full.
        seed: Of everything random in the run; -1 leaves what preset and config say.
        store: Object store of bundles and channels, a folder or s3://bucket; empty leaves what preset and config say.
        channel: Channel that a promotion moves; empty leaves what preset and config say.
        checkpoints: Where pods put checkpoints, s3://bucket/prefix, so that a run that lost its node goes on; empty
            keeps them in the pod.
        config: YAML text of configuration fields that replace the preset's; empty replaces none.
        overrides: Single fields on top of everything, one `a.b=c` a line.
        gpu_resource: Resource name of one accelerator, such as nvidia.com/gpu or nvidia.com/mig-1g.10gb.
        gpu_count: Accelerators of pretrain, train and predict, such as 1.
        gpu_cpu: CPU limit of pretrain, train and predict.
        gpu_memory: Memory limit of pretrain, train and predict; shared memory counts into it.
        gpu_node_selector: Labels of the nodes of the GPU pool, a JSON object.
        gpu_tolerations: Taints that GPU tasks tolerate, a JSON list.
        gpu_affinity: Node affinity of GPU tasks, a JSON object as under nodeAffinity in a pod (required- or
            preferredDuringSchedulingIgnoredDuringExecution); empty for none.
        cpu_cpu: CPU limit of every other task.
        cpu_memory: Memory limit of every other task.
        cpu_node_selector: Labels of the nodes of the CPU pool, a JSON object.
        cpu_tolerations: Taints that CPU tasks tolerate, a JSON list.
        storage_secret: Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and config map of the same name with
            AWS_ENDPOINT_URL and AWS_REGION; where there is none, workload identity is used.
        tracking_secret: Secret with MLFLOW_TRACKING_URI and credentials; where there is none, the configuration's.
        signing_secret: Secret with STAGE1_SIGNING_KEY, the private key that signs bundles, and STAGE1_PUBLIC_KEY, by
            which promote verifies them.
        claim: What this run trains, such as model/hash/attempt: the first run that writes it into the store works, any
            other ends at once. `python -m pipelines retrain` gives it; empty for a run that nobody else may start too.
    """
    with dsl.ExitHandler(anywhere(finish(), QUEUE), name="recorded"):
        steps(
            data=data,
            preset=preset,
            config=config,
            overrides=overrides,
            seed=seed,
            store=store,
            channel=channel,
            checkpoints=checkpoints,
            claim=claim,
            gpu_resource=gpu_resource,
            gpu_count=gpu_count,
            gpu_cpu=gpu_cpu,
            gpu_memory=gpu_memory,
            gpu_node_selector=gpu_node_selector,
            gpu_tolerations=gpu_tolerations,
            gpu_affinity=gpu_affinity,
            cpu_cpu=cpu_cpu,
            cpu_memory=cpu_memory,
            cpu_node_selector=cpu_node_selector,
            cpu_tolerations=cpu_tolerations,
            storage_secret=storage_secret,
            tracking_secret=tracking_secret,
            signing_secret=signing_secret,
        )


def compile_to(path: Path) -> None:
    """Write the pipeline's IR as YAML; equal sources and image give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(pipeline_func=pipeline, package_path=str(path))
