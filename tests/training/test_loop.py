"""The loop on the smallest of models: averaged weights, learning rates, what a bad number does, what is said."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stage1.errors import Stage1Error
from stage1.training.batches import Sampler
from stage1.training.checkpoint import Checkpoints
from stage1.training.config import LoopConfig, OptimiserConfig
from stage1.training.device import Place
from stage1.training.loop import Loop
from tests.training.conftest import Plain

NUM_IMAGES, BATCH_SIZE, EPOCHS = 20, 7, 2
CONFIG = LoopConfig(
    threads=1, batch_size=BATCH_SIZE, optimiser=OptimiserConfig(learning_rate=0.1, warmup=0.5, weight_decay=0)
)


class Slope(nn.Module):
    """One number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0]))


@pytest.fixture
def sampler(streets) -> Sampler:
    """Three steps an epoch."""
    return Sampler(streets.batches(0, NUM_IMAGES), BATCH_SIZE, seed=0)


def loop_on(module: nn.Module, sampler: Sampler, folder: Path, *, ema_decay: float = 0.0) -> Loop:
    place = Place(torch.device("cpu"))
    return Loop(
        module, sampler, CONFIG, epochs=EPOCHS, checkpoints=Checkpoints(folder), place=place, ema_decay=ema_decay
    )


def test_averaged_weights_are_the_exponential_mean_of_those_after_each_step(sampler: Sampler, tmp_path: Path) -> None:
    module, before = Slope(), []

    def loss(_images: Tensor, drawn: Tensor) -> Tensor:
        before.append(module.weight.item())
        return (module.weight * drawn[0]).sum()

    loop = loop_on(module, sampler, tmp_path, ema_decay=0.7)
    loop.run(Plain(loss), lambda _epoch, _loss: {})
    after = [*before[1:], module.weight.item()]
    assert len(set(after)) == 6
    expected = after[0]
    for weight in after[1:]:
        expected = 0.7 * expected + 0.3 * weight
    assert loop.averaged.weight.item() == pytest.approx(expected, rel=1e-5)


def test_without_a_decay_the_averaged_model_is_the_model(sampler: Sampler, tmp_path: Path) -> None:
    module = Slope()
    assert loop_on(module, sampler, tmp_path).averaged is module


def test_a_row_has_the_mean_loss_and_the_rate_of_the_last_step(sampler: Sampler, tmp_path: Path) -> None:
    """Six steps, three of which warm up: the rates are 1/3, 2/3, 3/3 of .1, then the cosine at 0, 1/3 and 2/3."""
    module, losses = Slope(), []

    def loss(*_: Tensor) -> Tensor:
        value = module.weight.square().sum()
        losses.append(value.item())
        return value

    told = []
    rows = loop_on(module, sampler, tmp_path).run(Plain(loss), lambda *seen: told.append(seen) or {"mark": 1}).rows
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [row["loss"] for row in rows] == pytest.approx([sum(losses[:3]) / 3, sum(losses[3:]) / 3])
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.1, 0.1 * 0.25])
    assert [row["mark"] for row in rows] == [1, 1]
    assert told == [(0, rows[0]["loss"]), (1, rows[1]["loss"])]


@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_a_number_that_is_none_stops_before_it_reaches_a_weight(sampler: Sampler, tmp_path: Path, kind: str) -> None:
    """sqrt has no slope at 0: a loss of 0 with a gradient that is not a number."""
    module, seen = Slope(), []

    def loss(*_: Tensor) -> Tensor:
        seen.append(module.weight.item())
        if len(seen) < 5:
            return module.weight.sum()
        zero = (module.weight - module.weight.item()).abs().sum()
        return zero * float("nan") if kind == "loss" else (zero * 0).sqrt()

    with pytest.raises(
        Stage1Error, match=r"at epoch 2, step 2 \(images .*png\)\. Lower optimiser\.learning_rate"
    ) as error:
        loop_on(module, sampler, tmp_path).run(Plain(loss), lambda _epoch, _loss: {})
    assert ("loss is nan" if kind == "loss" else "loss is 0.0 and its gradient's norm nan") in str(error.value)
    batch = list(sampler.epoch(1))[1]
    names = ", ".join(map(sampler.images.address, batch.rows_B))
    assert f"(images {names})" in str(error.value)
    assert f"the last good checkpoint is {tmp_path}" in str(error.value)
    assert module.weight.item() == seen[-1]


def test_gradients_are_clipped_to_the_global_norm(sampler: Sampler, tmp_path: Path) -> None:
    """AdamW does not see the scale of a gradient, but its moments do: after one step they are .1 x the clipped one."""
    module = Slope()
    loop = loop_on(module, sampler, tmp_path)

    def loss(*_: Tensor) -> Tensor:
        if loop.global_step == 1:
            moment = loop.descent.base.state[module.weight]["exp_avg"]
            assert moment.item() == pytest.approx(0.1 * CONFIG.optimiser.clip_norm, rel=1e-4)
        return 1e4 * module.weight.sum()

    loop.run(Plain(loss), lambda _epoch, _loss: {})


def test_progress_is_told_up_to_the_last_step(sampler: Sampler, tmp_path: Path, said: Path) -> None:
    module = Slope()
    loop_on(module, sampler, tmp_path / "run").run(Plain(lambda *_: module.weight.sum()), lambda _epoch, _loss: {})
    last = json.loads(said.read_text().splitlines()[-1])
    assert (last["kind"], last["done"], last["total"], last["unit"]) == ("progress", 6, 6, "step")
    assert (last["epoch"], last["epochs"]) == (2, 2)
    assert last["images_per_s"] > 0


def test_a_finished_run_is_not_run_again(sampler: Sampler, tmp_path: Path) -> None:
    module = Slope()
    rows = loop_on(module, sampler, tmp_path).run(Plain(lambda *_: module.weight.sum()), lambda _epoch, _loss: {}).rows

    def never(*_: object) -> Tensor:
        raise AssertionError("there is no step left")

    again = Slope()
    assert loop_on(again, sampler, tmp_path).run(Plain(never), lambda _epoch, _loss: {}).rows == rows
    assert torch.equal(again.weight, module.weight)
