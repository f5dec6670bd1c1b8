"""The gate's decision: every check that was made, and one bool that is true only where all of them pass."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, Self

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from stage1.errors import BadArtifact

SCHEMA = "stage1/decision/v1"
CHECKS = (
    "test_split",
    "origin",
    "policy",
    "look",
    "counts",
    "groups",
    "positives",
    "negatives",
    "fnr_answered",
    "fpr_answered",
    "coverage",
    "augrc",
    "champion",
)
"""Every decision has these checks, in this order."""

Comparison = Literal["<=", ">="]


@dataclass(frozen=True)
class Check:
    """One question that a candidate was asked.

    Attributes:
        name: One of CHECKS.
        verdict: "pass" or "refuse".
        value: What was measured; None where there is no usable number.
        bound: What is compared with the limit: the value on the bad side of its uncertainty.
        limit: What the bound must keep; None where the question is not one of a number.
        comparison: How bound and limit must stand.
        reason: One sentence with the numbers.
    """

    name: str
    verdict: Literal["pass", "refuse"]
    value: float | None
    bound: float | None
    limit: float | None
    comparison: Comparison | None
    reason: str


@dataclass(frozen=True)
class Champion:
    """The bundle that the channel pointed at when the candidate was judged."""

    digest: str
    sequence: int


@dataclass(frozen=True)
class Decision:
    """What the gate decided, about what, and why.

    Attributes:
        checks: One for each of CHECKS.
        warnings: What a person should know although it refuses nothing.
        policy: The policy that was judged; None where the metrics name none.
        look: Which candidate this is on this val_test, from 1 on.
        val_test_digest: What the looks are counted for.
        champion: None where the channel was empty.
        data_digest: Of the data; None where the metrics have none.
        model_digest: Of the model; None as above.
        evaluation_digest: SHA-256 of metrics.json; None where the metrics cannot be written as JSON.
    """

    checks: tuple[Check, ...]
    warnings: tuple[str, ...]
    policy: str | None
    look: int
    val_test_digest: str | None
    champion: Champion | None
    data_digest: str | None
    model_digest: str | None
    evaluation_digest: str | None

    @property
    def promote(self) -> bool:
        """Whether every check was made and passes."""
        names = tuple(check.name for check in self.checks)
        return names == CHECKS and all(check.verdict == "pass" for check in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons of the checks that refuse."""
        return tuple(check.reason for check in self.checks if check.verdict != "pass")

    def to_json(self) -> dict[str, Any]:
        """Return decision.json."""
        return {
            "schema": SCHEMA,
            "promote": self.promote,
            "policy": self.policy,
            "look": {"val_test_digest": self.val_test_digest, "number": self.look},
            "checks": [asdict(check) for check in self.checks],
            "reasons": list(self.reasons),
            "warnings": list(self.warnings),
            "champion": asdict(self.champion) if self.champion else None,
            "data_digest": self.data_digest,
            "model_digest": self.model_digest,
            "evaluation_digest": self.evaluation_digest,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read decision.json.

        Raises:
            BadArtifact: It breaks the schema, says promote without every check passing, or passes a check whose bound
                does not keep its limit.
        """
        if error := best_match(_validator().iter_errors(document)):
            raise BadArtifact(f"decision.json breaks its schema at {error.json_path}: {error.message[:300]}.")
        champion = document["champion"]
        decision = cls(
            checks=tuple(Check(**check) for check in document["checks"]),
            warnings=tuple(document["warnings"]),
            policy=document["policy"],
            look=document["look"]["number"],
            val_test_digest=document["look"]["val_test_digest"],
            champion=Champion(**champion) if champion else None,
            data_digest=document["data_digest"],
            model_digest=document["model_digest"],
            evaluation_digest=document["evaluation_digest"],
        )
        for check in decision.checks:
            if check.verdict == "pass" and check.limit is not None and not keeps(check):
                raise BadArtifact(
                    f"decision.json contradicts itself: {check.name} passes, but {check.bound} {check.comparison} "
                    f"{check.limit} does not hold."
                )
        if decision.to_json() != dict(document):
            raise BadArtifact("decision.json contradicts itself: its checks give another decision. Run the gate again.")
        return decision


def keeps(check: Check) -> bool:
    """Return whether the bound keeps the limit; a missing number does not."""
    if check.bound is None or check.limit is None or check.comparison is None:
        return False
    return check.bound <= check.limit if check.comparison == "<=" else check.bound >= check.limit


@cache
def _validator() -> Draft202012Validator:
    schema = resources.files("stage1.promotion").joinpath("schemas", "decision.schema.json").read_text("utf-8")
    return Draft202012Validator(json.loads(schema))
