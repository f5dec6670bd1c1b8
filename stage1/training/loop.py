"""The loop that every kind of training shares: steps, averaged weights, checkpoints, progress, a clean stop.

Everything random in a step comes from (seed, epoch, step), so a run that is stopped anywhere and started again ends
with the same weights as one that was not.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stage1 import events
from stage1.errors import Interrupted, Stage1Error, StorageError
from stage1.training.batches import Batch, Sampler, derived_seed
from stage1.training.checkpoint import Checkpoints
from stage1.training.config import LoopConfig
from stage1.training.curves import Curves, Several
from stage1.training.device import Place
from stage1.training.gradients import Gradients
from stage1.training.interrupt import StopRequest
from stage1.training.objective import Objective
from stage1.training.optimiser import Descent, schedule
from stage1.training.processes import ALONE, Processes

_CHECKPOINT_EVERY_S = 60.0
_CHECKPOINT_SHARE = 0.05  # of the time, at most, goes into checkpoints of large models
_PROGRESS_EVERY_S = 0.5
_NAMED = 64  # images of a bad batch

ObjectiveOf = Callable[[int], Objective]
AfterEpoch = Callable[[int, float], dict[str, Any]]


@dataclass
class Progress:
    """Where a run is and what it has seen; saved and restored with the weights.

    Attributes:
        part_size: See Gradients; what fitted in memory, so that a run that goes on adds up the same numbers.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    part_size: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)


