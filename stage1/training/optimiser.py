"""AdamW under a cosine with warm-up, alone or inside F-SAM; which parameter learns how fast, and which decay."""

import math
from collections.abc import Callable
from typing import Any, TypedDict, cast

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from stage1.errors import BadConfig
from stage1.model.patch_transformer import PatchTransformer
from stage1.training.config import OptimiserConfig

_BACKBONE = "backbone."


class _Options(TypedDict):
    lr: float
    fused: bool


class Descent:
    """Steps of one module's parameters, and the learning rate that goes with each.

    F-SAM is pytorch_optimizer's; its base and its own momentum are one state here.
    """

    def __init__(self, module: nn.Module, config: OptimiserConfig, num_steps: int) -> None:
        self._parameters = list(module.parameters())
        self._clip_norm = config.clip_norm
        groups, options = parameter_groups(module, config), _Options(lr=config.learning_rate, fused=True)
        self._flat: Any = None
        if config.kind == "fsam":
            from pytorch_optimizer import FriendlySAM  # 1.6 s: it imports transformers

            sharpness = config.fsam
            self._flat = FriendlySAM(
                groups, AdamW, rho=sharpness.rho, sigma=sharpness.sigma, lmbda=sharpness.decay, **options
            )
        self.base: Optimizer = self._flat.base_optimizer if self._flat else AdamW(groups, **options)
        self._schedule = LambdaLR(self.base, lambda step: schedule(step, num_steps, config.warmup))

    def step(self, gradients: Callable[[], Tensor]) -> tuple[float, float]:
        """Take one step and return the loss and the norm of its gradient, both where the weights were before it.

        Nothing is changed where one of them is not finite.

        Args:
            gradients: Puts the gradient of a batch's loss into the parameters, the same batch and random numbers
                whenever it is called, and returns the loss. F-SAM calls it a second time, at the weights it moved to.
        """
        loss = gradients()
        norm = self._norm()
        value, steepness = torch.stack([loss, norm]).tolist()  # one wait for the device
        if not (math.isfinite(value) and math.isfinite(steepness)):
            return value, steepness
        if self._flat:
            self._flat.first_step()
            gradients()
            norm = self._norm()
        nn.utils.clip_grads_with_norm_(self._parameters, self._clip_norm, norm)
        (self._flat.second_step if self._flat else self.base.step)()
        self._schedule.step()
        return value, steepness

    def pass_over(self, num_steps: int) -> None:
        """Let the learning rate fall as if so many steps had been taken."""
        for _ in range(num_steps):
            self._schedule.step()

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {"steps": (self._flat or self.base).state_dict(), "schedule": self._schedule.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        (self._flat or self.base).load_state_dict(state["steps"])
        self._schedule.load_state_dict(state["schedule"])

    def _norm(self) -> Tensor:
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        return nn.utils.get_total_norm(gradients)


def parameter_groups(module: nn.Module, config: OptimiserConfig) -> list[dict[str, Any]]:
    """Group parameters by learning rate and by decay; those that shall not learn are frozen.

    A backbone's have `backbone_scale` of the learning rate, and those of a block `layer_decay` of the next one's; what
    comes before the first counts as a block, and the norm behind the last as part of it. Second matrices of adapters
    have `lora_plus` times as much (Hayou et al., ICML 2024, arXiv 2402.12354). Decayed are weights of two or more
    dimensions; biases, norms, class tokens and position embeddings are not.

    Raises:
        BadConfig: A layer decay for a network that has no blocks.
    """
    depth_of = _depths(module, config)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        scale = 1.0
        if name.startswith(_BACKBONE):
            scale = config.backbone_scale * config.layer_decay ** depth_of(name)
        if ".lora_B." in name:
            scale *= config.lora_plus
        if scale == 0:
            parameter.requires_grad_(False)
        if not parameter.requires_grad:
            continue
        decay = config.weight_decay if parameter.ndim >= 2 and name.endswith("weight") else 0.0
        groups.setdefault((scale, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": config.learning_rate * scale, "weight_decay": decay}
        for (scale, decay), parameters in groups.items()
    ]


def _depths(module: nn.Module, config: OptimiserConfig) -> Callable[[str], int]:
    """How many blocks come after the one that the parameter of this name is in."""
    if config.layer_decay == 1:
        return lambda _name: 0
    backbone = getattr(module, "backbone", None)
    if not isinstance(backbone, PatchTransformer):
        raise BadConfig(
            f"optimiser.layer_decay: {config.layer_decay} needs a transformer's blocks, and this backbone is a "
            f"{type(backbone).__name__}. Leave it at 1."
        )
    blocks = [f"{_BACKBONE}{name}." for name in backbone.block_names]
    trunk = cast(nn.Module, backbone)
    ends = _last_norms(trunk, backbone)

    def after(name: str) -> int:
        for number, block in enumerate(blocks):
            if name.startswith(block):
                return len(blocks) - 1 - number
        return 0 if name.startswith(ends) else len(blocks)

    return after


def _last_norms(network: nn.Module, transformer: PatchTransformer) -> tuple[str, ...]:
    """Norms behind the blocks: those that are registered after them."""
    names = [name for name, _ in network.named_modules()]
    last = names.index(transformer.block_names[-1])
    return tuple(f"{_BACKBONE}{name}." for name in transformer.norm_names if names.index(name) > last)


def schedule(step: int, num_steps: int, warmup: float) -> float:
    """Return the share of the peak learning rate at `step` (0-based): linear up, then half a cosine towards 0.

    The last of the steps, num_steps - 1, still learns a little; 0 would be reached one step later.
    """
    num_warm = round(warmup * num_steps)
    if step < num_warm:
        return (step + 1) / num_warm
    return 0.5 * (1 + math.cos(math.pi * (step - num_warm) / max(1, num_steps - num_warm)))
