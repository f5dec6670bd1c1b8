"""Which loss an epoch has, and when a phase ends before its time."""

from stage1.training.config import TrainConfig


class Phases:
    """The phases of a configuration, by epoch (from 0)."""

    def __init__(self, config: TrainConfig) -> None:
        self._losses: list[str] = []
        self._ends: list[int] = []
        for phase in config.phases:
            self._ends += [len(self._ends) + phase.epochs] * phase.epochs
            self._losses += [phase.loss] * phase.epochs

    def loss_of(self, epoch: int) -> str:
        """The loss of this epoch: ce, selective or crc."""
        return self._losses[epoch]

    def epochs_of(self, loss: str) -> list[int]:
        """All epochs with this loss."""
        return [epoch for epoch, one in enumerate(self._losses) if one == loss]

    def end_of(self, epoch: int) -> int:
        """The first epoch after the phase that this one is in."""
        return self._ends[epoch]

    def stale(self, epoch: int, before: int, *, improved: bool) -> int:
        """How many epochs in a row of this epoch's phase brought nothing better, this one included.

        Args:
            before: The same of the epoch before.
            improved: Whether this epoch was better than all before it, of any phase.
        """
        first = epoch == 0 or self._ends[epoch - 1] == epoch
        return 0 if improved else (0 if first else before) + 1