class Loop:
    """Train `module` for `epochs` passes of `sampler`.

    Args:
        module: What is trained, on the place's device; objectives run it.
        ema_decay: Decay of the averaged copy `self.averaged`; 0 averages nothing and `averaged` is the module itself.
        checkpoints: Where the state is kept; a run found there is continued.
        curves: Get the numbers of every step.
        processes: Those that train the same module together; the first one writes.
    """

    def __init__(
        self,
        module: nn.Module,
        sampler: Sampler,
        config: LoopConfig,
        *,
        epochs: int,
        checkpoints: Checkpoints,
        place: Place,
        ema_decay: float = 0.0,
        curves: Curves = Several(),  # noqa: B008  nobody
        processes: Processes = ALONE,
    ) -> None:
        self.module = module
        self.sampler = sampler
        self.config = config
        self.epochs = epochs
        self.checkpoints = checkpoints
        self.num_steps = epochs * sampler.steps_per_epoch
        self.descent = Descent(module, config.optimiser, self.num_steps)
        self._place = place
        self._processes = processes
        self._curves = curves
        self._gradients = Gradients(module, processes, place.device, config.part_size, place.autocast)
        processes.share([*module.parameters(), *module.buffers()])
        self._ema = _averaged(module, ema_decay) if ema_decay else None
        self._stop = StopRequest(patient=processes.count > 1)
        self._stopping = False
        self._next_epoch = 0
        self.progress = Progress()
        self._restore()

    @property
    def averaged(self) -> nn.Module:
        """The weights to evaluate and keep."""
        return self._ema.module if self._ema else self.module

    @property
    def global_step(self) -> int:
        """Optimiser steps done so far, those that an early end passed over included."""
        return self.progress.epoch * self.sampler.steps_per_epoch + self.progress.step

    def run(self, objective_of: ObjectiveOf, after_epoch: AfterEpoch) -> Progress:
        """Train to the end.

        Args:
            objective_of: What an epoch minimises.
            after_epoch: after_epoch(epoch, mean loss) returns that epoch's row of the history; may call `go_on_with`.

        Raises:
            Interrupted: SIGINT or SIGTERM came; a checkpoint was written.
            Stage1Error: The loss or its gradient is not a number; names the step and images.
        """
        status = "FAILED"
        try:
            with self._stop.collected():
                self._run(objective_of, after_epoch)
            if self._stopped():
                raise self._interrupted()
            status = "FINISHED"
        except Interrupted:
            status = "KILLED"
            raise
        finally:
            self._curves.close(status)
        return self.progress

    def stop_if_asked(self) -> None:
        """Write a checkpoint and raise Interrupted if a signal came. For `after_epoch`, which is redone on resuming.

        Every process must call it equally often.
        """
        if self._stopped():
            self._save()
            raise self._interrupted()

    def go_on_with(self, epoch: int) -> None:
        """Pass over the epochs before this one, and over their part of the schedule. For `after_epoch`."""
        self._next_epoch = epoch

    @property
    def learning_rate(self) -> float:
        """Learning rate of the last step, before the backbone's share."""
        done = max(1, self.global_step)
        config = self.config.optimiser
        return config.learning_rate * schedule(done - 1, self.num_steps, config.warmup)

    def _run(self, objective_of: ObjectiveOf, after_epoch: AfterEpoch) -> None:
        clock = _Clock(self.global_step)
        while self.progress.epoch < self.epochs and not self._stopped():
            self._train_epoch(objective_of(self.progress.epoch), clock)
            epoch = self.progress.epoch
            mean_loss = self.progress.loss_sum / self.sampler.steps_per_epoch
            self.module.eval()
            row = {"epoch": epoch + 1, "loss": mean_loss, "learning_rate": self.learning_rate}
            self._next_epoch = epoch + 1
            self.progress.rows.append(row | after_epoch(epoch, mean_loss))
            self._curves.add(self.global_step, _numbers(self.progress.rows[-1]))
            self.descent.pass_over((self._next_epoch - epoch - 1) * self.sampler.steps_per_epoch)
            self.progress.epoch, self.progress.step, self.progress.loss_sum = self._next_epoch, 0, 0.0
            self._save()

    def _train_epoch(self, objective: Objective, clock: "_Clock") -> None:
        """Take the steps that are left of this epoch."""
        self.module.train()
        batches = self.sampler.epoch(self.progress.epoch, self.progress.step)
        for batch in clock.waiting(batches):
            self._step(batch, objective)
            self._report(clock)
            self.stop_if_asked()
            if self._is_due(clock):
                self._save()
                clock.checkpoint_written()

    def _is_due(self, clock: "_Clock") -> bool:
        """Whether a checkpoint is; each process need not agree, as one alone writes it."""
        every = self.config.checkpoint.every_steps
        return self.global_step % every == 0 if every else clock.due_checkpoint()

    def _stopped(self) -> bool:
        """Whether any process was told to stop; all of them learn it at the same place."""
        self._stopping = self._stopping or self._processes.any(bool(self._stop), self._place.device)
        return self._stopping

    def _interrupted(self) -> Interrupted:
        number = self._stop.signal or 15  # another process's
        return Interrupted(
            f"stopped by signal {number} at step {self.global_step} of {self.num_steps}; "
            "the same command goes on from there.",
            number,
        )

    def _step(self, batch: Batch, objective: Objective) -> None:
        epoch, step = self.progress.epoch, self.progress.step
        seed = derived_seed(self.config.seed, epoch, step, 1)
        value, steepness = self.descent.step(lambda: self._gradients.compute(objective, batch, seed))
        if not (math.isfinite(value) and math.isfinite(steepness)):
            raise Stage1Error(
                f"the loss is {value} and its gradient's norm {steepness} at epoch {epoch + 1}, step {step + 1} "
                f"(images {self._named(batch)}). Lower optimiser.learning_rate or optimiser.clip_norm; "
                f"{self._last_good()}."
            )
        if self._ema:
            self._ema.update_parameters(self.module)
        self.progress.step += 1
        self.progress.loss_sum += value
        self.progress.part_size = self._gradients.part_size
        numbers = {"loss": value, "gradient_norm": steepness, "learning_rate": self.learning_rate}
        self._curves.add(self.global_step, numbers)

    def _named(self, batch: Batch) -> str:
        shown = [self.sampler.images.address(int(row)) for row in batch.rows_B[:_NAMED]]
        return ", ".join(shown) + (f" and {len(batch.rows_B) - _NAMED} more" if len(batch.rows_B) > _NAMED else "")

    def _last_good(self) -> str:
        name = self.checkpoints.newest_name()
        return f"the last good checkpoint is {name}" if name else "there is no checkpoint yet"

    def _report(self, clock: "_Clock") -> None:
        if clock.due_progress() or self.global_step == self.num_steps:
            images_per_step = len(self.sampler.images) / self.sampler.steps_per_epoch
            speed = {
                **clock.speed(self.global_step, images_per_step),
                "memory_mb": self._place.peak_memory_mb(),
            }
            self._curves.add(self.global_step, speed)
            events.progress(
                self.global_step,
                self.num_steps,
                "step",
                epoch=self.progress.epoch + 1,
                epochs=self.epochs,
                loss=self.progress.loss_sum / max(1, self.progress.step),
                learning_rate=self.learning_rate,
                **speed,
            )

    def _save(self) -> None:
        if not self._processes.is_first:
            return
        state = {
            "module": self.module.state_dict(),
            "ema": self._ema.state_dict() if self._ema else {},
            "descent": self.descent.state_dict(),
            "progress": vars(self.progress),
        }
        self.checkpoints.save(self.global_step, state)

    def _restore(self) -> None:
        state = self._processes.wait_for_first(self.checkpoints.newest)
        if state is not None:
            self.progress = Progress(**state["progress"])
        if not self._processes.agree(-1 if state is None else self.global_step, self._place.device):
            raise StorageError(
                f"the processes found different checkpoints, this one step {self.global_step}: the newest of the first "
                f"one is not where all reach it. Remove {self.checkpoints.folder} on the first node and start again."
            )
        if state is None:
            return
        self.module.load_state_dict(state["module"])
        if self._ema:
            self._ema.load_state_dict(state["ema"])
        self.descent.load_state_dict(state["descent"])
        self._gradients.part_size = self.progress.part_size
        events.note(f"going on from step {self.global_step} of {self.num_steps}")


