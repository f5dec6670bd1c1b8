"""Show a run while it runs: a live table on a terminal, one line a finished step anywhere else.

A runner in another process calls `watch`, which returns when the run is over. A run in this very process puts its
steps inside `watching`, which draws from a thread.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from stage1.console.follow import follow
from stage1.console.progress import Progress, StepProgress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

_SHOWN_NUMBERS = 5


def watch(
    events: Path,
    alive: Callable[[], bool],
    *,
    plan: Sequence[str] = (),
    console: "Console | None" = None,
    poll_s: float = 0.1,
) -> Progress:
    """Show the run that writes `events` until it is over, and return what it said.

    Args:
        events: The file named by the run's $STAGE1_EVENTS; it may not exist yet.
        alive: Says whether the run still goes on; an exception that it raises ends the display and travels on.
        plan: The step names in order; steps that have not begun are shown as waiting. Live view only.
        console: Where to draw; standard output when None. The live view needs a terminal.
        poll_s: Seconds between two looks at the file.
    """
    progress = Progress()
    watch_into(progress, events, alive, plan=plan, console=console, poll_s=poll_s)
    return progress


def watch_into(
    progress: Progress,
    events: Path,
    alive: Callable[[], bool],
    *,
    plan: Sequence[str] = (),
    console: "Console | None" = None,
    poll_s: float = 0.1,
) -> None:
    """Do what `watch` does, but fill a Progress of the caller's, who can still read it when `alive` raised."""
    on_terminal = console.is_terminal if console else sys.stdout.isatty()
    with _live(console) if on_terminal else nullcontext() as live:
        for event in follow(events, alive, poll_s=poll_s):
            finished = progress.apply(event) if event else None
            if live is not None:
                live.update(table(progress, plan, time.time()))
            elif finished is not None:
                _say(console, line(finished))


@contextmanager
def watching(events: Path, *, plan: Sequence[str] = (), console: "Console | None" = None) -> Iterator[Progress]:
    """Show a run that this process itself does inside the block; the Progress is complete when the block has ended."""
    over, progress = threading.Event(), Progress()
    thread = threading.Thread(
        target=watch_into,
        args=(progress, events, lambda: not over.is_set()),
        kwargs={"plan": plan, "console": console},
        name="stage1-watch",
        daemon=True,
    )
    thread.start()
    try:
        yield progress
    finally:
        over.set()
        thread.join()


def line(step: StepProgress) -> str:
    """Return one line about a finished step."""
    if step.status == "failed":
        return f"{step.name:<10} failed after {step.seconds:.1f} s"
    return f"{step.name:<10} {'reused' if step.cached else f'{step.seconds:.1f} s'}"


def detail(step: StepProgress, now: float) -> str:
    """Return how far a running step is: units, its first numbers, time left."""
    parts = [f"{step.unit} {step.done}/{step.total}"] if step.total else []
    numbers = dict(step.numbers)
    if "epochs" in numbers:
        parts.insert(0, f"epoch {numbers.pop('epoch', 0):.0f}/{numbers.pop('epochs'):.0f}")
    parts += [f"{name.replace('_', ' ')} {value:.4g}" for name, value in list(numbers.items())[:_SHOWN_NUMBERS]]
    left = step.seconds_left(now)
    if left is not None:
        parts.append(f"{duration(left)} left")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """Return seconds as a person reads them: 42 s, 3 min 05 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def table(progress: Progress, plan: Sequence[str], now: float) -> "Table":
    """Return the live view: one row a step that ended, runs or waits."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    # On a narrow terminal the details are cut, never the names.
    for style, least in (("", 1), ("", max(map(len, [*plan, *progress.steps, "note"]))), ("dim", None)):
        grid.add_column(style=style, no_wrap=True, min_width=least)
    for name in dict.fromkeys([*plan, *progress.steps]):
        step = progress.steps.get(name)
        if step is None:
            grid.add_row("[dim]·[/]", f"[dim]{name}[/]", "")
        elif step.status == "running":
            elapsed = duration(now - step.started)
            grid.add_row("[cyan]▸[/]", f"[bold]{name}[/]", "  ".join(filter(None, [elapsed, detail(step, now)])))
        elif step.status == "failed":
            grid.add_row("[red]✗[/]", f"[red]{name}[/]", "failed")
        else:
            grid.add_row("[green]✓[/]", name, "reused" if step.cached else f"{step.seconds:.1f} s")
    for note in progress.notes[-3:]:
        grid.add_row("", "[dim]note[/]", note.replace("[", "\\["))
    return grid


def _live(console: "Console | None") -> "Live":
    from rich.live import Live

    return Live(console=console, refresh_per_second=4, transient=False)


def _say(console: "Console | None", text: str) -> None:
    if console is not None:
        console.print(text, markup=False, highlight=False)
    else:
        print(text, flush=True)
