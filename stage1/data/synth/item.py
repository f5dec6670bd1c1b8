"""One thing that stands in a scene, and why it stands there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from stage1.data.synth.canvas import Spot

Role = Literal["scenery", "traffic", "lookalike", "site", "work"]


@dataclass(frozen=True, slots=True)
class Item:
    """A thing at a place; painting it draws no random numbers, so that a scene can be painted twice alike.

    Args:
        kind: What it is, one word or two.
        role: `work` makes a scene positive; `site` comes with it but need not prove it (machines, people, soil);
            `lookalike` is there to be mistaken for it.
        x: World position to the right, metres.
        z: World distance ahead, metres.
        paint: Draws the thing around its spot.
    """

    kind: str
    role: Role
    x: float
    z: float
    paint: Callable[[Spot], None]
