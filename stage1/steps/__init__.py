"""One function a pipeline stage: folders in, one folder out. The CLI and the components only translate these.

Import a step from the module of its name, `from stage1.steps.train import train`, or take it by name with `load`. This
package imports none of them: a process that calibrates loads neither torch nor onnxruntime.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

STEPS = ("split", "pretrain", "train", "predict", "calibrate", "evaluate", "gate", "report", "export", "promote")

__all__ = ["STEPS", "load"]


def load(name: str) -> Callable[..., Any]:
    """Return the step of this name, one of STEPS."""
    step: Callable[..., Any] = getattr(import_module(f"stage1.steps.{name}"), name)
    return step
