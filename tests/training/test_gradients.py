"""A batch that is cut has the loss and the gradient of one that is not: into parts, and when memory does not suffice.

Memory that does not suffice is the one fault that this machine cannot be made to show; a model stands in that refuses
more images at once than it is told.
"""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stage1.errors import BadConfig
from stage1.model.backbone import build_backbone
from stage1.model.classifier import Normalise, SelectiveClassifier
from stage1.model.config import BackboneConfig
from stage1.model.masked import MaskedModel
from stage1.model.masked_autoencoder import MaskedAutoencoder
from stage1.training.batches import Batch
from stage1.training.config import PretrainConfig, RiskConfig, TrainConfig
from stage1.training.gradients import Gradients
from stage1.training.objective import Objective
from stage1.training.pretrain import Masked
from stage1.training.processes import ALONE
from stage1.training.supervised import Supervised

CPU = torch.device("cpu")
NUM_IMAGES = 24
LABELS_N = torch.arange(100) % 2
CONFIG = TrainConfig(risk=RiskConfig(alpha=0.2), label_smoothing=0.1, positive_weight=2.0, target_coverage=0.95)


def batch() -> Batch:
    images = np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, 16, 16, 3), np.uint8)
    return Batch(np.random.default_rng(1).permutation(100)[:NUM_IMAGES], torch.from_numpy(images))


def supervised(phase: str, kind: str = "convnet") -> tuple[torch.nn.Module, Objective]:
    torch.manual_seed(0)
    named = {"name": "test_vit"} if kind == "timm" else {"widths": (8, 16)}
    model = SelectiveClassifier(build_backbone(BackboneConfig(kind=kind, **named), 16)).double()
    return model, Supervised(model, LABELS_N, CONFIG, phase)


def masked(kind: str) -> tuple[torch.nn.Module, Objective]:
    torch.manual_seed(0)
    if kind == "hidden patches":
        module: Any = MaskedModel(build_backbone(BackboneConfig(widths=(8, 16)), 16), 5, 0.5)
    else:
        module = MaskedAutoencoder(build_backbone(BackboneConfig(kind="timm", name="test_vit"), 32), 0.75, 32, 1)
    return module, Masked(module, Normalise(), PretrainConfig())


