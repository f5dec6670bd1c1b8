"""Draw drives in several processes, in order, so that Ctrl-C ends all of them and nobody is left behind."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from stage1.data.synth.config import SynthConfig

Record = TypeVar("Record")
_SMALL = 1500  # images below which starting processes costs more than it saves


def map_drives(
    write: Callable[[SynthConfig, Path, int], Record], config: SynthConfig, room: Path, processes: int | None
) -> Generator[Record]:
    """Yield `write(config, room, drive)` for every drive in order; `write` must be importable by name."""
    job = partial(write, config, room)
    count = processes if processes is not None else _default_processes(config)
    if count <= 1:
        yield from map(job, range(config.num_drives))
        return
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_enlist)
    try:
        yield from pool.map(job, range(config.num_drives), chunksize=4)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _default_processes(config: SynthConfig) -> int:
    images = config.num_drives * config.frames_per_drive
    return 1 if images < _SMALL else min(len(os.sched_getaffinity(0)), 8)


def _enlist() -> None:
    """Leave Ctrl-C to the parent, and go when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: "multiprocessing.process.BaseProcess") -> None:
    parent.join()
    os._exit(1)
