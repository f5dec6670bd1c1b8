"""How a backbone's weights are adapted, in training and in pre-training; read without torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class AdapterConfig(BaseModel):
    """Small trained matrices on a frozen transformer; merged into its weights when training ends.

    kind 'none' trains the backbone itself, at `optimiser.backbone_scale` of the learning rate.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["none", "lora", "dora", "rslora", "pissa"] = Field(
        "none",
        description="lora: two low-rank matrices beside each target. rslora: scaled by alpha / sqrt(rank). pissa: they "
        "start as the target's largest singular directions. dora: length and direction apart; a step takes about 3 "
        "times as long as with lora.",
    )
    rank: int = Field(16, ge=1, description="Rank of the matrices, below both sides of every target.")
    alpha: float = Field(32.0, gt=0, description="They are scaled by alpha / rank (rslora: alpha / sqrt(rank)).")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on what enters the matrices.")
    targets: tuple[str, ...] = Field(
        (),
        description="Linear layers within a block, e.g. attn.qkv, or their last word; empty takes all of a block's.",
    )
    blocks: tuple[int, ...] = Field(
        (), description="Blocks that are adapted; -1 is the last one. Empty with last_blocks 0 takes all."
    )
    last_blocks: int = Field(0, ge=0, description="Adapt the last n blocks only; 0 goes by `blocks`.")
    train_norms: bool = Field(True, description="Train the backbone's norms too; the heads always are.")

    @model_validator(mode="after")
    def _blocks_are_said_once(self) -> "AdapterConfig":
        if self.blocks and self.last_blocks:
            raise ValueError(
                f"blocks {list(self.blocks)} and last_blocks {self.last_blocks} both say which blocks; give one of them"
            )
        return self


class ExploraConfig(BaseModel):
    """ExPLoRA (Khanna et al., ICML 2025, arXiv 2406.10973): a few blocks and all norms learn, low rank elsewhere."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unfrozen_blocks: tuple[int, ...] = Field(
        (-1,), min_length=1, description="Blocks that are trained whole; [-1] the last, [0, -1] the first and the last."
    )
    rank: int = Field(64, ge=1, description="Rank of the LoRA matrices in every other block.")
    alpha: float = Field(64.0, gt=0, description="They are scaled by alpha / rank.")
    targets: tuple[str, ...] = Field(
        (),
        description="Linear layers within a block that get LoRA; empty takes query and value, or the fused "
        "query-key-value layer where the network has one.",
    )
