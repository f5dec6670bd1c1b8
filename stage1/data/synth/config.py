"""What `stage1 data synth` can be told."""

from pydantic import BaseModel, ConfigDict, Field


class SynthConfig(BaseModel):
    """Settings of the generator of street scenes; together with the code they determine every byte."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_drives: int = Field(500, ge=1, le=100_000, description="Drives: groups of frames that share a look.")
    frames_per_drive: int = Field(24, ge=1, le=1000, description="Frames of each drive.")
    image_size: int = Field(64, ge=48, le=512, description="Side of the square images in pixels.")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Another seed gives other scenes of the same kind.")
    positive_rate: float = Field(0.36, ge=0.0, le=1.0, description="Share of scenes with road work.")
    hard_rate: float = Field(
        0.2, ge=0.0, le=1.0, description="Share of positives that are planned far away or partly hidden."
    )
    lookalike_rate: float = Field(
        0.85, ge=0.0, le=1.0, description="Share of negatives with things to be mistaken for road work."
    )
