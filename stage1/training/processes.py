"""Several processes that train one model: one a GPU, or on a CPU as many as are asked for.

Every process holds the whole model and does its part of every batch; gradients are summed over all of them. The sum is
one collective after the last backward pass, not one a layer within it: a process that runs out of memory can then say
so before anybody waits for it, and a second pass over the same batch (F-SAM, losses of a whole batch) needs nothing of
its own. With adapters the gradients are a few megabytes; what it costs otherwise is in docs/adr/0008.

Accelerate starts the process group that the environment describes; where there is a single process nothing of it is
even imported.
"""

import os
import pickle
import signal
import socket
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed

from stage1 import events
from stage1.data.pool import num_cpus
from stage1.errors import Interrupted, Stage1Error
from stage1.training.interrupt import StopRequest

_BUCKET = 64 << 20  # bytes of gradients that are summed at once
_GRACE_S = 25.0

R = TypeVar("R")


class Processes:
    """This process among those that train together.

    Attributes:
        rank: 0 to count - 1; what is written, rank 0 writes.
        count: How many there are.
        local_rank: Which one it is on its machine, hence which GPU is its own.
    """

    def __init__(self, rank: int = 0, count: int = 1, local_rank: int = 0) -> None:
        self.rank, self.count, self.local_rank = rank, count, local_rank

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

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


def num_processes(asked: int, device: str) -> int:
    """How many processes this machine gets: what was asked for, and for 0 one a GPU that may be used, else one."""
    gpus = torch.cuda.device_count() if device != "cpu" else 0
    return asked or max(1, gpus)


def launch(work: Callable[..., R], arguments: tuple[Any, ...], count: int, *, device: str) -> R:
    """Return work(*arguments, processes), run by `count` processes, as the first of them returns it.

    With one process it is a plain call. Otherwise `work` and its arguments must be picklable; an error that one of the
    processes ends with is raised here and ends the others, and a signal to this process is passed on to all.

    Raises:
        Interrupted: SIGINT or SIGTERM came.
        Stage1Error: A process died without a word, e.g. for lack of memory.
    """
    if count == 1:
        return work(*arguments, ALONE)
    from torch.multiprocessing.spawn import start_processes

    with tempfile.TemporaryDirectory() as folder:
        box = Path(folder)
        stop = StopRequest()
        with stop.collected():
            context: Any = start_processes(  # type: ignore[no-untyped-call]
                _enter, (work, arguments, count, _free_port(), device, box), count, join=False, start_method="spawn"
            )
            try:
                _watch(context, stop)
            except Exception as error:
                raise _told(box, stop, context.processes) from error
        if stop:
            raise _told(box, stop, context.processes)
        return cast(R, pickle.loads((box / "result").read_bytes()))  # noqa: S301  our own child wrote it


def _watch(context: Any, stop: StopRequest) -> None:
    """Wait for all processes, telling them once that a signal came."""
    passed_on = False
    while not context.join(timeout=0.2, grace_period=_GRACE_S):
        if stop and not passed_on:
            passed_on = True
            for process in context.processes:
                process.terminate()


def _told(box: Path, stop: StopRequest, processes: Sequence[Any]) -> BaseException:
    """Why it ended: those that a dead process left waiting fail after it, and what they say is of no use."""
    words = sorted(box.glob("error-*"), key=lambda path: path.stat().st_mtime_ns)
    known = [pickle.loads(path.read_bytes()) for path in words]  # noqa: S301  our own children wrote them
    stopped = next((error for error in known if isinstance(error, Interrupted)), None)
    if stop:
        return Interrupted(str(stopped or "stopped before the first step."), stop.signal)
    own = next((error for error in known if isinstance(error, Stage1Error)), None)
    killed = any(process.exitcode in (-signal.SIGKILL, -signal.SIGSEGV, -signal.SIGBUS) for process in processes)
    if own or (known and not killed):
        return own or known[0]
    return Stage1Error(
        "a training process ended without a word: the system may have killed it for lack of memory. Start the same "
        "command again, it goes on from the last checkpoint; with fewer processes or a smaller memory_limit_mb each "
        "needs less."
    )


def _enter(
    local_rank: int,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
    count: int,
    port: int,
    device: str,
    box: Path,
) -> None:
    """What a started process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent passes it on once
    os.environ |= {"RANK": str(local_rank), "LOCAL_RANK": str(local_rank), "WORLD_SIZE": str(count)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, num_cpus() // count)))
    if local_rank:
        os.environ.pop(events.VARIABLE, None)
    try:
        from accelerate import PartialState

        state = PartialState(cpu=device == "cpu")
        processes = Processes(state.process_index, state.num_processes, state.local_process_index)
        result = work(*arguments, processes)
        if processes.is_first:
            (box / "result").write_bytes(pickle.dumps(result))
        state.destroy_process_group()
    except Exception as error:
        (box / f"error-{local_rank}").write_bytes(_pickled(error))
        raise


def _pickled(error: Exception) -> bytes:
    try:
        data = pickle.dumps(error)
        pickle.loads(data)  # noqa: S301  our own
    except Exception:  # noqa: BLE001  any exception's constructor may refuse
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return data


def _free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
