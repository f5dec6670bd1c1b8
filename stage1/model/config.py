"""Which network sees the images, and how it is run over the held-out splits; read without torch."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class BackboneConfig(BaseModel):
    """Which network sees the images."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["convnet", "timm"] = Field("convnet", description="The small built-in network, or any timm model.")
    name: str = Field("", description="timm model name, e.g. vit_small_patch16_dinov3; empty for convnet.")
    weights: str = Field(
        "", description="timm: 'hub' downloads, a path loads a checkpoint file or folder, '' starts at random."
    )
    widths: tuple[int, ...] = Field(
        (16, 32, 64), min_length=2, max_length=6, description="convnet: channels of each stage, multiples of 8."
    )

    def model_post_init(self, _context: Any) -> None:
        if self.kind == "timm" and not self.name:
            raise ValueError("kind 'timm' needs a name, for example vit_small_patch16_dinov3")
        if self.kind == "convnet" and (self.name or self.weights):
            raise ValueError("kind 'convnet' takes no name and no weights; did you mean kind 'timm'?")
        if any(width < 8 or width % 8 for width in self.widths):
            raise ValueError(f"widths must be positive multiples of 8, got {list(self.widths)}")


class PredictConfig(BaseModel):
    """How the trained model is run over the held-out splits, and which champion beside it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: str = Field("stage1-store", description="Object store that holds the channel.")
    channel: str = Field("demo", description="Channel whose current bundle is the champion.")
    batch_size: int = Field(256, ge=1, description="Images a step.")
    memory_limit_mb: int = Field(1024, ge=0, description="Decoded images are kept in memory up to this.")
    shards: str = Field(
        "", description="Where `stage1 data shard` packed the manifest; empty reads images from where they were split."
    )
    threads: int = Field(0, ge=0, description="CPU threads; 0 takes every core.")
    num_thumbnails: int = Field(12, ge=0, le=200, description="Pictures of the worst misses, and as many false alarms.")
