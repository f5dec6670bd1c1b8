"""The gradient of one batch's loss, however the batch is cut: over processes, and into parts that fit in memory.

A loss that is the mean of the images' own is summed over parts. One that is a statistic of the whole batch (a ratio, an
order statistic) is not: there every part is run without gradients, the loss and its slope with respect to all outputs
are taken once, and every part is run again, with the same random numbers, to carry its share of the slope back. So a
batch that is cut has the loss and the gradient of one that is not, for one more forward pass. (Gao et al. 2021, arXiv
2101.06983, cut contrastive losses this way.)

Shapes: B images in a batch, b of this process.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stage1 import events
from stage1.errors import BadConfig
from stage1.training.batches import Batch, derived_seed
from stage1.training.objective import Objective
from stage1.training.processes import Processes

R = TypeVar("R")


class _DoesNotFit(Exception):
    """A part of the batch was too large for the memory of some process."""


class Gradients:
    """Computes gradients into `module`'s parameters.

    Args:
        module: What learns.
        part_size: Most images that a process runs at once; 0 runs its share of a batch in one.
        autocast: Makes the context that the model is run in.

    Attributes:
        part_size: As above; halved whenever memory does not suffice.
    """

    def __init__(
        self,
        module: nn.Module,
        processes: Processes,
        device: torch.device,
        part_size: int,
        autocast: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self._parameters = list(module.parameters())
        self._processes = processes
        self._device = device
        self._autocast = autocast
        self.part_size = part_size

    def compute(self, objective: Objective, batch: Batch, seed: int) -> Tensor:
        """Replace all gradients by those of the batch's loss, and return the loss; the same on every process.

        Args:
            seed: Of everything random in it: the same seed gives the same loss again.

        Raises:
            BadConfig: Not even one image at a time fits in memory.
        """
        while True:
            try:
                return self._attempt(objective, batch, seed)
            except _DoesNotFit as error:
                self._smaller(batch, error)

    def _attempt(self, objective: Objective, batch: Batch, seed: int) -> Tensor:
        for parameter in self._parameters:
            parameter.grad = None
        _, height, width, _ = batch.images_bHW3.shape
        drawn = objective.draw(len(batch.rows_B), (height, width), torch.Generator().manual_seed(seed))
        run = _Parts(objective, batch, seed, drawn, self._device, self._autocast, self.part_size)
        loss = self._of_whole(run) if objective.whole_batch else self._of_parts(run)
        self._processes.sum_gradients(self._parameters)
        return loss

    def _of_parts(self, run: "_Parts") -> Tensor:
        def passes() -> Tensor:
            total = torch.zeros((), device=self._device)
            for part in run.parts():
                loss = run.objective.loss(run.forward(part), run.rows(part)) * (_length(part) / run.size)
                loss.backward()  # type: ignore[no-untyped-call]
                total += loss.detach()
            return total

        return self._processes.sum(self._fitting(passes))

    def _of_whole(self, run: "_Parts") -> Tensor:
        parts = list(run.parts())
        kept: list[tuple[Tensor, ...]] = []

        def look() -> tuple[Tensor, ...]:
            with torch.set_grad_enabled(len(parts) == 1):
                kept.extend(run.forward(part) for part in parts)
            return tuple(torch.cat([output.detach() for output in outputs]) for outputs in zip(*kept, strict=True))

        own = self._fitting(look)
        leaves = tuple(self._processes.gather(each, run.start, run.size).requires_grad_() for each in own)
        loss = run.objective.loss(leaves, run.all_rows)
        slopes = torch.autograd.grad(loss, leaves, allow_unused=True)

        def carry_back() -> None:
            for part in parts:
                outputs = kept.pop() if len(parts) == 1 else run.forward(part)
                pairs = [
                    (output, slope[part]) for output, slope in zip(outputs, slopes, strict=True) if slope is not None
                ]
                torch.autograd.backward([output for output, _ in pairs], [slope for _, slope in pairs])

        self._fitting(carry_back)
        return loss.detach()

    def _fitting(self, work: Callable[[], R]) -> R:
        """Do what may need more memory than there is; every process learns whether it did in all of them."""
        result: R | None = None
        try:
            result = work()
        except torch.OutOfMemoryError:
            failed = True
        else:
            failed = False
        if self._processes.any(failed, self._device):
            raise _DoesNotFit
        return result  # type: ignore[return-value]

    def _smaller(self, batch: Batch, error: _DoesNotFit) -> None:
        share = -(-len(batch.rows_B) // self._processes.count)
        tried = min(self.part_size or share, share)
        if tried == 1:
            raise BadConfig(
                "one image at a time needs more memory than this device has. Use a smaller preprocessing.image_size or "
                "backbone, train.recompute=true, or precision bf16."
            ) from error
        self.part_size = -(-tried // 2)
        for parameter in self._parameters:
            parameter.grad = None
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        events.note(
            f"{tried} images at a time do not fit in memory: batches of {len(batch.rows_B)} are now run "
            f"{self.part_size} at a time in each process; the loss stays the same"
        )


class _Parts:
    """The share of a batch that is this process's, part by part; parts are named by their places in the batch."""

    def __init__(
        self,
        objective: Objective,
        batch: Batch,
        seed: int,
        drawn: Sequence[Any],
        device: torch.device,
        autocast: Callable[[], AbstractContextManager[Any]],
        part_size: int,
    ) -> None:
        self.objective, self.start, self.size = objective, batch.start, len(batch.rows_B)
        self.all_rows = batch.rows_B
        self._images_bHW3, self._seed, self._drawn = batch.images_bHW3, seed, drawn
        self._device, self._autocast, self._part_size = device, autocast, part_size

    def parts(self) -> Iterator[slice]:
        """Name the parts, which differ by one image at most."""
        count = len(self._images_bHW3)
        number = -(-count // (self._part_size or count))
        edges = self.start + np.linspace(0, count, number + 1).round().astype(int)
        return (slice(one, other) for one, other in pairwise(edges.tolist()))

    def rows(self, part: slice) -> NDArray[np.int64]:
        """Rows of the data set."""
        return self.all_rows[part]

    def forward(self, part: slice) -> tuple[Tensor, ...]:
        """Run one part; whatever draws from torch's global generator draws the same whenever this is done again."""
        torch.manual_seed(derived_seed(self._seed, part.start) if part.start else self._seed)
        images = self._images_bHW3[part.start - self.start : part.stop - self.start]
        with self._autocast():
            return self.objective.forward(images.to(self._device, non_blocking=True), self._drawn[part])


def _length(part: slice) -> int:
    return int(part.stop - part.start)
