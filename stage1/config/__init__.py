"""The configuration of a whole run, composed from the rooms' own sections."""

from stage1.config.tree import PRESETS, Config, GateStepConfig, PromoteConfig, ReportConfig

__all__ = ["PRESETS", "Config", "GateStepConfig", "PromoteConfig", "ReportConfig"]
