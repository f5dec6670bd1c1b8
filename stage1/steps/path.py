"""The steps in their order, in one process. The pipeline states the same order; a test shows that they agree."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stage1.steps import STEPS, load
from stage1.steps.configure import configure
from stage1.steps.signing import key_to_sign
from stage1.steps.step import read_config


def walk(data: str, out: Path, *, preset: str, config: str = "", overrides: Sequence[str] = ()) -> dict[str, Path]:
    """Run every step; the last two only when the gate says yes.

    Args:
        data: Data set, as in `split`.
        out: Receives one folder a step.
        preset, config, overrides: As in `configure`.

    Returns:
        The folder of every step that ran.
    """
    sections = configure(preset, config, json.dumps(list(overrides)))
    key_to_sign(json.loads(sections["export"])["signature"])
    folders = {name: out / name for name in STEPS}
    walked: dict[str, Path] = {}

    def go(name: str, *inputs: str) -> Any:
        step = load(name)
        given = [data] if name == "split" else [folders[each] for each in inputs]
        result = step(*given, folders[name], config=read_config(step, sections[name]))
        walked[name] = folders[name]
        return result

    go("split")
    go("pretrain", "split")
    go("train", "split", "pretrain")
    go("predict", "split", "train")
    go("calibrate", "predict")
    go("evaluate", "predict", "calibrate")
    verdict = go("gate", "evaluate")
    go("report", "split", "pretrain", "train", "predict", "calibrate", "evaluate", "gate")
    if verdict.promote:
        go("export", "split", "train", "predict", "calibrate", "evaluate", "gate")
        go("promote", "export")
    return walked
