"""Where a loop runs, and that it runs the same way twice."""

import os

import torch

from stage1.data.pool import num_cpus
from stage1.errors import BadConfig
from stage1.training.config import LoopConfig


def prepare_device(config: LoopConfig) -> torch.device:
    """Set threads, seed and deterministic kernels, and return the device that the config asks for.

    On the CPU an operation without a deterministic kernel is an error; on a GPU, where a few backbones need one, it is
    a warning.

    Raises:
        BadConfig: A GPU was asked for and there is none.
    """
    torch.set_num_threads(config.threads or num_cpus())
    torch.manual_seed(config.seed)
    if config.device == "cuda" and not torch.cuda.is_available():
        raise BadConfig("device: 'cuda' was asked for and torch sees no GPU; use 'auto' or 'cpu'.")
    kind = "cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu"
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS at its first call
    torch.use_deterministic_algorithms(True, warn_only=kind == "cuda")
    return torch.device(kind)
