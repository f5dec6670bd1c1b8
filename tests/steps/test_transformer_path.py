"""A DINOv3 from a folder through the steps: masked pre-training, training, and a graph that agrees with the model."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from stage1.data import Preprocessing
from stage1.model import BackboneConfig, PredictConfig
from stage1.steps.predict import predict
from stage1.steps.pretrain import pretrain
from stage1.steps.split import split
from stage1.steps.train import train
from stage1.training import PretrainConfig, TrainConfig
from stage1.training.config import PhaseConfig
from tests.steps.conftest import draw_task


def test_a_small_dinov3_is_pretrained_trained_and_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    monkeypatch.delenv("STAGE1_CACHE", raising=False)
    monkeypatch.delenv("STAGE1_EVENTS", raising=False)
    torch.manual_seed(0)
    settings = DINOv3ViTConfig(
        image_size=32, patch_size=4, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_register_tokens=4,
    )  # fmt: skip
    given = tmp_path / "dinov3"
    DINOv3ViTModel(settings).save_pretrained(given)
    folders = {name: tmp_path / name for name in ("split", "pretrain", "train", "predict")}
    split(str(draw_task(tmp_path / "task", groups=60)), folders["split"])
    pretrain(
        folders["split"],
        folders["pretrain"],
        config=PretrainConfig(
            backbone=BackboneConfig(kind="transformers", weights=str(given), pooling="cls_mean"),
            preprocessing=Preprocessing(image_size=16),
            epochs=1,
            threads=1,
        ),
    )
    assert json.loads((folders["pretrain"] / "history.json").read_text())["objective"] == "masked autoencoder"
    shutil.rmtree(given)
    trained = train(
        folders["split"],
        folders["pretrain"],
        folders["train"],
        config=TrainConfig(phases=(PhaseConfig(epochs=5),), batch_size=32, ema_decay=0.8, threads=1),
    )
    assert trained.val_accuracy > 0.9
    architecture = json.loads((folders["train"] / "model.json").read_text())["backbone"]["architecture"]
    assert architecture["num_register_tokens"] == 4
    assert architecture["image_size"] == 16, "the size that it was built for, not the one it was saved at"
    predict(
        folders["split"], folders["train"], folders["predict"], config=PredictConfig(store=str(tmp_path), threads=1)
    )
    agreement = json.loads((folders["predict"] / "agreement.json").read_text())
    assert agreement["max_logit_difference"] < 1e-4
    assert agreement["same_label"] == agreement["images"] > 50
    session = onnxruntime.InferenceSession(folders["predict"] / "model.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 5):
        logits, _ = session.run(None, {"images": np.zeros((count, 16, 16, 3), np.uint8)})
        assert logits.shape == (count, 2)
