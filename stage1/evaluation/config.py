"""How the held-out test split is judged."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SliceRule(BaseModel):
    """Which images a slice of one's own has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: Literal["source", "group"] = Field("source", description="What the patterns look at.")
    patterns: tuple[str, ...] = Field(
        min_length=1, description="Shell patterns such as 'night-*'; an image that fits one of them is in the slice."
    )


class EvaluateConfig(BaseModel):
    """Intervals and tables of the evaluation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, ge=0, description="Seed of the bootstrap.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Of every interval (two-sided) and bound (one-sided).")
    num_resamples: int = Field(1000, ge=100, le=100_000, description="Bootstrap resamples; whole groups are drawn.")
    num_worst: int = Field(12, ge=0, le=200, description="How many misses and how many false alarms are listed.")
    min_slice: int = Field(
        30, ge=1, description="Smaller sources and groups are not listed: their numbers mean nothing."
    )
    slices: dict[str, SliceRule] = Field(
        {}, description="Slices of one's own by name, listed whatever their size: {night: {patterns: ['night-*']}}."
    )
