"""The numbers of a run while it trains, for whoever draws them: MLflow, TensorBoard, several, or nobody."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from stage1.training.config import LoopConfig
from stage1.training.processes import Processes

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter


class Curves(Protocol):
    """Takes numbers by step. Nothing that goes wrong here stops a run."""

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """Take the numbers of one step, counted from 1."""
        ...

    def close(self, status: str) -> None:
        """Take nothing more; `status` is FINISHED, FAILED or KILLED, as MLflow has it."""
        ...


class Several:
    """Gives everything to each of them; to none of them where there are none."""

    def __init__(self, *others: Curves) -> None:
        self._others = others

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """See Curves."""
        for other in self._others:
            other.add(step, numbers)

    def close(self, status: str) -> None:
        """See Curves."""
        for other in self._others:
            other.close(status)


class TensorBoard:
    """Event files in one folder; a run that goes on after an interruption hides what it does again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """See Curves."""
        if self._writer is None:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=step, flush_secs=10)
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def close(self, status: str) -> None:  # noqa: ARG002  its files have no status
        """See Curves."""
        if self._writer is not None:
            self._writer.close()


def open_curves(config: LoopConfig, name: str, processes: Processes) -> Curves:
    """Return what the configuration asks for; the same name goes on with the same curves. Rank 0 alone tells."""
    others: list[Curves] = []
    tracking = config.tracking.resolved()
    if processes.is_first and tracking.uri:
        from stage1.tracking.live import LiveRun

        others.append(LiveRun(tracking, name))
    if processes.is_first and config.tensorboard:
        others.append(TensorBoard(Path(config.tensorboard) / name))
    return Several(*others)
