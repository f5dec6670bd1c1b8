"""How to train; read without torch."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stage1.data.preprocess import Preprocessing
from stage1.model.adapter_config import AdapterConfig, ExploraConfig
from stage1.model.config import BackboneConfig
from stage1.tracking.config import TrackingConfig


class AugmentConfig(BaseModel):
    """Random changes of each training image, drawn for every image on its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flip: float = Field(0.5, ge=0, le=1, description="Probability of a mirror image.")
    min_scale: float = Field(
        0.9, gt=0, le=1, description="Smallest side of the random crop, as a share of the image's."
    )
    colour: float = Field(
        0.15, ge=0, lt=1, description="Largest relative change of brightness, contrast and saturation."
    )


class SharpnessConfig(BaseModel):
    """F-SAM (Li et al., CVPR 2024, arXiv 2403.12350): the step is that of weights moved by rho where it is steep.

    d = g - sigma m,  m = decay m + (1 - decay) g,  weights move by rho d / |d|. The authors ran rho .2 under SGD; under
    AdamW that ruined our small network (docs/results/training-study.md), hence the smaller default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rho: float = Field(0.05, gt=0, description="How far the weights are moved, in the norm of all of them.")
    sigma: float = Field(1.0, ge=0, description="How much of the running mean gradient is taken out; 0 is plain SAM.")
    decay: float = Field(0.95, ge=0, lt=1, description="Decay of the running mean gradient.")


class OptimiserConfig(BaseModel):
    """AdamW under a cosine with linear warm-up, alone or inside F-SAM."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["adamw", "fsam"] = Field(
        "adamw", description="fsam: every step looks for flat minima, for a second pass over its batch."
    )
    fsam: SharpnessConfig = SharpnessConfig()
    learning_rate: float = Field(3e-3, gt=0, description="Peak learning rate.")
    backbone_scale: float = Field(
        1.0,
        ge=0,
        le=1,
        description="The backbone's share of the learning rate; below 1 for a pre-trained one, 0 freezes.",
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Each block of a transformer has this share of the next one's learning rate; 1: all alike.",
    )
    lora_plus: float = Field(
        1.0, ge=1, description="LoRA+: the second matrices of adapters learn this many times as fast as the first."
    )
    weight_decay: float = Field(0.05, ge=0, description="Decoupled weight decay, on weight matrices only.")
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps that warm up.")
    clip_norm: float = Field(1.0, gt=0, description="Gradients are scaled down to this global norm.")


class CheckpointConfig(BaseModel):
    """When the state of training is kept, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every_steps: int = Field(
        0, ge=0, description="Steps between two checkpoints; 0 goes by time, a minute or 20 times what one takes."
    )
    keep: int = Field(2, ge=1, description="Checkpoints that are kept, the newest.")
    uri: str = Field(
        "",
        description="Folder or s3://bucket/prefix that also gets them, for a run that another machine may go on with.",
    )


class LoopConfig(BaseModel):
    """What every training loop has.

    Attributes:
        BESIDES: Fields that change nothing of what comes out, so that a result is found again whatever they are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    BESIDES: ClassVar[frozenset[str]] = frozenset({"checkpoint", "tracking", "tensorboard"})

    seed: int = Field(0, ge=0, lt=2**63, description="Seed of initial weights, order, augmentation and masks.")
    batch_size: int = Field(64, ge=2, description="Images a step, of all processes together.")
    part_size: int = Field(
        0,
        ge=0,
        description="Images that a process runs at once, for the same loss and gradient in less memory; 0 takes its "
        "whole share of a batch. Out of memory halves it.",
    )
    processes: int = Field(0, ge=0, description="Processes that train together; 0 is one a GPU, one without a GPU.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="bf16: matrix products in bfloat16. auto takes it on GPUs that have it."
    )
    recompute: bool = Field(
        False, description="Forget what is inside a transformer block and compute it again: less memory, more time."
    )
    compile: bool = Field(False, description="Compile the backbone's blocks with torch.compile; the first steps wait.")
    checkpoint: CheckpointConfig = CheckpointConfig()
    tracking: TrackingConfig = TrackingConfig()
    tensorboard: str = Field("", description="Folder for TensorBoard's files of every run; empty writes none.")
    augment: AugmentConfig = AugmentConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    memory_limit_mb: int = Field(
        2048,
        ge=0,
        description="Decoded images are kept in each process's memory up to this; above it they are decoded as they "
        "are used.",
    )
    shards: str = Field(
        "",
        description="Where `stage1 data shard` packed the manifest: a folder or s3://bucket/prefix; images are "
        "streamed from there. Empty reads every image from where it was split.",
    )
    shard_window: int = Field(
        8, ge=1, description="Shards whose images are mixed while they are streamed; twice as many are held in memory."
    )
    threads: int = Field(0, ge=0, description="CPU threads; 0 takes every core.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where there is one.")


