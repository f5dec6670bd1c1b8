"""What a bundle said of val_test as a whole: what its answers in service are compared with.

A histogram of P(positive) over tenths of val_test, and how often it answered. It says nothing about labels: in service
there are none.

Shapes: N images, E edges.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stage1.bundle.documents import Malformed, check
from stage1.errors import BadInput, BundleRejected
from stage1.policy import ExitPolicy

REFERENCE = "reference.json"
OUTCOMES = ("exit_negative", "exit_positive", "defer")
_NUM_BINS = 10


@dataclass(frozen=True)
class Reference:
    """How a policy's answers were spread over val_test.

    Attributes:
        outcomes: Images by outcome, a key for each of OUTCOMES.
        edges: E rising edges of P(positive); bin i holds edges[i-1] <= p < edges[i], the outer bins are open.
        counts: Images in each of the E + 1 bins.
    """

    outcomes: Mapping[str, int]
    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def num_images(self) -> int:
        """Images in val_test."""
        return sum(self.counts)

    @property
    def deferral_rate(self) -> float:
        """Share of images that were deferred, in [0, 1]."""
        return self.outcomes["defer"] / self.num_images

    def bins_N(self, probability_N: ArrayLike) -> NDArray[np.intp]:
        """Return the bin of each P(positive)."""
        return np.searchsorted(np.asarray(self.edges), np.asarray(probability_N), side="right")

    @classmethod
    def of(cls, policy: ExitPolicy, logits_N2: NDArray[np.float64], gate_N: NDArray[np.float64]) -> Self:
        """Return the spread of a policy's answers; tenths of P(positive), fewer where many are equal.

        Raises:
            BadInput: There are no images, or a number is not finite.
        """
        if not len(gate_N) or not (np.isfinite(logits_N2).all() and np.isfinite(gate_N).all()):
            raise BadInput(f"A reference needs finite predictions of at least one image, got {len(gate_N)} images.")
        decisions = policy.decide(logits_N2, gate_N)
        probability_N = np.asarray(decisions.probability, np.float64)
        answered_N, positive_N = np.asarray(decisions.answered), np.asarray(decisions.label) == 1
        edges = np.unique(np.quantile(probability_N, np.arange(1, _NUM_BINS) / _NUM_BINS))
        counts = np.bincount(np.searchsorted(edges, probability_N, side="right"), minlength=len(edges) + 1)
        split = (answered_N & ~positive_N, answered_N & positive_N, ~answered_N)
        return cls(
            {name: int(each.sum()) for name, each in zip(OUTCOMES, split, strict=True)},
            tuple(float(edge) for edge in edges),
            tuple(int(count) for count in counts),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what from_json reads back to an equal Reference."""
        return {
            "schema": "stage1/reference/v1",
            "outcomes": dict(self.outcomes),
            "probability": {"edges": list(self.edges), "counts": list(self.counts)},
        }

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Read what to_json wrote.

        Raises:
            BundleRejected: It breaks the schema, or its numbers do not agree.
        """
        try:
            fields = check(document, "reference")
        except Malformed as error:
            raise BundleRejected(f"{REFERENCE} {error}.") from error
        outcomes, (edges, counts) = fields["outcomes"], (fields["probability"][key] for key in ("edges", "counts"))
        if len(counts) != len(edges) + 1 or edges != sorted(set(edges)):
            raise BundleRejected(f"{REFERENCE} needs rising edges and one count more, got {edges} and {counts}.")
        if not sum(counts) or sum(counts) != sum(outcomes.values()):
            raise BundleRejected(
                f"{REFERENCE} counts {sum(counts)} images by probability and {sum(outcomes.values())} by outcome."
            )
        return cls(outcomes, tuple(float(edge) for edge in edges), tuple(counts))
