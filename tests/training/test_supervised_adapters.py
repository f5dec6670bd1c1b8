"""Supervised training with adapters: frozen weights stand still, runs resume, and the model that is kept is plain."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stage1.data import ImageBatches
from stage1.errors import BadConfig, Interrupted
from stage1.metrics import augrc
from stage1.model import execution
from stage1.model.adapter_config import AdapterConfig
from stage1.model.backbone import build_backbone
from stage1.model.config import BackboneConfig
from stage1.training.checkpoint import Checkpoints
from stage1.training.config import OptimiserConfig, PhaseConfig, TrainConfig
from stage1.training.scoring import score
from stage1.training.supervised import LabelledImages, TrainedModel, train_classifier
from tests.training.test_pretrain_transformer import FUSED, SEPARATE

CONFIG = TrainConfig(
    threads=1,
    device="cpu",
    batch_size=16,
    phases=(PhaseConfig(loss="ce", epochs=2), PhaseConfig(loss="selective", epochs=1)),
    dropout=0.2,
    ema_decay=0.6,
    optimiser=OptimiserConfig(learning_rate=0.02),
)


def adapter(kind: Any, **given: Any) -> AdapterConfig:
    return AdapterConfig(kind=kind, rank=4, alpha=8, **given)


def built(config: BackboneConfig) -> Any:
    torch.manual_seed(2)
    return build_backbone(config, 16)


def trained(
    streets: Any, folder: Path, kind: AdapterConfig, backbone: BackboneConfig = FUSED, images: Any = ImageBatches
) -> TrainedModel:
    return train_classifier(
        built(backbone),
        LabelledImages(streets.batches(0, 60, images), streets.labels_N[:60]),
        LabelledImages(streets.batches(60, 96), streets.labels_N[60:96]),
        CONFIG.model_copy(update={"adapter": kind}),
        Checkpoints(folder),
    )


@pytest.mark.parametrize(
    ("kind", "backbone"), [("lora", FUSED), ("dora", SEPARATE), ("rslora", SEPARATE), ("pissa", FUSED)]
)
def test_what_is_kept_has_plain_weights_and_the_scores_it_was_kept_for(
    streets: Any, tmp_path: Path, kind: Any, backbone: BackboneConfig
) -> None:
    """The epoch was judged with adapters beside the weights; what is kept has them in the weights."""
    result = trained(streets, tmp_path, adapter(kind), backbone)
    plain = built(backbone).state_dict()
    kept = {name.removeprefix("backbone."): x for name, x in result.model.state_dict().items() if "backbone." in name}
    assert list(kept) == list(plain)
    scores = score(result.model, streets.batches(60, 96), 16)
    wrong = (scores.margin_N >= 0) != (streets.labels_N[60:96] == 1)
    assert augrc(np.abs(scores.margin_N), wrong) == result.history[result.best_epoch - 1]["val_augrc"]


def test_weights_without_an_adapter_are_equal_to_the_bit(streets: Any, tmp_path: Path) -> None:
    result = trained(streets, tmp_path, adapter("lora", targets=("proj",), last_blocks=1, train_norms=False))
    before, after = built(FUSED).state_dict(), result.model.state_dict()
    moved = {name for name, tensor in before.items() if not torch.equal(after[f"backbone.{name}"], tensor)}
    assert moved == {"trunk.blocks.2.attn.proj.weight"}
    difference = after["backbone.trunk.blocks.2.attn.proj.weight"] - before["trunk.blocks.2.attn.proj.weight"]
    assert torch.linalg.matrix_rank(difference, rtol=1e-3) <= 4


@pytest.mark.parametrize("kind", ["dora", "pissa"])
def test_stopped_and_started_again_it_ends_the_same(streets: Any, tmp_path: Path, kind: Any) -> None:
    whole = trained(streets, tmp_path / "a", adapter(kind))

    class Stopping(ImageBatches):
        def take(self, indices: np.ndarray) -> np.ndarray:
            signal.raise_signal(signal.SIGTERM)
            return super().take(indices)

    for _ in range(3):
        with pytest.raises(Interrupted):
            trained(streets, tmp_path / "b", adapter(kind), images=Stopping)
    again = trained(streets, tmp_path / "b", adapter(kind))
    assert again.history == whole.history
    after = whole.model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in again.model.state_dict().items())


def test_a_convolutional_network_is_refused_before_the_first_step(streets: Any, tmp_path: Path) -> None:
    with pytest.raises(
        BadConfig, match=r"adapter\.kind 'lora' needs a transformer .* It can take: adapter\.kind 'none'"
    ):
        trained(streets, tmp_path, adapter("lora"), BackboneConfig(widths=(8, 16)))
    assert not list(tmp_path.iterdir())


def test_adapters_that_could_not_learn_are_refused() -> None:
    with pytest.raises(ValueError, match="backbone_scale 0 would train no adapter"):
        TrainConfig(adapter=adapter("lora"), optimiser=OptimiserConfig(backbone_scale=0))


def test_recomputing_and_compiling_change_how_a_network_runs_and_not_what_it_learns(
    streets: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for name in ("recompute_blocks", "compile_blocks"):
        real = getattr(execution, name)
        # Compiling itself is tests/model/test_execution.py's; here it would take a minute.
        monkeypatch.setattr(
            execution,
            name,
            lambda backbone, real=real, name=name: (asked.append(name), "compile" in name or real(backbone)),
        )
    plain = trained(streets, tmp_path / "plain", adapter("lora"))
    assert asked == []
    config = CONFIG.model_copy(update={"adapter": adapter("lora"), "recompute": True, "compile": True})
    again = train_classifier(
        built(FUSED),
        LabelledImages(streets.batches(0, 60), streets.labels_N[:60]),
        LabelledImages(streets.batches(60, 96), streets.labels_N[60:96]),
        config,
        Checkpoints(tmp_path / "again"),
    )
    assert asked == ["recompute_blocks", "compile_blocks"]
    for name, weights in plain.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], weights, rtol=1e-4, atol=1e-5)
