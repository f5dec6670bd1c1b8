"""AdamW with decay on matrices only, under a cosine with warm-up."""

import math

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from stage1.training.config import OptimiserConfig


def build_optimiser(module: nn.Module, config: OptimiserConfig, num_steps: int) -> tuple[AdamW, LambdaLR]:
    """Group parameters by (backbone or not) x (decayed or not); the schedule counts steps up to `num_steps`.

    Decayed are weights of two or more dimensions; biases, norms, class tokens and position embeddings are not.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        scale = config.backbone_scale if name.startswith("backbone.") else 1.0
        if scale == 0:
            parameter.requires_grad_(False)
            continue
        decay = config.weight_decay if parameter.ndim >= 2 and name.endswith("weight") else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
    optimiser = AdamW(
        [
            {"params": parameters, "lr": config.learning_rate * scale, "weight_decay": decay}
            for (scale, decay), parameters in groups.items()
        ],
        fused=True,
    )
    return optimiser, LambdaLR(optimiser, lambda step: schedule(step, num_steps, config.warmup))


def schedule(step: int, num_steps: int, warmup: float) -> float:
    """Return the share of the peak learning rate at `step` (0-based): linear up, then half a cosine towards 0.

    The last of the steps, num_steps - 1, still learns a little; 0 would be reached one step later.
    """
    num_warm = round(warmup * num_steps)
    if step < num_warm:
        return (step + 1) / num_warm
    return 0.5 * (1 + math.cos(math.pi * (step - num_warm) / max(1, num_steps - num_warm)))
