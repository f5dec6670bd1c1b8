"""KFP components: one folder each, a translation of the step of the same name and no logic.

A component's source is copied into the compiled pipeline and run in a task's container, so its body imports what it
needs, and importing it here imports no step. `from __future__ import annotations` would turn the artifact types into
strings that KFP cannot read.
"""

import os
from collections.abc import Callable
from typing import Any

from kfp import dsl

WITH_TORCH = ("pretrain", "train", "predict")
"""The tasks that need torch; every other reads images, arrays and files and runs in the smaller image."""

IMAGE = os.environ.get("STAGE1_IMAGE", "stage1:0.1.0")
"""The image of tasks with torch; `python -m pipelines compile --image` sets it, by digest for a cluster."""

CPU_IMAGE = os.environ.get("STAGE1_CPU_IMAGE") or IMAGE
"""The image of every other task (`--cpu-image`); the same one where none is given."""


def component(function: Callable[..., Any]) -> Any:
    """Make a lightweight KFP component; our images have everything, so nothing is installed at run time.

    Args:
        function: Typed and documented; its body imports from stage1.steps and nothing else of ours.
    """
    image = IMAGE if function.__name__ in WITH_TORCH else CPU_IMAGE
    return dsl.component(function, base_image=image, install_kfp_package=False)
