"""The one definition of the pipeline; the laptop and the cluster run what is compiled from it.

The steps stand in an inner pipeline that the outer one calls inside the exit handler, because values taken from
parameters inside ExitHandler or If compile to a broken IR (ARCHITECTURE.md, "Pipeline facts"). The one branch is on the
gate's unnamed bool. KFP's own cache is off for every task: it knows neither the content of inputs nor the code, and
stage1's steps reuse by content.
"""

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

NAME = "stage1"


def _uncached(task: Any) -> Any:
    return task.set_caching_options(False)


@dsl.pipeline(name="steps", description="Every step, from a folder of images to a promoted or refused bundle.")  # type: ignore[untyped-decorator]
def steps(data: str, preset: str, config: str, overrides: str, seed: int, store: str, channel: str) -> None:
    """Run every step; the parameters are the outer pipeline's.

    Args:
        data: Folder or sheet of labelled images.
        preset: Where the configuration begins.
        config: YAML text on top of it.
        overrides: Single fields on top of everything.
        seed: Seed, or -1.
        store: Object store, or empty.
        channel: Channel, or empty.
    """
    configured = configure(preset=preset, config=config, overrides=overrides, seed=seed, store=store, channel=channel)
    section = _uncached(configured).outputs
    manifest = _uncached(split(data=data, config=section["split"])).outputs["manifest"]
    backbone = _uncached(pretrain(manifest=manifest, config=section["pretrain"])).outputs["backbone"]
    model = _uncached(train(manifest=manifest, backbone=backbone, config=section["train"])).outputs["model"]
    predictions = _uncached(predict(manifest=manifest, model=model, config=section["predict"])).outputs["predictions"]
    policies = _uncached(calibrate(predictions=predictions, config=section["calibrate"])).outputs["policies"]
    evaluated = _uncached(evaluate(predictions=predictions, policies=policies, config=section["evaluate"]))
    evaluation = evaluated.outputs["evaluation"]
    judged = _uncached(gate(evaluation=evaluation, config=section["gate"]))
    known = {
        "manifest": manifest,
        "model": model,
        "predictions": predictions,
        "policies": policies,
        "evaluation": evaluation,
        "decision": judged.outputs["decision"],
    }
    told = _uncached(report(**known, backbone=backbone, config=section["report"]))
    with dsl.If(judged.outputs["Output"] == True, name="promoted"):  # noqa: E712  # KFP overloads ==
        bundle = _uncached(export(**known, config=section["export"]).after(told)).outputs["bundle"]
        _uncached(promote(bundle=bundle, config=section["promote"]))


@dsl.pipeline(name=NAME, description="Train, certify and promote a selective image classifier.")  # type: ignore[untyped-decorator]
def pipeline(
    data: str,
    preset: str = "demo",
    seed: int = -1,
    store: str = "",
    channel: str = "",
    config: str = "",
    overrides: str = "",
) -> None:
    """Turn a folder of labelled images into a promoted bundle, or into a refusal that says why.

    Args:
        data: The images: a folder with one sub-folder a class, or a CSV or parquet sheet with path, label and
            optional group.
        preset: Where the configuration begins: demo (minutes on a laptop) or full.
        seed: Of everything random in the run; -1 leaves what preset and config say.
        store: Object store of bundles and channels, a folder or s3://bucket; empty leaves what preset and config say.
        channel: Channel that a promotion moves; empty leaves what preset and config say.
        config: YAML text of configuration fields that replace the preset's; empty replaces none.
        overrides: Single fields on top of everything, one `a.b=c` a line.
    """
    with dsl.ExitHandler(_uncached(finish()), name="recorded"):
        steps(data=data, preset=preset, config=config, overrides=overrides, seed=seed, store=store, channel=channel)


def compile_to(path: Path) -> None:
    """Write the pipeline's IR as YAML; equal sources and image give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(pipeline_func=pipeline, package_path=str(path))
