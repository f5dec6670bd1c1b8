"""Read the events of a run while it writes them."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def follow(events: Path, alive: Callable[[], bool], *, poll_s: float = 0.1) -> Iterator[dict[str, Any] | None]:
    """Yield the events of a file from its beginning, and None whenever there is nothing new for `poll_s` seconds.

    Ends when `alive()` has become False and everything written by then has been read. A file that does not exist yet
    is waited for; a last line without its newline is waited for; a line that is no JSON object is passed over.

    Args:
        events: The file named by $STAGE1_EVENTS.
        alive: Says whether anybody may still write; asked once a poll, before the read that follows it.
        poll_s: Seconds between two looks at the file.
    """
    position, rest = 0, b""
    while True:
        last = not alive()
        block = _read_from(events, position)
        position += len(block)
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            event = _parse(line)
            if event is not None:
                yield event
        if last:
            return
        if not block:
            yield None
            time.sleep(poll_s)


def _read_from(path: Path, position: int) -> bytes:
    try:
        with path.open("rb") as stream:
            stream.seek(position)
            return stream.read()
    except FileNotFoundError:
        return b""


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
