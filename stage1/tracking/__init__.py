"""The record of runs and promotions, in MLflow."""

from stage1.tracking.client import Unreachable
from stage1.tracking.config import TrackingConfig
from stage1.tracking.record import Promotion, RunRecord
from stage1.tracking.sending import find_kept, record_run, register_model, send, send_kept

__all__ = [
    "Promotion",
    "RunRecord",
    "TrackingConfig",
    "Unreachable",
    "find_kept",
    "record_run",
    "register_model",
    "send",
    "send_kept",
]
