"""model.onnx: torch's numbers at any batch size, silently, in equal bytes that tell nothing of the machine."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from stage1.model.backbone import build_backbone
from stage1.model.classifier import SelectiveClassifier
from stage1.model.config import BackboneConfig
from stage1.model.onnx import export_onnx
from tests.model.small_backbones import KINDS, config, enlarge

BACKBONES = {
    "convnet": BackboneConfig(widths=(8, 16)),
    "timm convolution": BackboneConfig(kind="timm", name="test_efficientnet"),
    **{name: config(name, pooling="cls_mean") for name in KINDS},
}


@pytest.fixture(scope="module", params=BACKBONES)
def model(request: pytest.FixtureRequest) -> SelectiveClassifier:
    torch.manual_seed(0)
    backbone: Any = build_backbone(BACKBONES[request.param], 32)
    enlarge(backbone)
    return SelectiveClassifier(backbone).eval()


@pytest.fixture(scope="module")
def graph(model: SelectiveClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(model, 32, path)
    return path


@pytest.mark.parametrize("count", [1, 2, 37])
def test_the_graph_answers_as_torch_does(model: SelectiveClassifier, graph: Path, count: int) -> None:
    images = np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    logits, gate = session.run(["logits", "gate"], {"images": images})
    with torch.no_grad():
        expected = model(model.normalise(torch.from_numpy(images)))
    assert np.allclose(logits, expected.logits_N2.numpy(), atol=1e-4)
    assert np.allclose(gate, expected.gate_N.numpy(), atol=1e-4)
    assert count == 1 or np.ptp(logits, axis=0).min() > 1e-3, "the images are told apart"


@pytest.mark.parametrize("model", ["convnet", "timm vit", "transformers dinov3"], indirect=True)
def test_an_export_is_silent_and_gives_equal_bytes_without_paths(
    model: SelectiveClassifier, graph: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    export_onnx(model, 32, tmp_path / "again.onnx")
    assert capfd.readouterr() == ("", "")
    data = (tmp_path / "again.onnx").read_bytes()
    assert data == graph.read_bytes()
    assert b".py" not in data
    assert [path.name for path in tmp_path.iterdir()] == ["again.onnx"], "weights are inside of it"