class DecoderConfig(BaseModel):
    """The masked autoencoder's decoder; it is thrown away after pre-training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(256, ge=32, multiple_of=32, description="Channels.")
    depth: int = Field(4, ge=1, description="Transformer blocks.")


class PretrainConfig(LoopConfig):
    """Which backbone, how it sees images, and how long it learns without labels (masked image modelling).

    Transformers over patches are trained as masked autoencoders, other networks to fill in hidden patches.
    """

    backbone: BackboneConfig = BackboneConfig()
    preprocessing: Preprocessing = Preprocessing()
    epochs: int = Field(2, ge=0, description="Epochs of masked image modelling; 0 skips it.")
    method: Literal["full", "explora"] = Field(
        "full", description="full: every weight learns. explora: a few blocks and the norms, low rank elsewhere."
    )
    explora: ExploraConfig = ExploraConfig()
    mask_ratio: float | None = Field(
        None, gt=0, lt=1, description="Share of hidden patches; null is 0.75 for transformers and 0.6 for the others."
    )
    mask_patch: int | None = Field(
        None,
        ge=2,
        description="Side of a hidden patch in pixels, smaller than the image; null is 8. Transformers hide their own "
        "patches and take none.",
    )
    decoder: DecoderConfig = Field(DecoderConfig(), description="Used with transformers.")

    @model_validator(mode="after")
    def _some_patches_are_seen(self) -> "PretrainConfig":
        if self.hidden_patch >= self.preprocessing.image_size:
            raise ValueError(
                f"mask_patch must be smaller than preprocessing.image_size {self.preprocessing.image_size}, "
                f"got {self.hidden_patch}"
            )
        return self

    @model_validator(mode="after")
    def _explora_has_blocks(self) -> "PretrainConfig":
        if self.method == "explora" and self.backbone.kind == "convnet":
            raise ValueError("backbone.kind 'convnet' has no transformer blocks for method 'explora'; it takes 'full'")
        return self

    @property
    def hidden_patch(self) -> int:
        """Side of a hidden patch, in pixels, of a network that is no transformer over patches."""
        return self.mask_patch or 8


class PhaseConfig(BaseModel):
    """One part of training: a loss and how long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    loss: Literal["ce", "selective", "crc"] = Field(
        "ce",
        description="ce: cross-entropy of all heads; selective: SelectiveNet; crc: conformal-risk training.",
    )
    epochs: int = Field(ge=1, description="Passes over the training split.")


class RiskConfig(BaseModel):
    """Conformal-risk training: false positives are lowered at the threshold that misses `alpha` of the positives."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alpha: float = Field(
        0.02, gt=0, lt=1, description="Tolerated miss rate; a batch needs about 2 / alpha positives (97 at 0.02)."
    )
    temperature: float = Field(0.1, gt=0, description="Softness of the false-positive rate, in units of probability.")
    window: int = Field(2, ge=0, description="Ranks on either side of the conformal one that make the threshold.")
    share: float = Field(
        0.5, gt=0, le=1, description="Share of the conformal risk in the loss; the rest is the loss of phase ce."
    )


class TrainConfig(LoopConfig):
    """Supervised training of the three heads; the best epoch is chosen by AUGRC on val_select."""

    phases: tuple[PhaseConfig, ...] = Field(
        (PhaseConfig(loss="ce", epochs=10), PhaseConfig(loss="selective", epochs=4)),
        min_length=1,
        description="Losses in order, each with its number of epochs.",
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Cross-entropy label smoothing.")
    positive_share: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of positives among the images of an epoch, by repeating some; null takes every image once.",
    )
    positive_weight: float = Field(1.0, gt=0, description="Weight of a positive in the cross-entropy.")
    target_coverage: float = Field(0.9, gt=0, le=1, description="Coverage that the gate is trained for (selective).")
    coverage_penalty: float = Field(32.0, gt=0, description="Lambda of SelectiveNet's coverage term.")
    selective_share: float = Field(
        0.5, gt=0, le=1, description="Share of the selective loss; the rest is the aux head's."
    )
    risk: RiskConfig = RiskConfig()
    patience: int = Field(
        0,
        ge=0,
        description="Epochs without a better AUGRC on val_select after which a phase ends early; 0 never ends one.",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on pooled features.")
    ema_decay: float = Field(
        0.99, ge=0, lt=1, description="Decay a step of the averaged weights, which are evaluated and kept."
    )
    adapter: AdapterConfig = AdapterConfig()

    @model_validator(mode="after")
    def _aux_needs_a_share(self) -> "TrainConfig":
        if self.selective_share == 1 and all(phase.loss == "selective" for phase in self.phases):
            raise ValueError(
                "selective_share 1 with only selective phases leaves the aux head untrained; use less than 1"
            )
        return self

    @model_validator(mode="after")
    def _adapters_learn(self) -> "TrainConfig":
        if self.adapter.kind != "none" and self.optimiser.backbone_scale == 0:
            raise ValueError(
                f"adapter.kind {self.adapter.kind!r} with optimiser.backbone_scale 0 would train no adapter; give the "
                "scale more than 0 (1 is usual with adapters), or use adapter.kind 'none' to train the heads alone"
            )
        return self

    @property
    def epochs(self) -> int:
        """Epochs of all phases together."""
        return sum(phase.epochs for phase in self.phases)
