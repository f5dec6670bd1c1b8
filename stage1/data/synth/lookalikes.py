"""What is to be mistaken for road work: orange and striped things that stand in any street."""

from collections.abc import Callable
from functools import partial
from random import Random

from stage1.data.synth.canvas import Colour, Point2, Spot, scaled
from stage1.data.synth.ground import Ground
from stage1.data.synth.item import Item
from stage1.data.synth.scenery import tree
from stage1.data.synth.traffic import person_at, vehicle_at

_WHITE: Colour = (236, 234, 228)
_BLACK: Colour = (30, 28, 26)
_RED: Colour = (204, 36, 34)
_BLUE: Colour = (30, 84, 176)
_POST: Colour = (128, 130, 132)
_SHINE = 0.55


def plan_lookalikes(ground: Ground, rng: Random, number: int) -> list[Item]:
    """Return `number` look-alikes at places where such things stand."""
    planners: list[tuple[float, Callable[[Ground, Random], Item]]] = [
        (0.44, _orange_vehicle), (0.11, _orange_person), (0.18, _other_sign), (0.09, _billboard),
        (0.07, _street_furniture), (0.05, _parasol), (0.04, _autumn_tree), (0.04, _tractor),
    ]  # fmt: skip
    weights = [weight for weight, _ in planners]
    chosen = rng.choices([planner for _, planner in planners], weights, k=number)
    return [planner(ground, rng) for planner in chosen]


def _orange(rng: Random) -> Colour:
    return (rng.uniform(215, 250), rng.uniform(78, 130), rng.uniform(12, 48))


def _roadside(ground: Ground, rng: Random, least: float, most: float) -> float:
    """Return a lateral position off the road on either side, weighted to the kerb's."""
    road = ground.look.road
    outside = rng.uniform(least, most)
    return road.kerb_m + outside if rng.random() < 0.7 else road.far_m - outside


def _item(ground: Ground, kind: str, lateral: float, z: float, paint: Callable[[Spot], None]) -> Item:
    return Item(kind, "lookalike", ground.x(lateral, z), z, paint)


def _orange_vehicle(ground: Ground, rng: Random) -> Item:
    road = ground.look.road
    lane = rng.randint(-road.lanes_to_far, road.lanes_to_kerb)
    z = rng.uniform(7.0, 22.0) if lane == 0 else rng.uniform(5.5, 20.0)
    kind = rng.choices(("car", "van", "lorry", "bus"), (0.6, 0.16, 0.14, 0.1))[0]
    lateral = lane * road.lane_m + rng.uniform(-0.3, 0.3)
    oncoming = lane < 0 and ground.look.setting != "highway"
    return vehicle_at(ground, lateral, z, rng, oncoming=oncoming, kind=kind, paint=_orange(rng), role="lookalike")


def _orange_person(ground: Ground, rng: Random) -> Item:
    road = ground.look.road
    crossing = rng.random() < 0.4
    lateral = rng.uniform(road.far_m, road.kerb_m) if crossing else _roadside(ground, rng, 0.3, 1.6)
    shirt = _orange(rng) if rng.random() < 0.75 else (214, 226, 60)
    return person_at(ground, lateral, rng.uniform(5.0, 20.0), rng, shirt, "lookalike", "orange shirt")


def _other_sign(ground: Ground, rng: Random) -> Item:
    """Return an ordinary traffic sign: other shapes, other colours, the same sheeting."""
    z, lateral = rng.uniform(5.0, 26.0), _roadside(ground, rng, 0.3, 1.2)
    size = rng.uniform(0.8, 1.1)
    style = rng.choice(("ban", "duty", "stop", "yield", "school", "curve", "guide"))
    towards = -1 if ground.bend < 0 else 1
    paint = partial(curve_sign, size=size, towards=towards) if style == "curve" else partial(SIGNS[style], size=size)
    return _item(ground, f"{style} sign", lateral, z, paint)


def _billboard(ground: Ground, rng: Random) -> Item:
    paint = partial(
        billboard, width=rng.uniform(1.6, 4.0), height=rng.uniform(1.4, 2.4), low=rng.uniform(0.6, 2.4),
        field=_orange(rng), ink=rng.choice((_WHITE, _BLACK, (60, 30, 90))), layout=rng.randint(0, 2),
    )  # fmt: skip
    z = rng.uniform(7.0, 30.0)
    return _item(ground, "billboard", _roadside(ground, rng, 2.0, 4.5), z, paint)


def _street_furniture(ground: Ground, rng: Random) -> Item:
    colour: Colour = rng.choice((_orange(rng), _orange(rng), (196, 40, 36), (226, 186, 40)))
    kind = rng.choice(("bin", "post box", "hydrant"))
    paint = partial({"bin": bin_, "post box": post_box, "hydrant": hydrant}[kind], colour=colour)
    return _item(ground, kind, _roadside(ground, rng, 0.3, 1.2), rng.uniform(4.5, 14.0), paint)


