"""Several processes that train one model: one a GPU, or on a CPU as many as are asked for.

Every process holds the whole model and does its part of every batch; gradients are summed over all of them. The sum is
one collective after the last backward pass, not one a layer within it: a process that runs out of memory can then say
so before anybody waits for it, and a second pass over the same batch (F-SAM, losses of a whole batch) needs nothing of
its own. With adapters the gradients are a few megabytes; what it costs otherwise is in docs/adr/0008.

How they are started is in `launching`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, distributed

_BUCKET = 64 << 20  # bytes of gradients that are summed at once

R = TypeVar("R")


class Processes:
    """This process among those that train together.

    Attributes:
        rank: 0 to count - 1.
        count: How many there are on all machines.
        local_rank: Which one it is on its machine, hence which GPU is its own.
        num_nodes: How many machines there are.
    """

    def __init__(self, rank: int = 0, count: int = 1, local_rank: int = 0, num_nodes: int = 1) -> None:
        self.rank, self.count, self.local_rank, self.num_nodes = rank, count, local_rank, num_nodes

    @property
    def is_first(self) -> bool:
        """Whether this is the one that speaks and keeps checkpoints."""
        return self.rank == 0

    @property
    def delivers(self) -> bool:
        """Whether this is the one that writes the result on its machine; every machine has one."""
        return self.local_rank == 0

    def agree(self, number: int, device: torch.device) -> bool:
        """Return whether all processes have the same number."""
        if self.count == 1:
            return True
        ends = torch.tensor([number, -number], device=device)
        distributed.all_reduce(ends, distributed.ReduceOp.MAX)
        return bool((ends.sum() == 0).item())

    def any(self, flag: bool, device: torch.device) -> bool:
        """Return whether any process says so; everybody gets the same answer."""
        if self.count == 1:
            return flag
        votes = torch.tensor(float(flag), device=device)
        distributed.all_reduce(votes, distributed.ReduceOp.MAX)
        return bool(votes.item())

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self.count > 1:
            tensor = tensor.clone()
            distributed.all_reduce(tensor)
        return tensor

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace every gradient by the sum over all processes."""
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for bucket in _buckets(gradients):
            flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
            distributed.all_reduce(flat)
            parts = torch.split(flat, [gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view_as(gradient))

    def gather(self, part: Tensor, start: int, total: int) -> Tensor:
        """Return all processes' parts of a tensor of `total` rows; this process has those from `start` on."""
        if self.count == 1:
            return part
        whole = part.new_zeros(total, *part.shape[1:])
        whole[start : start + len(part)] = part
        distributed.all_reduce(whole)  # each row is of one process, the others add 0
        return whole

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give everybody the first process's values."""
        if self.count > 1:
            for tensor in tensors:
                distributed.broadcast(tensor.detach(), 0)

    def wait_for_first(self, work: Callable[[], R]) -> R:
        """Do `work`, the first process before all others: it may mend what they then read."""
        if self.count == 1:
            return work()
        if not self.is_first:
            distributed.barrier()
        result = work()
        if self.is_first:
            distributed.barrier()
        return result


def _buckets(gradients: Sequence[Tensor]) -> list[list[Tensor]]:
    buckets: list[list[Tensor]] = []
    size = _BUCKET
    for gradient in gradients:
        if size >= _BUCKET:
            buckets.append([])
            size = 0
        buckets[-1].append(gradient)
        size += gradient.numel() * gradient.element_size()
    return buckets


ALONE = Processes()
