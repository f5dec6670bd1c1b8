"""Where a loop runs, in which precision, and that it runs the same way twice."""

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from stage1.data.pool import num_cpus
from stage1.errors import BadConfig
from stage1.training.config import LoopConfig
from stage1.training.processes import ALONE, Processes


@dataclass(frozen=True)
class Place:
    """A device, and the precision of matrix products on it."""

    device: torch.device
    half: bool = False

    def autocast(self) -> AbstractContextManager[Any]:
        """The context that a model is run in; weights, norms and losses stay in float32."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.half else nullcontext()

    def peak_memory_mb(self) -> float:
        """Most memory that was in use at once, in MiB: the GPU's, on a CPU that of the process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def prepare_device(config: LoopConfig, processes: Processes = ALONE) -> Place:
    """Set threads, seed and deterministic kernels, and return where the config and this process's rank lead to.

    On the CPU an operation without a deterministic kernel is an error; on a GPU, where a few backbones need one, it is
    a warning.

    Raises:
        BadConfig: A GPU was asked for and there is none, or fewer than processes.
    """
    torch.set_num_threads(config.threads or max(1, num_cpus() // processes.count))
    torch.manual_seed(config.seed)
    num_gpus = torch.cuda.device_count() if config.device != "cpu" and torch.cuda.is_available() else 0
    if config.device == "cuda" and not num_gpus:
        raise BadConfig("device: 'cuda' was asked for and torch sees no GPU; use 'auto' or 'cpu'.")
    if num_gpus and processes.local_rank >= num_gpus:
        raise BadConfig(
            f"processes: {processes.count} need a GPU each and this machine has {num_gpus}; use {num_gpus}."
        )
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS at its first call
    torch.use_deterministic_algorithms(True, warn_only=num_gpus > 0)
    device = torch.device("cuda", processes.local_rank) if num_gpus else torch.device("cpu")
    can_half = num_gpus > 0 and torch.cuda.is_bf16_supported()
    return Place(device, config.precision == "bf16" or (config.precision == "auto" and can_half))