def _parasol(ground: Ground, rng: Random) -> Item:
    paint = partial(parasol, cloth=_orange(rng))
    return _item(ground, "parasol", _roadside(ground, rng, 0.8, 2.4), rng.uniform(6.0, 18.0), paint)


def _autumn_tree(ground: Ground, rng: Random) -> Item:
    leaves: Colour = (rng.uniform(190, 222), rng.uniform(96, 140), rng.uniform(24, 44))
    paint = partial(tree, height=rng.uniform(3.0, 6.5), leaves=leaves)
    return _item(ground, "autumn tree", _roadside(ground, rng, 1.8, 4.0), rng.uniform(7.0, 30.0), paint)


def _tractor(ground: Ground, rng: Random) -> Item:
    colour: Colour = rng.choice(((52, 112, 48), (190, 36, 32), (36, 84, 160), _orange(rng)))
    paint = partial(tractor, colour=colour, mirror=rng.choice((-1, 1)))
    return _item(ground, "tractor", _roadside(ground, rng, 1.0, 3.5), rng.uniform(9.0, 26.0), paint)


def _disc(spot: Spot, middle: float, radius: float, colour: Colour) -> None:
    spot.oval(-radius, middle - radius, radius, middle + radius, colour, _SHINE)


def ban_sign(spot: Spot, size: float) -> None:
    """Paint a white disc in a red ring with black figures."""
    spot.box(-0.04, 0.0, 0.04, 2.0, _POST)
    _disc(spot, 2.0, 0.5 * size, _RED)
    _disc(spot, 2.0, 0.36 * size, _WHITE)
    spot.box(-0.2 * size, 1.88, -0.03 * size, 2.12, _BLACK)
    spot.box(0.03 * size, 1.88, 0.2 * size, 2.12, _BLACK)


def duty_sign(spot: Spot, size: float) -> None:
    """Paint a blue disc with a white arrow."""
    spot.box(-0.04, 0.0, 0.04, 2.0, _POST)
    _disc(spot, 2.0, 0.5 * size, _BLUE)
    arrow = [(-0.07, -0.3), (0.07, -0.3), (0.07, 0.05), (0.22, 0.05), (0.0, 0.35), (-0.22, 0.05), (-0.07, 0.05)]
    spot.flat([(size * x, 2.0 + size * y) for x, y in arrow], _WHITE, _SHINE)


def stop_sign(spot: Spot, size: float) -> None:
    """Paint a red octagon with white letters."""
    spot.box(-0.04, 0.0, 0.04, 2.0, _POST)
    for half, colour in ((0.5 * size, _WHITE), (0.45 * size, _RED)):
        cut = 0.41 * half
        corners = [(-cut, half), (cut, half), (half, cut), (half, -cut), (cut, -half), (-cut, -half), (-half, -cut)]
        spot.flat([(x, 2.0 + y) for x, y in [*corners, (-half, cut)]], colour, _SHINE)
    spot.box(-0.32 * size, 1.9, 0.32 * size, 2.1, _WHITE, _SHINE)


def yield_sign(spot: Spot, size: float) -> None:
    """Paint a white triangle in a red frame that stands on its tip."""
    half, top = 0.58 * size, 2.4
    spot.box(-0.04, 0.0, 0.04, 1.7, _POST)
    spot.flat([(-half, top), (half, top), (0.0, top - size)], _RED, _SHINE)
    spot.flat([(-0.62 * half, top - 0.12 * size), (0.62 * half, top - 0.12 * size), (0.0, top - 0.75 * size)], _WHITE,
              _SHINE)  # fmt: skip


def school_sign(spot: Spot, size: float) -> None:
    """Paint a yellow-green house shape with two figures."""
    half, low = 0.5 * size, 1.5
    spot.box(-0.04, 0.0, 0.04, 1.6, _POST)
    lime: Colour = (202, 226, 40)
    spot.flat([(-half, low), (half, low), (half, low + 0.55 * size), (0.0, low + size), (-half, low + 0.55 * size)],
              lime, _SHINE)  # fmt: skip
    for x in (-0.22 * size, 0.08 * size):
        spot.box(x, low + 0.15 * size, x + 0.14 * size, low + 0.55 * size, _BLACK)


def guide_sign(spot: Spot, size: float) -> None:
    """Paint a green or white board with lines of writing."""
    half = 1.3 * size
    for x in (-0.8 * half, 0.8 * half - 0.08):
        spot.box(x, 0.0, x + 0.08, 1.8, _POST)
    spot.box(-half, 1.7, half, 3.0, _WHITE, _SHINE)
    spot.box(-half + 0.07, 1.77, half - 0.07, 2.93, (22, 104, 66), _SHINE)
    for low, share in ((2.05, 0.5), (2.5, 0.7)):
        spot.box(-0.8 * half, low, (2 * share - 0.8) * half, low + 0.2, _WHITE, _SHINE)


