"""Judging a model and its policies on the held-out test split: arrays and fitted policies in, numbers out.

Only the configuration is exported here, because every step reads it and few need scipy; import the rest from the
modules: `judge`, `curves`, `champion`, `rows`.
"""

from stage1.evaluation.config import EvaluateConfig

__all__ = ["EvaluateConfig"]
