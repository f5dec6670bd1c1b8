"""F-SAM against its library alone and against a loop in numpy, over 20 steps and with the batch cut into parts."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_optimizer import FriendlySAM
from torch import Tensor, nn

from stage1.training.batches import Batch
from stage1.training.config import OptimiserConfig, SharpnessConfig
from stage1.training.gradients import Gradients
from stage1.training.optimiser import Descent, schedule
from stage1.training.processes import ALONE

STEPS, NUM_ROWS, WIDTH = 20, 12, 5
SHARPNESS = SharpnessConfig(rho=0.3, sigma=0.9, decay=0.6)
CONFIG = OptimiserConfig(kind="fsam", fsam=SHARPNESS, learning_rate=0.05, weight_decay=0.1, warmup=0.2, clip_norm=0.7)
RNG = np.random.default_rng(0)
INPUTS_SND, TARGETS_SN = RNG.normal(size=(STEPS, NUM_ROWS, WIDTH)), RNG.normal(size=(STEPS, NUM_ROWS))
START_D = RNG.normal(size=WIDTH)


class Regression(nn.Module):
    """Squared error of a line whose slopes are a decayed matrix, in float64; an objective of its own."""

    whole_batch = False

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(WIDTH, 1, bias=False, dtype=torch.float64)
        with torch.no_grad():
            self.line.weight.copy_(torch.from_numpy(START_D)[None])
        self.step = 0

    def draw(self, count: int, size: tuple[int, int], generator: torch.Generator) -> range:
        return range(count)

    def forward(self, images: Tensor, drawn: range) -> tuple[Tensor, ...]:
        inputs_bD = torch.from_numpy(INPUTS_SND[self.step])[list(drawn)]
        targets_b = torch.from_numpy(TARGETS_SN[self.step])[list(drawn)]
        return ((self.line(inputs_bD)[:, 0] - targets_b).square(),)

    def loss(self, outputs: tuple[Tensor, ...], rows_b: Any) -> Tensor:
        return outputs[0].mean()


BATCH = Batch(np.arange(NUM_ROWS), torch.zeros(NUM_ROWS, 1, 1, 3, dtype=torch.uint8))


def ours(part_size: int) -> np.ndarray:
    module = Regression()
    descent = Descent(module, CONFIG, STEPS)
    gradients = Gradients(module, ALONE, torch.device("cpu"), part_size, nullcontext)
    for step in range(STEPS):
        module.step = step
        descent.step(lambda: gradients.compute(module, BATCH, seed=0))
    return module.line.weight.detach().numpy()[0]


def slope(weights_D: np.ndarray, step: int) -> np.ndarray:
    error_N = INPUTS_SND[step] @ weights_D - TARGETS_SN[step]
    return 2 * INPUTS_SND[step].T @ error_N / NUM_ROWS


def by_hand() -> np.ndarray:
    """The paper's recursion and AdamW's, written out."""
    w, m, first, second = START_D.copy(), None, np.zeros(WIDTH), np.zeros(WIDTH)
    for step in range(STEPS):
        g = slope(w, step)
        d = g if m is None else g - SHARPNESS.sigma * m
        m = g if m is None else SHARPNESS.decay * m + (1 - SHARPNESS.decay) * g
        g = slope(w + SHARPNESS.rho * d / np.linalg.norm(d), step)
        g = g * min(1.0, CONFIG.clip_norm / (np.linalg.norm(g) + 1e-6))  # as torch clips
        rate = CONFIG.learning_rate * schedule(step, STEPS, CONFIG.warmup)
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        w = w * (1 - rate * CONFIG.weight_decay)
        w = w - rate * (first / (1 - 0.9 ** (step + 1))) / (np.sqrt(second / (1 - 0.999 ** (step + 1))) + 1e-8)
    return w


def by_the_library() -> np.ndarray:
    """Its own `step(closure)`, as its documentation has it, and a cosine set by hand."""
    module = Regression()
    optimiser = FriendlySAM(
        module.parameters(), torch.optim.AdamW, rho=SHARPNESS.rho, sigma=SHARPNESS.sigma, lmbda=SHARPNESS.decay,
        lr=CONFIG.learning_rate, weight_decay=CONFIG.weight_decay,
    )  # fmt: skip

    def closure(clip: bool = True) -> Tensor:
        optimiser.zero_grad()
        loss = module.loss(module.forward(torch.zeros(0), range(NUM_ROWS)), None)
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(module.parameters(), CONFIG.clip_norm)
        return loss

    for step in range(STEPS):
        module.step = step
        for group in optimiser.param_groups:
            group["lr"] = CONFIG.learning_rate * schedule(step, STEPS, CONFIG.warmup)
        closure(clip=False)
        optimiser.step(closure)
    return module.line.weight.detach().numpy()[0]


@pytest.mark.parametrize("reference", [by_hand, by_the_library])
@pytest.mark.parametrize("part_size", [0, 1, 5])
def test_twenty_steps_are_those_of_the_reference(reference: Callable[[], np.ndarray], part_size: int) -> None:
    assert np.abs(ours(part_size) - reference()).max() < 1e-9


def test_flat_minima_are_looked_for_where_plain_descent_is_not() -> None:
    module = Regression()
    descent = Descent(module, CONFIG.model_copy(update={"kind": "adamw"}), STEPS)
    gradients = Gradients(module, ALONE, torch.device("cpu"), 0, nullcontext)
    for step in range(STEPS):
        module.step = step
        descent.step(lambda: gradients.compute(module, BATCH, seed=0))
    assert np.abs(module.line.weight.detach().numpy()[0] - by_hand()).max() > 1e-3


@pytest.mark.parametrize("kind", ["adamw", "fsam"])
@pytest.mark.parametrize("stop", [1, 7, 19])
def test_a_state_that_was_written_and_read_goes_on_to_the_same_bytes(kind: str, stop: int, tmp_path: Path) -> None:
    """F-SAM's running mean and its base's moments are both in it."""
    config = CONFIG.model_copy(update={"kind": kind})

    def run(module: Regression, descent: Descent, steps: range) -> None:
        gradients = Gradients(module, ALONE, torch.device("cpu"), 0, nullcontext)
        for step in steps:
            module.step = step
            descent.step(lambda: gradients.compute(module, BATCH, seed=0))

    whole = Regression()
    run(whole, Descent(whole, config, STEPS), range(STEPS))
    first = Regression()
    descent = Descent(first, config, STEPS)
    run(first, descent, range(stop))
    torch.save((first.state_dict(), descent.state_dict()), tmp_path / "state")
    weights, state = torch.load(tmp_path / "state", weights_only=True)
    second = Regression()
    going_on = Descent(second, config, STEPS)
    second.load_state_dict(weights)
    going_on.load_state_dict(state)
    run(second, going_on, range(stop, STEPS))
    assert second.line.weight.detach().numpy().tobytes() == whole.line.weight.detach().numpy().tobytes()


def test_a_number_that_is_none_moves_nothing() -> None:
    module = Regression()
    before = module.line.weight.detach().clone()

    def gradients() -> Tensor:
        module.line.weight.grad = torch.full_like(module.line.weight, float("nan"))
        return torch.tensor(1.0)

    loss, norm = Descent(module, CONFIG, STEPS).step(gradients)
    assert (loss, np.isnan(norm)) == (1.0, True)
    assert torch.equal(module.line.weight, before)
