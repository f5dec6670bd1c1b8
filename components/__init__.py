"""KFP components: one folder each, a translation of the step of the same name and no logic.

A component's source is copied into the compiled pipeline and run in a task's container, so its body imports what it
needs, and importing it here imports no step. `from __future__ import annotations` would turn the artifact types into
strings that KFP cannot read.
"""

import os
from collections.abc import Callable
from typing import Any

from kfp import dsl

IMAGE = os.environ.get("STAGE1_IMAGE", "stage1:0.1.0")
"""The image of every task; `python -m pipelines compile --image` sets it, by digest for a cluster."""


def component(function: Callable[..., Any]) -> Any:
    """Make a lightweight KFP component that runs in our image, which has everything: nothing is installed at run time.

    Args:
        function: Typed and documented; its body imports from stage1.steps and nothing else of ours.
    """
    return dsl.component(function, base_image=IMAGE, install_kfp_package=False)
