"""What the events of a run say so far: a plain state that a display draws and a runner asks.

The state is fed by `Progress.apply(event)`, one call an event of stage1.events, in file order. It never raises on an
event it does not know: a newer step may say more than an older watcher understands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PLUMBING = frozenset({"time", "step", "kind", "done", "total", "unit", "message"})


@dataclass
class StepProgress:
    """One step of the run; `status` is running, done or failed, `seconds` the wall clock of the step's own work."""

    name: str
    status: str = "running"
    started: float = 0.0
    seconds: float = 0.0
    cached: bool = False
    done: int = 0
    total: int = 0
    unit: str = ""
    numbers: dict[str, float] = field(default_factory=dict)
    message: str = ""
    _first_time: float = 0.0
    _first_done: int = 0
    _last_time: float = 0.0

    def advance(self, event: Mapping[str, Any]) -> None:
        """Take one `progress` event; a new unit or total begins a new count."""
        unit, total, done, now = (
            str(event.get("unit", "")),
            int(event.get("total", 0)),
            int(event.get("done", 0)),
            float(event.get("time", 0.0)),
        )
        if (unit, total) != (self.unit, self.total) or done < self.done:
            self.unit, self.total = unit, total
            self._first_time, self._first_done = (self.started, 0) if done else (now, 0)
        self.done, self._last_time = done, now
        self.numbers = {
            key: float(value)
            for key, value in event.items()
            if key not in _PLUMBING and isinstance(value, int | float) and not isinstance(value, bool)
        }

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds this step still needs at its pace so far, or None before there is a pace.

        Args:
            now: Seconds since the epoch; time since the last event counts down, never below zero.
        """
        advanced = self.done - self._first_done
        if self.status != "running" or advanced <= 0 or self.total <= 0:
            return None
        pace = (self._last_time - self._first_time) / advanced
        return max(0.0, pace * (self.total - self.done) - (now - self._last_time))


@dataclass(frozen=True)
class Failure:
    """The event with which a step ended badly; exit_code is 1 fault, 2 bad input, 3 refused, 130 interrupted."""

    step: str
    message: str
    error: str
    exit_code: int


@dataclass
class Progress:
    """The whole run: its steps in the order they began, their folders by step name, and how it failed, if it did."""

    steps: dict[str, StepProgress] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failure: Failure | None = None

    def apply(self, event: Mapping[str, Any]) -> StepProgress | None:
        """Take one event; return the step that it finished, if it finished one."""
        name, kind = str(event.get("step", "")), event.get("kind")
        if kind == "note":
            self.notes.append(str(event.get("message", "")))
            return None
        if kind == "start":
            self.steps[name] = StepProgress(name, started=float(event.get("time", 0.0)))
            if self.failure is not None and self.failure.step == name:
                self.failure = None  # tried again
            return None
        if kind not in ("progress", "done", "failed"):
            return None
        step = self.steps.setdefault(name, StepProgress(name, started=float(event.get("time", 0.0))))
        if kind == "progress":
            step.advance(event)
        elif kind == "done":
            step.status, step.seconds = "done", float(event.get("seconds") or 0.0)
            step.cached = bool(event.get("cached"))
            if event.get("out"):
                self.folders[name] = Path(str(event["out"]))
            return step
        elif kind == "failed":
            step.status, step.message = "failed", str(event.get("message", ""))
            step.seconds = max(0.0, float(event.get("time", 0.0)) - step.started)
            code = int(event.get("exit_code") or 1)
            self.failure = Failure(name, step.message, str(event.get("error", "")), code)
            return step
        return None

    @property
    def current(self) -> StepProgress | None:
        """The step that runs now, or None between two steps."""
        return next((step for step in reversed(self.steps.values()) if step.status == "running"), None)
