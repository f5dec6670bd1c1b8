"""A small transformer through every step: ExPLoRA, then LoRA, then a promoted bundle with plain weights in it."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from stage1.model.backbone import build_backbone
from stage1.model.config import BackboneConfig
from stage1.model.files import load_backbone
from stage1.steps.path import walk

ARCHITECTURE = (
    "{architecture: vit_small_patch16_dinov3, "
    "model_args: {patch_size: 4, embed_dim: 48, depth: 2, num_heads: 2, mlp_ratio: 2, init_values: 1.0}}"
)
OVERRIDES = (
    "pretrain.preprocessing.image_size=16",
    f"pretrain.backbone={{kind: timm, architecture: {ARCHITECTURE}}}",
    "pretrain.method=explora",
    "pretrain.explora={rank: 4, alpha: 4}",
    "pretrain.decoder={width: 32, depth: 1}",
    "pretrain.epochs=1",
    "pretrain.threads=1",
    "train.threads=1",
    "train.batch_size=32",
    "train.phases=[{loss: ce, epochs: 6}, {loss: selective, epochs: 1}]",
    "train.adapter={kind: lora, rank: 8, alpha: 16}",
    "train.ema_decay=0.8",
    "evaluate.num_resamples=200",
)


@pytest.fixture(scope="module")
def walked(task: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("adapted")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("STAGE1_CACHE", raising=False)
        patch.delenv("STAGE1_EVENTS", raising=False)
        shared = [f"store={out / 'store'}", f"tracking.uri=sqlite:///{out / 'mlflow.db'}"]
        return walk(str(task), out / "steps", preset="demo", overrides=[*OVERRIDES, *shared])


def test_the_bundle_has_the_backbones_own_weights_with_the_adapters_in_them(walked: dict[str, Path]) -> None:
    shipped = load_file(walked["export"] / "bundle" / "model.safetensors")
    described = json.loads((walked["export"] / "bundle" / "model.json").read_text())
    plain = build_backbone(BackboneConfig.model_validate(described["backbone"]), described["image_size"])
    names = {f"backbone.{name}" for name in plain.state_dict()}
    assert {name for name in shipped if name.startswith("backbone.")} == names
    backbone, _ = load_backbone(walked["pretrain"])
    before = {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
    assert not torch.equal(
        shipped["backbone.trunk.blocks.0.mlp.fc1.weight"], before["backbone.trunk.blocks.0.mlp.fc1.weight"]
    )
    assert torch.equal(
        shipped["backbone.trunk.patch_embed.proj.weight"], before["backbone.trunk.patch_embed.proj.weight"]
    )
    change = shipped["backbone.trunk.blocks.0.mlp.fc1.weight"] - before["backbone.trunk.blocks.0.mlp.fc1.weight"]
    assert torch.linalg.matrix_rank(change, rtol=1e-3) <= 8


def test_the_report_shows_the_reconstructions_and_says_how_to_read_them(walked: dict[str, Path]) -> None:
    page = (walked["report"] / "report.html").read_text(encoding="utf-8")
    assert "Masked images and their reconstructions" in page
    assert "true mean and contrast" in page


def test_the_graph_agrees_with_the_merged_model(walked: dict[str, Path]) -> None:
    agreement = json.loads((walked["predict"] / "agreement.json").read_text())
    assert agreement["max_logit_difference"] < 1e-4
    assert agreement["same_label"] == agreement["images"]
