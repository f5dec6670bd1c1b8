"""Start the processes that train one model, on this machine and as one of several, and bring back what they return.

Accelerate makes the process group that the environment describes; with a single process nothing of it is even imported.
"""

import os
import pickle
import signal
import socket
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import torch

from stage1 import events
from stage1.data.pool import num_cpus
from stage1.errors import BadConfig, Interrupted, Stage1Error
from stage1.training.interrupt import StopRequest
from stage1.training.processes import ALONE, Processes

_GRACE_S = 25.0

R = TypeVar("R")


def num_processes(asked: int, device: str) -> int:
    """How many processes this machine gets: what was asked for, and for 0 one a GPU that may be used, else one."""
    gpus = torch.cuda.device_count() if device != "cpu" else 0
    return asked or max(1, gpus)


@dataclass(frozen=True)
class Nodes:
    """The machines that train together, as torchrun's variables have it and Kubeflow Trainer sets them.

    Attributes:
        count: PET_NNODES; 1 where it is not set.
        rank: PET_NODE_RANK, 0 to count - 1.
        address, port: PET_MASTER_ADDR and PET_MASTER_PORT, of the first machine.
    """

    count: int = 1
    rank: int = 0
    address: str = "127.0.0.1"
    port: int = 0

    @classmethod
    def from_environment(cls) -> "Nodes":
        """Read the variables.

        Raises:
            BadConfig: They describe no machine among several.
        """
        given = {
            name: os.environ.get(f"PET_{name}", "") for name in ("NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
        }
        if given["NNODES"] in ("", "1"):
            return cls()
        try:
            found = cls(int(given["NNODES"]), int(given["NODE_RANK"]), given["MASTER_ADDR"], int(given["MASTER_PORT"]))
        except ValueError:
            found = cls(0)
        if not (0 <= found.rank < found.count and found.address and 0 < found.port < 2**16):
            raise BadConfig(
                "several nodes need PET_NNODES (a number), PET_NODE_RANK below it, PET_MASTER_ADDR, PET_MASTER_PORT, "
                f"as torchrun has them; got {given}."
            )
        return found


def launch(work: Callable[..., R], arguments: tuple[Any, ...], count: int, *, device: str) -> R:
    """Return work(*arguments, processes), run by `count` processes of this machine, as the first of them returns it.

    With one process it is a plain call. Otherwise `work` and its arguments must be picklable; an error that one of the
    processes ends with is raised here and ends the others, and a signal to this process is passed on to all. With
    several machines each calls this, with as many processes.

    Raises:
        BadConfig: The environment describes no machine among several.
        Interrupted: SIGINT or SIGTERM came.
        Stage1Error: A process died without a word, e.g. for lack of memory.
    """
    nodes = Nodes.from_environment()
    if count == nodes.count == 1:
        return work(*arguments, ALONE)
    if nodes.count == 1:
        nodes = Nodes(port=_free_port())
    from torch.multiprocessing.spawn import start_processes

    with tempfile.TemporaryDirectory() as folder:
        box = Path(folder)
        stop = StopRequest()
        with stop.collected():
            context: Any = start_processes(  # type: ignore[no-untyped-call]
                _enter,
                (work, arguments, count, nodes, device, box, events.step()),
                count,
                join=False,
                start_method="spawn",
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
        return Interrupted(str(stopped or "stopped; the same command goes on from the last checkpoint."), stop.signal)
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
    nodes: Nodes,
    device: str,
    box: Path,
    step: str,
) -> None:
    """What a started process does."""
    events.set_step(step)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C before the loop, or a dead parent: end without a word
    rank = nodes.rank * count + local_rank
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(local_rank), "WORLD_SIZE": str(nodes.count * count)}
    os.environ |= {"LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": nodes.address, "MASTER_PORT": str(nodes.port)}
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, num_cpus() // count)))
    if rank:
        os.environ.pop(events.VARIABLE, None)
    try:
        from accelerate import PartialState

        state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available())
        if state.num_processes != nodes.count * count:
            raise Stage1Error(
                f"{nodes.count * count} processes were started and {state.num_processes} found each other. Unset the "
                "ACCELERATE_... variables, or use one process."
            )
        processes = Processes(state.process_index, state.num_processes, state.local_process_index, nodes.count)
        result = work(*arguments, processes)
        if processes.delivers:
            (box / "result").write_bytes(pickle.dumps(result))
        state.destroy_process_group()
    except Exception as error:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
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
