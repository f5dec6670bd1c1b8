"""Network and heads: shapes, normalisation, and that an image's answer does not depend on its neighbours."""

import numpy as np
import pytest
import torch

from stage1.model.backbone import build_backbone
from stage1.model.classifier import Normalise, SelectiveClassifier
from stage1.model.config import BackboneConfig
from stage1.model.convnet import ConvNet

WIDTHS = (8, 16, 24)


@pytest.fixture
def model() -> SelectiveClassifier:
    torch.manual_seed(0)
    return SelectiveClassifier(build_backbone(BackboneConfig(widths=WIDTHS), 16))


def pixels(count: int, size: int = 16) -> torch.Tensor:
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_three_heads_answer_every_image(model: SelectiveClassifier) -> None:
    outputs = model(model.normalise(pixels(5)))
    assert [tuple(tensor.shape) for tensor in outputs] == [(5, 2), (5,), (5, 2)]
    assert all(tensor.dtype == torch.float32 for tensor in outputs)


def test_the_map_has_a_cell_per_stride_and_pools_to_mean_and_maximum() -> None:
    network = ConvNet(WIDTHS)
    assert (network.stride, network.num_features, network.num_pooled) == (8, 24, 48)
    features = network.forward_map(torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(4)))
    assert features.shape == (3, 24, 4, 4)
    cells = features.flatten(2)
    pooled = network.forward_pooled(torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(4)))
    assert torch.allclose(pooled, torch.cat([cells.mean(2), cells.max(2).values], dim=1), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalise_is_pixel_over_255_less_mean_over_deviation(dtype: torch.dtype) -> None:
    images = pixels(4)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = ((images.numpy() / 255 - mean) / std).transpose(0, 3, 1, 2)
    assert np.allclose(Normalise()(images.to(dtype)).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_one_image_is_answered_as_in_a_batch(model: SelectiveClassifier, training: bool) -> None:
    model.train(training)
    x_N3HW = model.normalise(pixels(9))
    together = model(x_N3HW)
    for number in range(9):
        alone = model(x_N3HW[number : number + 1])
        for one, all_of_them in zip(alone, together, strict=True):
            assert torch.allclose(one[0], all_of_them[number], atol=1e-5)


def test_dropout_acts_in_training_only(model: SelectiveClassifier) -> None:
    dropping = SelectiveClassifier(build_backbone(BackboneConfig(widths=WIDTHS), 16), dropout=0.5)
    x_N3HW = model.normalise(pixels(2))
    assert not torch.equal(dropping.train()(x_N3HW).logits_N2, dropping(x_N3HW).logits_N2)
    assert torch.equal(dropping.eval()(x_N3HW).logits_N2, dropping(x_N3HW).logits_N2)
