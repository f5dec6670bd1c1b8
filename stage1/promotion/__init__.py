"""The gate: named checks of a candidate's metrics against limits and the champion; it fails closed."""

from stage1.promotion.config import GateConfig
from stage1.promotion.decision import CHECKS, Champion, Check, Decision
from stage1.promotion.gate import gate

__all__ = ["CHECKS", "Champion", "Check", "Decision", "GateConfig", "gate"]
