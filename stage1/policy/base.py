"""What the three exit policies share: the fields every one carries, JSON in and out, and its check by schema.

A policy is an immutable value. One that cannot meet its constraint is a policy too: `feasible` is False, `reason` says
what was missing, and it defers every image.
"""

import json
from abc import ABC, abstractmethod
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
from jsonschema import Draft202012Validator
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict, Field

from stage1.errors import BadArtifact, BadData
from stage1.policy.config import Constraint, PolicyName, Section
from stage1.policy.predictions import Bools, Decisions, Floats, logit_pairs, margin

BoundBy = Literal["certificate", "aim", "expectation", "nothing"]
BLOCK = 16_384
"""Rows decided at a time: a handful of float64 columns of them fit a core's second-level cache."""
_FIRST_BYTE, _SECOND_BYTE = np.array([[1, 0], [0, 1]], dtype=np.uint8).view(np.uint16)[:, 0]


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


class ExitPolicy(Section, ABC):
    """Fields and behaviour of every exit policy. `Evidence.images == 0` marks a policy that no data was given to."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)
    name: ClassVar[PolicyName]
    file: ClassVar[str]
    reads_gate: ClassVar[bool] = True

    constraint: Constraint
    feasible: bool = Field(description="False: the constraint cannot be met; every image is deferred.")
    reason: str = Field(description="Why it is not feasible: by how many samples, or at which FNR it would be.")
    promise: str = Field(description="What holds, over which population, in expectation or with which probability.")
    findings: tuple[str, ...] = Field((), description="What a reader should know about the fit.")
    evidence: Evidence

    def decide(self, logits: ArrayLike, gate: ArrayLike | None = None) -> Decisions:
        """Return exit or defer, label or set, and a probability for every image.

        Rows are worked through in blocks that stay in the processor's cache; every row is decided by itself, so one
        image and a million get the same answers.

        Args:
            logits: (N, 2); a row that is not finite is deferred.
            gate: Gate logits (N); needed by the gate and scrc policies.
        """
        pairs = logit_pairs(logits)
        scores = gate_scores(gate, len(pairs)) if self.reads_gate else None
        found = Decisions(
            np.empty(len(pairs), np.bool_),
            np.empty(len(pairs), np.int8),
            np.empty(len(pairs)),
            np.empty((len(pairs), 2), np.bool_),
        )
        columns = [getattr(found, name) for name in Decisions.__annotations__]
        with np.errstate(invalid="ignore", over="ignore"):
            for start in range(0, len(pairs), BLOCK):
                rows = slice(start, start + BLOCK)
                d = margin(pairs[rows])
                gate_rows = d if scores is None else scores[rows].astype(np.float64)
                self._block(d, gate_rows, Decisions(*(column[rows] for column in columns)))
        return found

    @abstractmethod
    def _block(self, d_N: Floats, gate_N: Floats, found: Decisions) -> None:
        """Write the decisions of a block of rows.

        Args:
            d_N: Margins, NaN where not finite; may be overwritten.
            gate_N: Gate logits as they came; the margins where the policy reads no gate.
            found: What to write into.
        """

    @abstractmethod
    def confidence(self, logits: ArrayLike, gate: ArrayLike | None = None) -> Floats:
        """Return the score (N) by which this policy ranks images, higher is surer: what AUGRC judges."""

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


def write_single(found: Decisions, answered_N: Bools, label_N: Bools) -> None:
    """Write answers, and {label} where answered, {0, 1} where deferred."""
    deferred_N = ~answered_N
    write_sets(found, deferred_N | ~label_N, deferred_N | label_N)
    found.answered[:] = answered_N
    found.label[:] = label_N.view(np.int8)


def write_sets(found: Decisions, zero_N: Bools, one_N: Bools) -> None:
    """Write which classes each set holds, both bytes of a row at a time."""
    found.set.view(np.uint16)[:, 0] = zero_N * _FIRST_BYTE | one_N * _SECOND_BYTE


def write_probability(found: Decisions, log_odds_N: Floats) -> None:
    """Write 1 / (1 + exp(-x)) in place; exp may overflow, where the probability is 0 to the last digit but 308."""
    out = found.probability
    np.negative(log_odds_N, out=out)
    np.exp(out, out=out)
    out += 1.0
    np.reciprocal(out, out=out)


def gate_scores(gate: ArrayLike | None, num_images: int) -> NDArray[np.float32] | Floats:
    """Return gate logits, one an image."""
    if gate is None:
        raise BadData("This policy reads the gate: give the model's gate logits beside the logits.")
    scores = np.asarray(gate)
    if scores.shape != (num_images,):
        raise BadData(f"gate needs one entry for each of {num_images:,} images, got shape {scores.shape}.")
    return scores if scores.dtype == np.float32 else scores.astype(np.float64)


@cache
def _validator(schema_file: str) -> Draft202012Validator:
    text = files("stage1.policy").joinpath("schemas", schema_file).read_text(encoding="utf-8")
    return Draft202012Validator(cast("dict[str, Any]", json.loads(text)))
