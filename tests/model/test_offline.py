"""Hub ids without a network, and nothing is imported that the chosen backbone does not need: in processes of their own.

The hub's cache is laid out as the hub's own client lays it out.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.model.small_backbones import ARCHITECTURES, IMAGE, config

_SCRIPT = """
import json, sys
from stage1.model.backbone import build_backbone
from stage1.model.config import BackboneConfig

def imported():
    return sorted({"timm", "transformers", "peft"} & set(sys.modules))

build_backbone(BackboneConfig(), 16)
found = {"before": imported()}
backbone = build_backbone(BackboneConfig.model_validate_json(sys.argv[1]), 32)
found |= {"after": imported(), "class": type(backbone).__name__, "architecture": backbone.architecture}
found["last norm"] = backbone.state_dict()["trunk.norm.weight"].tolist()
print(json.dumps(found))
"""


def cached(home: Path, hub_id: str) -> Path:
    """Make room for one revision of a repository in the hub's cache; return the folder for its files."""
    repository = home / "hub" / f"models--{hub_id.replace('/', '--')}"
    revision = "0123456789abcdef0123456789abcdef01234567"
    files = repository / "snapshots" / revision
    files.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    return files


def _save_timm(folder: Path) -> list[float]:
    import timm
    import torch
    from timm.models import save_for_hf

    args = config("timm dinov3").architecture["model_args"]
    model: Any = timm.create_model("vit_small_patch16_dinov3", img_size=IMAGE, num_classes=0, **args)
    torch.nn.init.normal_(model.norm.weight)
    save_for_hf(model, str(folder), safe_serialization=True)
    return [float(x) for x in model.norm.weight.detach()]


def _save_transformers(folder: Path) -> list[float]:
    import torch
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    model = DINOv3ViTModel(DINOv3ViTConfig(**ARCHITECTURES["transformers dinov3"]))
    torch.nn.init.normal_(model.norm.weight)
    model.save_pretrained(folder)
    return [float(x) for x in model.norm.weight.detach()]


@pytest.mark.parametrize(
    ("kind", "name", "save", "network"),
    [
        ("timm", "hf-hub:someone/small-dinov3", _save_timm, "TimmTransformer"),
        ("transformers", "someone/small-dinov3", _save_transformers, "TransformersEncoder"),
    ],
)
def test_a_hub_id_comes_out_of_the_cache_and_imports_one_library(
    tmp_path: Path, kind: str, name: str, save: object, network: str
) -> None:
    weights = save(cached(tmp_path, "someone/small-dinov3"))  # type: ignore[operator]
    wanted = json.dumps({"kind": kind, "name": name, "weights": "hub"})
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub")}
    result = subprocess.run(
        [sys.executable, "-c", _SCRIPT, wanted], capture_output=True, text=True, check=True, env=environment
    )
    found = json.loads(result.stdout)
    assert found["before"] == []
    assert found["after"] == [kind]
    assert found["class"] == network
    assert found["last norm"] == pytest.approx(weights)
    assert found["architecture"], "it can be built again without the hub"
