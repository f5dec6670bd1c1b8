"""Stop between two steps of a loop when somebody asks for it, instead of in the middle of one."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class StopRequest:
    """Set by SIGINT or SIGTERM while it is collected; whoever works looks at it where work can be left.

    Args:
        patient: A second signal is nothing new. For a process that hears of one event twice, from its group and from
            its parent.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self.signal = 0
        self._patient = patient
        self._before: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return self.signal != 0

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Collect the two signals; in another thread than the main one, none can be collected."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._before = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        """Remember the first signal; a second one does at once what it would have done without us, unless patient."""
        if self.signal and not self._patient:
            signal.signal(number, self._before[number])
            signal.raise_signal(number)
        self.signal = self.signal or number
