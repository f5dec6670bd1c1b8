"""What a person sees of a run: its progress while it lasts and its summary when it is over.

Used by `stage1 run`, whose steps run in this process, and by `python -m pipelines run`, whose steps run elsewhere.
"""

from stage1.console.follow import follow
from stage1.console.progress import Failure, Progress, StepProgress
from stage1.console.summary import refused, summary, unchanged
from stage1.console.watch import watch, watch_into, watching

__all__ = [
    "Failure",
    "Progress",
    "StepProgress",
    "follow",
    "refused",
    "summary",
    "unchanged",
    "watch",
    "watch_into",
    "watching",
]
