"""The loop that every kind of training shares: steps, averaged weights, checkpoints, progress, a clean stop.

Everything random in a step comes from (seed, epoch, step), so a run that is stopped anywhere and started again ends
with the same weights as one that was not.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stage1 import events
from stage1.errors import Interrupted, Stage1Error
from stage1.training.batches import Batch, Sampler, derived_seed
from stage1.training.checkpoint import Checkpoints
from stage1.training.config import LoopConfig
from stage1.training.interrupt import StopRequest
from stage1.training.optimiser import build_optimiser, schedule

_CHECKPOINT_EVERY_S = 60.0
_CHECKPOINT_SHARE = 0.05  # of the time, at most, goes into checkpoints of large models
_PROGRESS_EVERY_S = 0.5

LossFunction = Callable[[Batch, int, torch.Generator], Tensor]
AfterEpoch = Callable[[int, float], dict[str, Any]]


@dataclass
class Progress:
    """Where a run is and what it has seen; saved and restored with the weights."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)


class Loop:
    """Train `module` for `epochs` passes of `sampler`.

    Args:
        module: What is trained; `loss_function(batch, epoch, generator)` runs it.
        ema_decay: Decay of the averaged copy `self.averaged`; 0 averages nothing and `averaged` is the module itself.
        checkpoints: Where the state is kept; a run found there is continued.
    """

    def __init__(
        self,
        module: nn.Module,
        sampler: Sampler,
        config: LoopConfig,
        *,
        epochs: int,
        checkpoints: Checkpoints,
        ema_decay: float = 0.0,
    ) -> None:
        self.module = module
        self.sampler = sampler
        self.config = config
        self.epochs = epochs
        self.checkpoints = checkpoints
        self.num_steps = epochs * sampler.steps_per_epoch
        self.optimiser, self.schedule = build_optimiser(module, config.optimiser, self.num_steps)
        self._ema = _averaged(module, ema_decay) if ema_decay else None
        self._stop = StopRequest()
        self.progress = Progress()
        self._restore()

    @property
    def averaged(self) -> nn.Module:
        """The weights to evaluate and keep."""
        return self._ema.module if self._ema else self.module

    @property
    def global_step(self) -> int:
        """Optimiser steps done so far."""
        return self.progress.epoch * self.sampler.steps_per_epoch + self.progress.step

    def run(self, loss_function: LossFunction, after_epoch: AfterEpoch) -> Progress:
        """Train to the end; `after_epoch(epoch, mean loss)` returns that epoch's row of the history.

        Raises:
            Interrupted: SIGINT or SIGTERM came; a checkpoint was written.
            Stage1Error: The loss or its gradient is not a number; names the step and rows.
        """
        clock = _Clock(self.global_step)
        with self._stop.collected():
            while self.progress.epoch < self.epochs and not self._stop:
                self._train_epoch(loss_function, clock)
                epoch = self.progress.epoch
                mean_loss = self.progress.loss_sum / self.sampler.steps_per_epoch
                self.module.eval()
                row = {"epoch": epoch + 1, "loss": mean_loss, "learning_rate": self.learning_rate}
                self.progress.rows.append(row | after_epoch(epoch, mean_loss))
                self.progress.epoch, self.progress.step, self.progress.loss_sum = epoch + 1, 0, 0.0
                self._save()
        if self._stop:
            raise self._interrupted()
        return self.progress

    def stop_if_asked(self) -> None:
        """Write a checkpoint and raise Interrupted if a signal came. For `after_epoch`, which is redone on resuming."""
        if self._stop:
            self._save()
            raise self._interrupted()

    @property
    def learning_rate(self) -> float:
        """Learning rate of the last step, before the backbone's share."""
        done = max(1, self.global_step)
        config = self.config.optimiser
        return config.learning_rate * schedule(done - 1, self.num_steps, config.warmup)

    def _train_epoch(self, loss_function: LossFunction, clock: "_Clock") -> None:
        """Take the steps that are left of this epoch."""
        self.module.train()
        for batch in self.sampler.epoch(self.progress.epoch, self.progress.step):
            self._step(batch, loss_function)
            self._report(clock)
            self.stop_if_asked()
            if clock.due_checkpoint():
                self._save()
                clock.checkpoint_written()

    def _interrupted(self) -> Interrupted:
        return Interrupted(
            f"stopped by signal {self._stop.signal} at step {self.global_step} of {self.num_steps}; "
            "the same command goes on from there.",
            self._stop.signal,
        )

    def _step(self, batch: Batch, loss_function: LossFunction) -> None:
        epoch, step = self.progress.epoch, self.progress.step
        seed = derived_seed(self.config.seed, epoch, step, 1)
        torch.manual_seed(seed)
        loss = loss_function(batch, epoch, torch.Generator().manual_seed(seed))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.module.parameters(), self.config.optimiser.clip_norm)
        value, steepness = torch.stack([loss.detach(), norm]).tolist()  # one wait for the device
        if not (math.isfinite(value) and math.isfinite(steepness)):
            raise Stage1Error(
                f"the loss is {value} and its gradient's norm {steepness} at epoch {epoch + 1}, step {step + 1} "
                f"(rows {batch.rows_B[:8].tolist()} ...). Lower optimiser.learning_rate or optimiser.clip_norm."
            )
        self.optimiser.step()
        self.schedule.step()
        if self._ema:
            self._ema.update_parameters(self.module)
        self.progress.step += 1
        self.progress.loss_sum += value

    def _report(self, clock: "_Clock") -> None:
        if clock.due_progress() or self.global_step == self.num_steps:
            events.progress(
                self.global_step,
                self.num_steps,
                "step",
                epoch=self.progress.epoch + 1,
                epochs=self.epochs,
                loss=self.progress.loss_sum / max(1, self.progress.step),
                learning_rate=self.learning_rate,
                images_per_s=clock.rate(self.global_step) * len(self.sampler.images) / self.sampler.steps_per_epoch,
            )

    def _save(self) -> None:
        state = {
            "module": self.module.state_dict(),
            "ema": self._ema.state_dict() if self._ema else {},
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "progress": vars(self.progress),
        }
        self.checkpoints.save(self.global_step, state)

    def _restore(self) -> None:
        state = self.checkpoints.newest()
        if state is None:
            return
        self.module.load_state_dict(state["module"])
        if self._ema:
            self._ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.progress = Progress(**state["progress"])
        events.note(f"going on from step {self.global_step} of {self.num_steps}")


def _averaged(module: nn.Module, decay: float) -> AveragedModel:
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(module, multi_avg_fn=average)


class _Clock:
    """Says when something is due, and how fast steps go."""

    def __init__(self, step: int) -> None:
        self.shown = self.asked = time.monotonic()
        self.steps_shown = step
        self.next_checkpoint = self.shown + _CHECKPOINT_EVERY_S

    def due_checkpoint(self) -> bool:
        self.asked = time.monotonic()
        return self.asked >= self.next_checkpoint

    def checkpoint_written(self) -> None:
        """Put the next one off by as much as the last one, asked for just now, was slow."""
        now = time.monotonic()
        self.next_checkpoint = now + max(_CHECKPOINT_EVERY_S, (now - self.asked) / _CHECKPOINT_SHARE)

    def due_progress(self) -> bool:
        return time.monotonic() - self.shown >= _PROGRESS_EVERY_S

    def rate(self, step: int) -> float:
        """Steps a second since the last report."""
        now = time.monotonic()
        rate = (step - self.steps_shown) / max(now - self.shown, 1e-9)
        self.shown, self.steps_shown = now, step
        return rate
