"""Which network sees the images, and how it is run over the held-out splits; read without torch."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_EXAMPLES = {
    "timm": "name 'vit_small_patch16_dinov3'",
    "transformers": "name 'facebook/dinov3-vits16-pretrain-lvd1689m'",
}


class BackboneConfig(BaseModel):
    """Which network sees the images."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["convnet", "timm", "transformers"] = Field(
        "convnet",
        description="convnet: the small built-in network. timm: any of timm's models. transformers: DINOv3, DINOv2 and "
        "ViT of Hugging Face.",
    )
    name: str = Field(
        "",
        description="timm: a model name, e.g. vit_small_patch16_dinov3, or hf-hub:owner/name. transformers: a hub id, "
        "owner/name. Empty where weights is a folder or architecture says it all.",
    )
    weights: str = Field(
        "",
        description="'hub' downloads, a path loads a folder in the library's own layout (timm: or one checkpoint "
        "file), '' starts at random.",
    )
    architecture: dict[str, Any] = Field(
        {},
        description="The network as the library's own config.json has it: timm {'architecture': name, 'model_args': "
        "{...}}, transformers {'model_type': 'dinov3_vit', 'hidden_size': 64, ...}. Read from the folder or hub where "
        "weights come from there, and kept beside the trained weights.",
    )
    pooling: Literal["", "cls", "mean", "cls_mean"] = Field(
        "",
        description="What the heads see: the class token, the mean of the patches, or both. Empty is mean; convnet has "
        "mean and maximum.",
    )
    widths: tuple[int, ...] = Field(
        (16, 32, 64), min_length=2, max_length=6, description="convnet: channels of each stage, multiples of 8."
    )

    def model_post_init(self, _context: Any) -> None:
        if self.kind == "convnet" and (self.name or self.weights or self.architecture):
            raise ValueError("kind 'convnet' takes no name, weights or architecture; did you mean kind 'timm'?")
        if self.kind == "convnet" and self.pooling:
            raise ValueError(f"kind 'convnet' pools by mean and maximum, so pooling {self.pooling!r} must be left out")
        if self.kind != "convnet" and not self.name and not self.architecture and self.weights in ("", "hub"):
            raise ValueError(f"kind {self.kind!r} needs a name, for example {_EXAMPLES[self.kind]}")
        if self.kind == "timm" and self.architecture and not isinstance(self.architecture.get("architecture"), str):
            raise ValueError("architecture of kind 'timm' needs {'architecture': name}, and may have 'model_args'")
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
