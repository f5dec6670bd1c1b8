"""What the two steps that train share: where their state is kept, what their run is called, how many processes work."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stage1.errors import BadConfig
from stage1.steps.place import resume_folder
from stage1.storage import open_store
from stage1.training.config import LoopConfig

if TYPE_CHECKING:
    from stage1.training.curves import Curves
    from stage1.training.processes import Processes

R = TypeVar("R")


def learn(work: Callable[..., R], *folders: Path, out: Path, config: LoopConfig) -> R:
    """Run work(*folders, out, config, processes) in as many processes as the configuration asks for."""
    from stage1.training.launching import launch, num_processes

    count = num_processes(config.processes, config.device)
    return launch(work, (*folders, out, config), count, device=config.device)


def kept_state(out: Path, config: LoopConfig, processes: "Processes") -> dict[str, Any]:
    """Checkpoints and curves of the run that writes `out`, for the functions of stage1.training.

    Both go by the step and its fingerprint, so whoever starts the same run again, anywhere, goes on with them.
    """
    from stage1.training.checkpoint import Checkpoints, Copies
    from stage1.training.curves import open_curves

    name = run_name(out)
    if processes.num_nodes > 1 and not config.checkpoint.uri:
        raise BadConfig(
            f"checkpoint.uri: {processes.num_nodes} nodes need a place that all of them reach, to go on from; set "
            "checkpoints to an s3:// address or a shared folder."
        )
    copies = Copies(open_store(config.checkpoint.uri), name) if config.checkpoint.uri else None
    checkpoints = Checkpoints(resume_folder(out), config.checkpoint.keep, copies)
    curves: Curves = open_curves(config, name, processes)
    return {"checkpoints": checkpoints, "curves": curves, "processes": processes}


def run_name(out: Path) -> str:
    """Step and fingerprint, such as train-0123456789ab."""
    return out.parent.name.lstrip(".")
