"""Training: the loop, losses, optimiser and schedule, checkpoints, masked pre-training, supervised phases.

Only the configuration is exported here, because it must be readable where torch is not installed; import the rest from
the modules: `supervised`, `pretrain`, `scoring`.
"""

from stage1.training.config import AugmentConfig, LoopConfig, OptimiserConfig, PhaseConfig, PretrainConfig, TrainConfig

__all__ = ["AugmentConfig", "LoopConfig", "OptimiserConfig", "PhaseConfig", "PretrainConfig", "TrainConfig"]
