"""A pipeline with our shape and quick steps, for tests of the runner: `data` says what happens in it.

Modes: promote, refuse, bad (bad input in gate), fault (a traceback in gate), silent (a process that dies without an
event), slow (a step that saves its count when interrupted), stubborn (a step that ignores SIGINT).
"""

from pathlib import Path
from typing import Any

from kfp import compiler, dsl

from components import component
from components.finish.component import finish


@component
def split(folder: dsl.Output[dsl.Artifact], data: str) -> None:
    """Emit what a step emits and write an output; in mode slow, count to 600 and save the count on Ctrl-C."""
    import os
    import signal
    import sys
    import time
    from pathlib import Path

    from stage1 import events

    events.set_step("split")
    events.emit("start")
    saved = Path(os.environ["STAGE1_CACHE"], "count")
    count = int(saved.read_text()) if saved.exists() else 0
    if data == "stubborn":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        while data in ("slow", "stubborn") and not Path(os.environ["STAGE1_CACHE"], "enough").exists():
            count += 1
            events.progress(count, 600, "round", loss=1 / count, seen=count)
            time.sleep(0.05)
    except KeyboardInterrupt:
        saved.write_text(str(count))
        events.emit("failed", message="stopped", error="Interrupted", exit_code=130)
        sys.exit(130)
    Path(folder.path).mkdir()
    Path(folder.path, "count").write_text(str(count))
    events.emit("done", seconds=0.1, cached=False, out=folder.path)


@component
def gate(folder: dsl.Input[dsl.Artifact], decision: dsl.Output[dsl.Artifact], data: str) -> bool:
    """Decide as the mode says, or fail in one of three ways."""
    import json
    import os
    from pathlib import Path

    from stage1 import events

    events.set_step("gate")
    events.emit("start")
    if data == "bad":
        events.emit("failed", message="Need 149 positives, got 3.", error="TooFewSamples", exit_code=2)
        raise SystemExit(1)
    if data == "fault":
        events.emit("failed", message="disk on fire", error="RuntimeError", exit_code=1)
        raise RuntimeError("disk on fire")
    if data == "silent":
        print("no last words but these", flush=True)
        os._exit(1)
    promote = data != "refuse"
    Path(decision.path).mkdir()
    text = json.dumps({"promote": promote, "policy": "gate", "checks": [], "reasons": ["too few answers"]})
    Path(decision.path, "decision.json").write_text(text)
    events.emit("done", seconds=0.2, cached=True, out=decision.path)
    return promote


@component
def promote(decision: dsl.Input[dsl.Artifact], promotion: dsl.Output[dsl.Artifact]) -> None:
    """Leave a sign that the branch ran."""
    import json
    from pathlib import Path

    from stage1 import events

    events.set_step("promote")
    Path(promotion.path).mkdir()
    text = json.dumps({"channel": "test", "sequence": 7, "digest": "sha256:0"})
    Path(promotion.path, "promoted.json").write_text(text)
    events.emit("start")
    events.emit("done", seconds=0.0, cached=False, out=promotion.path)


@dsl.pipeline(name="inner")
def inner(data: str) -> None:
    """Split, gate and, behind the gate's bool, promote."""
    folder = split(data=data).outputs["folder"]
    judged = gate(folder=folder, data=data).set_retry(num_retries=1, backoff_duration="1s")
    with dsl.If(judged.outputs["Output"] == True):  # noqa: E712
        promote(decision=judged.outputs["decision"])


@dsl.pipeline(name="stand-in")
def stand_in(
    data: str,
    preset: str = "demo",
    seed: int = -1,
    store: str = "",
    channel: str = "",
    config: str = "",
    overrides: str = "",
) -> None:
    """Take the parameters of the real pipeline."""
    ending: Any = finish()
    with dsl.ExitHandler(ending):
        inner(data=data)


def compile_to(path: Path) -> None:
    """Write the stand-in's IR."""
    compiler.Compiler().compile(stand_in, str(path))
