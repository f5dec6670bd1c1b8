"""Masked autoencoding of transformers: what learns, what stands still to the bit, masks by seed and step, resuming."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stage1.data import ImageBatches, Preprocessing
from stage1.errors import BadConfig, Interrupted
from stage1.model.adapter_config import ExploraConfig
from stage1.model.backbone import build_backbone
from stage1.model.config import BackboneConfig
from stage1.model.masked_autoencoder import MaskedAutoencoder
from stage1.model.masking import Hidden
from stage1.training.checkpoint import Checkpoints
from stage1.training.config import AugmentConfig, DecoderConfig, OptimiserConfig, PretrainConfig
from stage1.training.pretrain import PretrainedBackbone, pretrain_backbone

FUSED = BackboneConfig(
    kind="timm",
    architecture={
        "architecture": "vit_small_patch16_dinov3",
        "model_args": {"patch_size": 4, "embed_dim": 32, "depth": 3, "num_heads": 2, "mlp_ratio": 2},
    },
)
SEPARATE = BackboneConfig(
    kind="transformers",
    architecture={
        "model_type": "dinov3_vit", "patch_size": 4, "image_size": 16, "hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 3, "num_attention_heads": 2, "num_register_tokens": 4, "layerscale_value": 1.0,
    },
)  # fmt: skip
CONFIG = PretrainConfig(
    threads=1,
    device="cpu",
    backbone=FUSED,
    preprocessing=Preprocessing(image_size=16),
    batch_size=16,
    epochs=2,
    method="explora",
    explora=ExploraConfig(rank=4, alpha=4),
    decoder=DecoderConfig(width=32, depth=1),
    optimiser=OptimiserConfig(learning_rate=0.01),
)
BLOCKS = {"fused": "trunk.blocks", "separate": "trunk.model.layer"}


def pretrained(images: ImageBatches, folder: Path, **changed: object) -> PretrainedBackbone:
    return pretrain_backbone(images, CONFIG.model_copy(update=changed), Checkpoints(folder))


def state(backbone: Any) -> dict[str, torch.Tensor]:
    return dict(backbone.state_dict())


def as_built(config: BackboneConfig) -> Any:
    torch.manual_seed(CONFIG.seed)
    return build_backbone(config, 16)


@pytest.mark.parametrize("kind", ["fused", "separate"])
def test_explora_moves_query_value_norms_and_the_last_block_and_nothing_else(
    streets: Any, tmp_path: Path, kind: str
) -> None:
    config = FUSED if kind == "fused" else SEPARATE
    result = pretrained(streets.batches(0, 40), tmp_path, backbone=config)
    assert result.objective == "masked autoencoder"
    built = as_built(config)
    before, after = state(built), state(result.backbone)
    assert list(after) == list(before), "merged: plain names"
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    last = {name for name in before if name.startswith(f"{BLOCKS[kind]}.2.")}
    norms = {name for name in before for norm in built.norm_names if name.startswith(f"{norm}.")}
    layers = ["attn.qkv"] if kind == "fused" else ["attention.q_proj", "attention.v_proj"]
    low_rank = {f"{BLOCKS[kind]}.{block}.{layer}.weight" for block in (0, 1) for layer in layers}
    # A key's bias changes no softmax, so the one of timm's last block may get no gradient at all.
    assert moved <= last | norms | low_rank
    assert moved >= norms | low_rank | {name for name in last if "weight" in name}
    if kind == "fused":
        for name in low_rank:
            assert torch.equal(after[name].chunk(3)[1], before[name].chunk(3)[1]), "the key third is untouched"


def test_full_trains_every_weight_and_the_loss_falls(streets: Any, tmp_path: Path) -> None:
    images = streets.batches(0, 40)
    result = pretrained(images, tmp_path, method="full", epochs=8)
    losses = [row["loss"] for row in result.history]
    assert losses[-1] < 0.95 * losses[0]
    before, after = state(as_built(FUSED)), state(result.backbone)
    assert {name for name in after if torch.equal(after[name], before[name])} <= {
        name for name in after if name.startswith("statistics.") or "rope" in name
    }


def test_the_sheet_shows_seen_filled_in_and_original(streets: Any, tmp_path: Path) -> None:
    images = streets.batches(0, 40)
    sheet = pretrained(images, tmp_path, epochs=1).reconstructions
    shown = images.take(np.linspace(0, 39, 6).astype(np.int64))
    assert sheet.shape == (48, 96, 3)
    assert np.abs(sheet[32:].astype(int) - np.concatenate(list(shown), axis=1)).max() <= 1
    hidden = (sheet[:16].astype(int) - sheet[32:]).any(axis=2)
    assert hidden.mean() == pytest.approx(0.75, abs=0.02)
    assert (sheet[16:32][~hidden] == sheet[32:][~hidden]).all()
    assert (sheet[16:32][hidden] != sheet[32:][hidden]).any()


def masks_of(images: ImageBatches, folder: Path, monkeypatch: pytest.MonkeyPatch, **changed: object) -> list[Any]:
    """The hidden patches of every training step."""
    seen: list[Any] = []
    run = MaskedAutoencoder.predict

    def watched(self: MaskedAutoencoder, x: torch.Tensor, drawn: Hidden) -> Any:
        result = run(self, x, drawn)
        if self.training:
            seen.append(result.hidden_BM.tolist())
        return result

    with monkeypatch.context() as patch:
        patch.setattr(MaskedAutoencoder, "predict", watched)
        pretrained(images, folder, **changed)
    return seen


def test_masks_come_from_seed_and_step(streets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = streets.batches(0, 32)
    first = masks_of(images, tmp_path / "a", monkeypatch)
    assert len({str(mask) for mask in first}) == len(first) == 4, "another mask in every step"
    slower = OptimiserConfig(learning_rate=1e-4)
    assert masks_of(images, tmp_path / "b", monkeypatch, optimiser=slower) == first, "whatever is learned"
    assert masks_of(images, tmp_path / "c", monkeypatch, seed=1) != first


def test_stopped_and_started_again_it_ends_the_same(streets: Any, tmp_path: Path) -> None:
    images = streets.batches(0, 40)
    whole = pretrained(images, tmp_path / "a")

    class Stopping(ImageBatches):
        def take(self, indices: np.ndarray) -> np.ndarray:
            signal.raise_signal(signal.SIGTERM)
            return super().take(indices)

    for _ in range(3):
        with pytest.raises(Interrupted):
            pretrained(streets.batches(0, 40, Stopping), tmp_path / "b")
    again = pretrained(images, tmp_path / "b")
    assert again.history == whole.history
    after = state(whole.backbone)
    assert all(torch.equal(tensor, after[name]) for name, tensor in state(again.backbone).items())
    assert np.array_equal(again.reconstructions, whole.reconstructions)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"mask_patch": 8}, r"mask_patch: a transformer hides its own patches \(4 pixels here\), so 8 would"),
        ({"explora": ExploraConfig(unfrozen_blocks=(7,))}, r"explora\.unfrozen_blocks: there is no block 7"),
        ({"explora": ExploraConfig()}, r"explora\.rank: 64 is no low rank"),
        ({"backbone": BackboneConfig(kind="timm", name="test_vit")}, r"image_size: 16 pixels are a single patch"),
        ({"backbone": BackboneConfig(kind="timm", name="test_resnet"), "preprocessing": Preprocessing(image_size=64)},
         r"method 'explora' needs a transformer over patches .* It can take: method 'full'"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_so_is_refused_before_the_first_step(
    streets: Any, tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadConfig, match=words):
        pretrained(streets.batches(0, 40), tmp_path, **changed)
    assert not list(tmp_path.iterdir())


def test_colours_and_crops_are_augmented_before_patches_are_hidden(streets: Any, tmp_path: Path) -> None:
    images = streets.batches(0, 40)
    still = AugmentConfig(flip=0, min_scale=1, colour=0)
    plain, augmented = pretrained(images, tmp_path / "a", augment=still), pretrained(images, tmp_path / "b")
    assert plain.history[0]["loss"] != augmented.history[0]["loss"]


def test_recomputed_blocks_learn_the_same(streets: Any, tmp_path: Path) -> None:
    images = streets.batches(0, 32)
    plain, again = (pretrained(images, tmp_path / str(each), recompute=each) for each in (False, True))
    assert [row["loss"] for row in again.history] == pytest.approx([row["loss"] for row in plain.history], rel=1e-5)


def test_in_parts_it_learns_the_same(streets: Any, tmp_path: Path) -> None:
    images = streets.batches(0, 32)
    whole, parts = (pretrained(images, tmp_path / str(size), part_size=size) for size in (0, 3))
    assert [row["loss"] for row in parts.history] == pytest.approx([row["loss"] for row in whole.history], rel=1e-4)