class Widened(torch.nn.Module):
    """Images in float64, so that sums in another order differ by nothing that counts."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images).double()


OBJECTIVES = ["ce", "selective", "crc", "hidden patches", "masked autoencoder"]


def made(name: str) -> tuple[torch.nn.Module, Any]:
    module, objective = supervised(name) if name in ("ce", "selective", "crc") else masked(name)
    if isinstance(module, SelectiveClassifier):
        module.normalise = Widened(module.normalise)
    return module, objective


def computed(name: str, part_size: int) -> tuple[float, dict[str, Tensor]]:
    module, objective = made(name)
    given = batch()
    if name == "masked autoencoder":
        given = Batch(given.rows_B, given.images_bHW3.repeat(1, 2, 2, 1))
    loss = Gradients(module, ALONE, CPU, part_size, nullcontext).compute(objective, given, seed=7)
    return loss.item(), {name: each.grad for name, each in module.named_parameters() if each.grad is not None}


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("part_size", [1, 5, 12, 23])
def test_parts_of_a_batch_have_its_loss_and_gradient(name: str, part_size: int) -> None:
    """Networks and sums under the heads are float64, what they say float32; those of the masked kinds are float32."""
    whole_loss, whole = computed(name, 0)
    loss, parts = computed(name, part_size)
    exact = name in ("ce", "selective", "crc")
    assert loss == pytest.approx(whole_loss, rel=1e-6)
    assert parts.keys() == whole.keys()
    for key, gradient in whole.items():
        scale = gradient.abs().max().item() + 1e-12
        assert (parts[key] - gradient).abs().max().item() < (1e-5 if exact else 1e-4) * scale, key


@pytest.mark.parametrize("phase", ["selective", "crc"])
def test_the_mean_over_parts_would_be_another_loss(phase: str) -> None:
    """Why statistics of a batch are gathered: averaged over parts they are something else."""
    module, objective = made(phase)
    objective = replace(objective, config=CONFIG.model_copy(update={"risk": RiskConfig(alpha=0.5)}))
    given = batch()
    with torch.no_grad():
        for weight in module.gate.parameters():
            weight.mul_(8)  # a gate that tells images apart

    class Averaged:
        whole_batch = False
        draw, forward, loss = objective.draw, objective.forward, objective.loss

    def gradient(of: Any, part_size: int) -> Tensor:
        Gradients(module, ALONE, CPU, part_size, nullcontext).compute(of, given, seed=7)
        return torch.cat([each.grad.flatten() for each in module.parameters()])

    assert torch.allclose(gradient(Averaged(), 0), gradient(objective, 0), rtol=1e-4, atol=1e-6)
    averaged, gathered = gradient(Averaged(), 8), gradient(objective, 8)
    assert (averaged - gathered).norm() > 1e-3 * gathered.norm()


def test_a_batch_in_one_part_is_run_once_and_in_parts_as_often_as_its_loss_needs() -> None:
    for phase, part_size, expected in [("ce", 0, 1), ("ce", 12, 2), ("selective", 0, 1), ("selective", 12, 4)]:
        module, objective = made(phase)
        runs: list[int] = []
        module.register_forward_hook(lambda _module, given, _out, runs=runs: runs.append(len(given[0])))
        Gradients(module, ALONE, CPU, part_size, nullcontext).compute(objective, batch(), seed=7)
        assert len(runs) == expected
        assert sum(runs) == NUM_IMAGES * (2 if expected == 4 else 1)


class Limited:
    """An objective whose model has memory for so many images and no more."""

    def __init__(self, inner: Any, most: int) -> None:
        self._inner, self._most, self.refused = inner, most, 0
        self.whole_batch = inner.whole_batch
        self.draw, self.loss = inner.draw, inner.loss

    def forward(self, images: Tensor, drawn: Any) -> tuple[Tensor, ...]:
        if len(images) > self._most:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self._inner.forward(images, drawn)


@pytest.mark.parametrize("phase", ["ce", "selective", "crc"])
def test_out_of_memory_cuts_the_batch_and_changes_nothing_but_the_time(phase: str, said: Path) -> None:
    whole_loss, whole = computed(phase, 0)
    module, objective = made(phase)
    said.unlink(missing_ok=True)
    limited = Limited(objective, most=7)
    gradients = Gradients(module, ALONE, CPU, 0, nullcontext)
    assert gradients.compute(limited, batch(), seed=7).item() == pytest.approx(whole_loss, rel=1e-6)
    for key, gradient in whole.items():
        found = module.get_parameter(key).grad
        assert torch.allclose(found, gradient, rtol=1e-5, atol=1e-9 + 1e-6 * gradient.abs().max().item())
    assert gradients.part_size == 6, "24 and 12 did not fit"
    told = [json.loads(line)["message"] for line in said.read_text().splitlines()]
    assert [message[:38] for message in told] == [
        "24 images at a time do not fit in memo",
        "12 images at a time do not fit in memo",
    ]
    assert "batches of 24 are now run 6 at a time" in told[-1]
    refused = limited.refused
    gradients.compute(limited, batch(), seed=8)
    assert limited.refused == refused, "what was learnt is kept"


def test_one_image_that_does_not_fit_is_an_error_that_says_what_to_do() -> None:
    module, objective = made("ce")
    with pytest.raises(BadConfig, match="one image at a time needs more memory than this device has"):
        Gradients(module, ALONE, CPU, 0, nullcontext).compute(Limited(objective, 0), batch(), seed=7)


def test_dropout_is_drawn_again_as_it_was() -> None:
    """F-SAM's second pass, and the second run of parts: the same seed gives the same loss."""
    torch.manual_seed(0)
    model = SelectiveClassifier(build_backbone(BackboneConfig(widths=(8, 16)), 16), dropout=0.5)
    objective = Supervised(model, LABELS_N, CONFIG, "selective")
    gradients = Gradients(model, ALONE, CPU, 7, nullcontext)
    losses = [gradients.compute(objective, batch(), seed).item() for seed in (3, 3, 4)]
    assert losses[0] == losses[1] != losses[2]


def bf16() -> Iterator[None]:
    return torch.autocast("cpu", torch.bfloat16)


def test_in_bfloat16_the_gradient_is_close_and_the_weights_are_float32() -> None:
    model, objective = supervised("selective", "timm")
    model = model.float()
    exact = Gradients(model, ALONE, CPU, 0, nullcontext).compute(objective, batch(), 7)
    expected = model.get_parameter("cls.weight").grad.clone()
    half = Gradients(model, ALONE, CPU, 0, bf16).compute(objective, batch(), 7)
    found = model.get_parameter("cls.weight").grad
    assert found.dtype == torch.float32
    assert half.item() == pytest.approx(exact.item(), rel=0.02)
    assert not torch.equal(found, expected)
    assert (found - expected).norm() < 0.1 * expected.norm()
