"""What answers at this moment."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stage1.bundle import Answer, Bundle
from stage1.serving.drift import Window, outcome_of


@dataclass(frozen=True)
class Served:
    """A bundle in service. Whoever took it keeps it until the request is answered, whatever is promoted meanwhile.

    Attributes:
        bundle: Verified and warm.
        sequence: Of the channel entry that it came by; of the bundle itself where there is no channel.
        window: Its latest answers.
        since: time.monotonic() when it was taken into service.
    """

    bundle: Bundle
    sequence: int
    window: Window
    since: float = field(default_factory=time.monotonic)

    def decide(self, images: Iterable[bytes | NDArray[np.uint8]]) -> tuple[list[Answer], list[str]]:
        """Return an answer and an outcome an image, and remember them.

        Raises:
            BadImage: One cannot be decoded; the message says which.
        """
        answers = self.bundle.decide(images)
        positive = self.bundle.manifest.classes[1]
        outcomes = [outcome_of(answer, positive) for answer in answers]
        self.window.add(outcomes, [answer.probability for answer in answers])
        return answers, outcomes
