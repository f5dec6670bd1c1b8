"""What the three exit policies share: the fields every one carries, JSON in and out, and its check by schema.

A policy is an immutable value. One that cannot meet its constraint is a policy too: `feasible` is False, `reason` says
what was missing, and it defers every image.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
from jsonschema import Draft202012Validator
from numpy.typing import ArrayLike
from pydantic import ConfigDict, Field

from stage1.errors import BadArtifact
from stage1.policy.config import Constraint, PolicyName, Section
from stage1.policy.predictions import Bools, Decisions, Floats

BoundBy = Literal["certificate", "aim", "expectation", "nothing"]


class Evidence(Section):
    """What val_calib showed, as counts and bounds at the fitted thresholds."""

    images: int = Field(ge=0, description="Images in val_calib.")
    positives: int = Field(ge=0, description="Positives in val_calib.")
    answered: int = Field(ge=0, description="Images answered.")
    answered_positives: int = Field(ge=0)
    misses: int = Field(ge=0, description="Answered positives called negative.")
    fnr_upper: float = Field(ge=0, le=1, description="Upper bound of FNR among answered at these thresholds.")
    answered_negatives: int = Field(ge=0)
    false_alarms: int = Field(ge=0, description="Answered negatives called positive.")
    fpr_upper: float = Field(ge=0, le=1, description="Upper bound of FPR among answered at these thresholds.")
    design_effect: float = Field(ge=1, description="By how much groups inflate the variance of the miss rate.")
    pass_probability: float = Field(ge=0, le=1, description="Chance that val_test's FNR bound meets the limit.")
    bound_by: BoundBy = Field(
        description="Which rule stopped the thresholds: the certificate, the aim, SCRC-T's own bound, or none."
    )


class ExitPolicy(Section):
    """Fields and behaviour of every exit policy. `Evidence.images == 0` marks a policy that no data was given to."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)
    name: ClassVar[PolicyName]
    file: ClassVar[str]

    constraint: Constraint
    feasible: bool = Field(description="False: the constraint cannot be met; every image is deferred.")
    reason: str = Field(description="Why it is not feasible: by how many samples, or at which FNR it would be.")
    promise: str = Field(description="What holds, over which population, in expectation or with which probability.")
    findings: tuple[str, ...] = Field((), description="What a reader should know about the fit.")
    evidence: Evidence

    def decide(self, logits: ArrayLike, gate: ArrayLike | None = None) -> Decisions:
        """Return exit or defer, label or set, and a probability for every image.

        Args:
            logits: (N, 2); a row that is not finite is deferred.
            gate: Gate logits (N); needed by the gate and scrc policies.
        """
        raise NotImplementedError

    def confidence(self, logits: ArrayLike, gate: ArrayLike | None = None) -> Floats:
        """Return the score (N) by which this policy ranks images, higher is surer: what AUGRC judges."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Return the artifact's content; `from_json` turns it back into an equal policy."""
        return self.model_dump(mode="json", by_alias=True)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what `to_json` wrote, checked against the package's JSON schema.

        Raises:
            BadArtifact: Naming the field that is wrong.
        """
        problems = sorted(_validator(cls.schema_file()).iter_errors(data), key=lambda error: list(error.absolute_path))
        if problems:
            where = "/".join(str(part) for part in problems[0].absolute_path) or "the file"
            raise BadArtifact(f"{cls.file}: {where}: {problems[0].message}")
        # The strings of JSON are exact: a float's shortest decimal form reads back as the same float.
        return cls.model_validate_json(json.dumps(data))

    @classmethod
    def schema_file(cls) -> str:
        """Return the file name of this policy's JSON schema in stage1/policy/schemas."""
        return cls.file.rsplit("/", 1)[1].removesuffix(".json") + ".schema.json"

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON schema (draft 2020-12) that the package file holds a copy of."""
        schema = cls.model_json_schema(by_alias=True)
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def answer(feasible: bool, answered_N: Bools, label_N: Bools, probability_N: Floats, set_N2: Bools) -> Decisions:
    """Return decisions; an infeasible policy defers everything with the full set."""
    if not feasible:
        answered_N = np.zeros(len(answered_N), dtype=bool)
        set_N2 = np.ones((len(answered_N), 2), dtype=bool)
    return Decisions(answered_N, label_N.astype(np.int8), probability_N, set_N2)


def single_sets(answered_N: Bools, label_N: Bools) -> Bools:
    """Return {label} where answered and {0, 1} where deferred."""
    return np.column_stack([~answered_N | ~label_N, ~answered_N | label_N])


@cache
def _validator(schema_file: str) -> Draft202012Validator:
    text = files("stage1.policy").joinpath("schemas", schema_file).read_text(encoding="utf-8")
    return Draft202012Validator(cast("dict[str, Any]", json.loads(text)))
