"""A promoted bundle as a version of MLflow's registered model, loadable by mlflow.pyfunc, and the channel as its alias.

The model that MLflow keeps names the bundle; the bundle stays in its store (stage1.serving.pyfunc says why).
"""

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from stage1.tracking.client import unless_it_exists
from stage1.tracking.record import Promotion
from stage1.tracking.runs import recorded_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LOADER = "stage1.serving.pyfunc"
_ORIGIN = "origin.json"


def register(client: "MlflowClient", experiment: str, model_name: str, promotion: Promotion) -> str:
    """Make the bundle a version, unless it is one, and move the alias to it; return the version.

    An alias stays where a later promotion of its channel has put it: a record that is sent late moves nothing back.
    """
    unless_it_exists(client.create_registered_model, model_name)
    versions = client.search_model_versions(f"name = '{model_name}' and tags.digest = '{promotion.digest}'")
    version = str(versions[0].version) if versions else _create(client, experiment, model_name, promotion)
    tag = f"stage1.sequence.{promotion.alias}"
    if int(client.get_registered_model(model_name).tags.get(tag, 0)) <= promotion.sequence:
        client.set_registered_model_alias(model_name, promotion.alias, version)
        client.set_registered_model_tag(model_name, tag, str(promotion.sequence))
    return version


def _create(client: "MlflowClient", experiment: str, model_name: str, promotion: Promotion) -> str:
    run_id = recorded_run(client, experiment, promotion.run_key) or None
    name = f"{model_name}-{promotion.digest[:12]}"
    model = client.create_logged_model(experiment, name=name, source_run_id=run_id, model_type="stage1")
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "model"
        _write_pyfunc(written, promotion)
        client.log_model_artifacts(model.model_id, str(written))
    client.finalize_logged_model(model.model_id, "READY")
    tags = {**promotion.tags, "digest": promotion.digest, "bundle": promotion.source}
    created = client.create_model_version(
        model_name,
        model.artifact_location,
        run_id,
        tags=tags,
        await_creation_for=0,
        model_id=model.model_id,
    )
    return str(created.version)


def _write_pyfunc(folder: Path, promotion: Promotion) -> None:
    from mlflow import pyfunc

    with tempfile.TemporaryDirectory() as data:
        origin = {"schema": "stage1/pyfunc/v1", "bundle": promotion.source, "digest": promotion.digest}
        (Path(data) / _ORIGIN).write_text(json.dumps(origin, sort_keys=True) + "\n", encoding="utf-8")
        pyfunc.save_model(folder, loader_module=_LOADER, data_path=data, pip_requirements=[promotion.requirement])
