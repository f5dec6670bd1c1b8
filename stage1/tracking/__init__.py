"""The record of runs and promotions, in MLflow."""

from stage1.tracking.config import TrackingConfig
from stage1.tracking.runs import RunRecord, record_run, register_model

__all__ = ["RunRecord", "TrackingConfig", "record_run", "register_model"]
