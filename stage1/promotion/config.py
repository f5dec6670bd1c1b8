"""The limits that a candidate must keep."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from stage1.policy import Constraint


class GateConfig(BaseModel):
    """Limits of the gate. The defaults are meant to be safe: what they let through can go to work unseen."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    constraint: Constraint = Field(
        default_factory=Constraint,
        description="Largest miss rate and false-alarm rate among answered images, each kept by its upper bound at "
        "this confidence.",
    )
    min_coverage: float = Field(
        default=0.6,
        gt=0,
        le=1,
        description="Smallest share of images that the first stage answers itself. Without it a policy that answers "
        "nothing would pass; below .6 the second stage still does much of the work and the cascade hardly pays.",
    )
    max_augrc: float = Field(
        default=0.02,
        gt=0,
        le=0.5,
        description="Largest upper bound of AUGRC. A model that is right on 96 % of the images and has no idea which "
        "ones has .96 * .04 / 2 + .04^2 / 2 = .02: a candidate must do better than that.",
    )
    champion_margin: float = Field(
        default=0.002,
        ge=0,
        le=0.5,
        description="How much worse in AUGRC than the champion the candidate may be, by the upper bound of the paired "
        "difference. 0 asks for proof that it is better, which an equally good candidate cannot give.",
    )
    min_groups: int = Field(
        default=20,
        ge=2,
        description="Fewest groups (drives, sites; images where none are given) in val_test. Intervals that resample "
        "groups are too narrow on a handful of them.",
    )
    on_repeat_look: Literal["warn", "spend"] = Field(
        default="warn",
        description="What follows from judging several candidates on one val_test. warn: it is said from the second "
        "on. spend: look k is judged at an error of 6 / (pi^2 k^2) of the whole, so that all looks together keep the "
        "confidence; the positives needed rise from 149 to 173 at the first look and 401 at the tenth.",
    )
