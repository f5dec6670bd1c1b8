"""What an evaluation is about: the test images with what a model said of them.

Shapes: N images, 2 classes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TestRows:
    """Test images, one entry each.

    Attributes:
        ids_N, groups_N, sources_N: Names; a group holds what is not independent.
        labels_N: 0 or 1.
        logits_N2: (z0, z1).
        gate_N: Gate logit.
    """

    ids_N: NDArray[np.object_]
    groups_N: NDArray[np.object_]
    sources_N: NDArray[np.object_]
    labels_N: NDArray[np.int8]
    logits_N2: NDArray[np.float64]
    gate_N: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.labels_N)

    @property
    def positive_N(self) -> NDArray[np.bool_]:
        """Which images have road works."""
        positive_N: NDArray[np.bool_] = self.labels_N == 1
        return positive_N

    @property
    def margin_N(self) -> NDArray[np.float64]:
        """z1 - z0."""
        margin_N: NDArray[np.float64] = self.logits_N2[:, 1] - self.logits_N2[:, 0]
        return margin_N

    @property
    def wrong_N(self) -> NDArray[np.bool_]:
        """Where the more probable class is not the label, answered or not; a margin of 0 is class 1, as in policies."""
        wrong_N: NDArray[np.bool_] = (self.margin_N >= 0) != self.positive_N
        return wrong_N

    @property
    def probability_N(self) -> NDArray[np.float64]:
        """The softmax's P(road work)."""
        probability_N: NDArray[np.float64] = np.exp(-np.logaddexp(0, -self.margin_N))
        return probability_N

    def part(self, chosen_N: NDArray[np.bool_]) -> "TestRows":
        """The images where `chosen_N` is true."""
        return TestRows(*(getattr(self, name)[chosen_N] for name in self.__dataclass_fields__))
