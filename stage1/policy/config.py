"""What a user asks of an exit policy, and how its fit is planned."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(gt=0, lt=1)]
PolicyName = Literal["softmax", "gate", "scrc"]


class Section(BaseModel):
    """A part of the configuration: immutable, and unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Constraint(Section):
    """What must hold among answered images, each with probability `confidence`."""

    max_fnr: Share = Field(0.02, description="Tolerated false-negative rate among answered positives.")
    max_fpr: Share = Field(0.05, description="Tolerated false-positive rate among answered negatives.")
    confidence: Share = Field(0.95, description="1 - delta of the promise and of the bounds that the gate computes.")

    @property
    def delta(self) -> float:
        """Tolerated probability of a broken promise."""
        return 1 - self.confidence


class Aim(Section):
    """How far inside its certificate a policy is placed, so that an independent test set confirms it."""

    pass_probability: Share = Field(0.9, description="Wanted chance that the FNR bound on val_test meets the limit.")
    test_positives: int | None = Field(
        None, ge=1, description="Positives expected in val_test; null: as many as in val_calib."
    )
    answered_negatives: Share | None = Field(
        None,
        description="Share of negatives the softmax policy plans to answer, which its FPR certificate needs; null: "
        "planned on val_select.",
    )


class ScrcOptions(Section):
    """Selective conformal risk control: acceptance by the gate, Dirichlet-calibrated prediction sets."""

    accept: float = Field(
        0.9, gt=0, le=1, description="Share of images that the gate accepts at least (xi); fixed before seeing data."
    )
    penalties: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        (1e-4, 1e-3, 1e-2, 1e-1, 1.0),
        min_length=1,
        description="Dirichlet penalties to choose from by cross-validation inside val_calib.",
    )
    seed: int = Field(0, ge=0, description="Of the cross-validation folds.")


class CalibrateConfig(Section):
    """The calibrate step: which constraint, how to aim, and which of the three policies ships."""

    constraint: Constraint = Constraint()
    exit_policy: Literal["softmax", "gate", "scrc", "best"] = Field(
        "best", description="The policy that ships; best: the highest coverage on val_calib among those that hold."
    )
    aim: Aim = Aim()
    scrc: ScrcOptions = ScrcOptions()
    price_limits: tuple[Share, ...] = Field(
        (0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2),
        description="Limits of FNR at which prices.json says what each policy would answer; []: none.",
    )