def _averaged(module: nn.Module, decay: float) -> AveragedModel:
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(module, multi_avg_fn=average)


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    """What only the end of an epoch tells."""
    return {
        f"epoch_{name}": float(value)
        for name, value in row.items()
        if isinstance(value, int | float) and name not in ("epoch", "learning_rate")
    }


class _Clock:
    """Says when something is due, how fast steps go, and what share of the time they wait for images."""

    def __init__(self, step: int) -> None:
        self.shown = self.asked = time.monotonic()
        self.steps_shown = step
        self.waited = 0.0
        self.next_checkpoint = self.shown + _CHECKPOINT_EVERY_S

    def waiting(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield the batches, and count the time until each is there."""
        while True:
            asked = time.monotonic()
            batch = next(batches, None)
            self.waited += time.monotonic() - asked
            if batch is None:
                return
            yield batch

    def due_checkpoint(self) -> bool:
        self.asked = time.monotonic()
        return self.asked >= self.next_checkpoint

    def checkpoint_written(self) -> None:
        """Put the next one off by as much as the last one, asked for just now, was slow."""
        now = time.monotonic()
        self.next_checkpoint = now + max(_CHECKPOINT_EVERY_S, (now - self.asked) / _CHECKPOINT_SHARE)

    def due_progress(self) -> bool:
        return time.monotonic() - self.shown >= _PROGRESS_EVERY_S

    def speed(self, step: int, images_per_step: float) -> dict[str, float]:
        """Images a second, and the share of the time spent waiting for them, since the last report."""
        now = time.monotonic()
        seconds = max(now - self.shown, 1e-9)
        rate, share = (step - self.steps_shown) / seconds, min(1.0, self.waited / seconds)
        self.shown, self.steps_shown, self.waited = now, step, 0.0
        return {"images_per_s": rate * images_per_step, "data_wait": share}