def curve_sign(spot: Spot, size: float, towards: int) -> None:
    """Paint one white chevron on blue, as at a sharp bend."""
    half, low, top = 0.45 * size, 0.8, 0.8 + size
    spot.box(-0.04, 0.0, 0.04, low, _POST)
    spot.box(-half, low, half, top, _BLUE, _SHINE)
    middle = (low + top) / 2
    arrow = [(-0.7, low + 0.1), (-0.1, low + 0.1), (0.75, middle), (-0.1, top - 0.1), (-0.7, top - 0.1), (0.1, middle)]
    spot.flat([(towards * x * half, y) for x, y in arrow], _WHITE, _SHINE)


SIGNS: dict[str, Callable[..., None]] = {
    "ban": ban_sign, "duty": duty_sign, "stop": stop_sign, "yield": yield_sign, "school": school_sign,
    "guide": guide_sign,
}  # fmt: skip


def billboard(spot: Spot, width: float, height: float, low: float, field: Colour, ink: Colour, layout: int) -> None:
    """Paint an advertisement on posts."""
    half, top = width / 2, low + height
    for x in (-0.7 * half, 0.7 * half - 0.1):
        spot.box(x, 0.0, x + 0.1, low, _POST)
    spot.box(-half, low, half, top, field)
    if layout == 0:
        spot.oval(-0.75 * half, low + 0.25 * height, -0.15 * half, low + 0.75 * height, ink)
        spot.box(0.05 * half, low + 0.55 * height, 0.8 * half, low + 0.7 * height, ink)
        spot.box(0.05 * half, low + 0.3 * height, 0.6 * half, low + 0.42 * height, ink)
    elif layout == 1:
        spot.box(-0.8 * half, low + 0.1 * height, 0.8 * half, low + 0.35 * height, ink)
        spot.oval(-0.35 * half, low + 0.45 * height, 0.35 * half, low + 0.9 * height, scaled(field, 0.6))
    else:
        spot.box(-half, low, half, low + 0.3 * height, ink)
        spot.box(-0.7 * half, low + 0.5 * height, 0.5 * half, low + 0.75 * height, _WHITE)


def bin_(spot: Spot, colour: Colour) -> None:
    """Paint a litter bin: a barrel without collars."""
    spot.shadow(0.28, 0.5)
    spot.flat([(-0.24, 0.0), (0.24, 0.0), (0.28, 0.9), (-0.28, 0.9)], colour)
    spot.box(-0.3, 0.82, 0.3, 1.0, scaled(colour, 0.45))
    spot.box(-0.16, 0.62, 0.16, 0.74, _BLACK)


def post_box(spot: Spot, colour: Colour) -> None:
    """Paint a letter box on a foot."""
    spot.box(-0.06, 0.0, 0.06, 0.7, _POST)
    spot.box(-0.3, 0.65, 0.3, 1.4, colour)
    spot.box(-0.2, 1.18, 0.2, 1.24, _BLACK)


def hydrant(spot: Spot, colour: Colour) -> None:
    """Paint a fire hydrant."""
    spot.shadow(0.2, 0.3)
    spot.box(-0.14, 0.0, 0.14, 0.68, colour)
    spot.box(-0.26, 0.38, 0.26, 0.52, scaled(colour, 0.8))
    spot.oval(-0.16, 0.56, 0.16, 0.82, scaled(colour, 1.1))


def parasol(spot: Spot, cloth: Colour) -> None:
    """Paint a café's parasol with its table: a cone that stands on a stick."""
    spot.shadow(0.9, 0.8)
    spot.stroke([(0.0, 0.0), (0.0, 2.3)], 0.07, (196, 190, 180))
    spot.flat([(-1.25, 1.85), (1.25, 1.85), (0.0, 2.6)], cloth)
    spot.flat([(0.25, 1.85), (1.25, 1.85), (0.0, 2.6)], scaled(cloth, 0.78))
    spot.box(-0.45, 0.68, 0.45, 0.76, (120, 90, 66))


def tractor(spot: Spot, colour: Colour, mirror: int) -> None:
    """Paint a farm tractor from its side."""

    def flat(points: list[Point2], fill: Colour) -> None:
        spot.flat([(mirror * x, y) for x, y in points], fill)

    spot.shadow(1.8, 1.4)
    flat([(-0.2, 0.8), (1.7, 0.8), (1.7, 1.5), (-0.2, 1.6)], colour)
    flat([(-1.1, 1.2), (0.0, 1.2), (0.0, 2.6), (-1.1, 2.6)], (60, 70, 80))
    flat([(-1.2, 2.5), (0.1, 2.5), (0.1, 2.7), (-1.2, 2.7)], colour)
    for x, radius in ((-0.8, 0.8), (1.2, 0.5)):
        middle = mirror * x
        spot.oval(middle - radius, 0.0, middle + radius, 2 * radius, (28, 28, 28))
        spot.oval(middle - 0.45 * radius, 0.55 * radius, middle + 0.45 * radius, 1.45 * radius, scaled(colour, 1.1))
