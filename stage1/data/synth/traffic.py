"""Who uses the street: cars, vans, lorries, buses and people on foot."""

from functools import partial
from random import Random

from stage1.data.synth.canvas import Colour, Spot, scaled
from stage1.data.synth.ground import Ground
from stage1.data.synth.item import Item, Role

PAINTS: tuple[Colour, ...] = (
    (226, 226, 226), (176, 180, 184), (60, 62, 68), (30, 32, 36), (150, 30, 32), (36, 64, 120), (94, 110, 96),
    (120, 96, 74), (60, 96, 140), (200, 190, 170),
)  # fmt: skip
CLOTHES: tuple[Colour, ...] = (
    (48, 54, 84), (36, 36, 40), (150, 44, 48), (186, 186, 186), (70, 100, 70), (110, 90, 130), (220, 210, 190),
)  # fmt: skip
SKINS: tuple[Colour, ...] = ((226, 182, 150), (190, 138, 104), (122, 84, 62), (84, 58, 44))
SIZES = {"car": (1.8, 1.45, 4.2), "van": (2.0, 2.3, 5.2), "lorry": (2.5, 3.6, 8.0), "bus": (2.5, 3.1, 11.0)}
_GLASS: Colour = (46, 54, 64)


def plan_traffic(ground: Ground, rng: Random) -> list[Item]:
    """Put vehicles in the lanes, some at the kerb, and people on the pavement."""
    road = ground.look.road
    items = []
    for lane in range(-road.lanes_to_far, road.lanes_to_kerb + 1):
        oncoming = lane < 0 and ground.look.setting != "highway"
        z = rng.uniform(11.0, 40.0) if lane == 0 else rng.uniform(6.0, 45.0)
        while z < 75.0:
            if rng.random() < 0.55:
                items.append(vehicle_at(ground, lane * road.lane_m + rng.uniform(-0.3, 0.3), z, rng, oncoming=oncoming))
            z += rng.uniform(14.0, 45.0)
    if road.pavement_m:
        items += _parked(ground, rng)
        for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
            edge = rng.choice((road.kerb_m + rng.uniform(0.4, 1.4), road.far_m - rng.uniform(0.4, 1.4)))
            items.append(person_at(ground, edge, rng.uniform(6.0, 28.0), rng, rng.choice(CLOTHES)))
    return items


def vehicle_at(
    ground: Ground,
    lateral: float,
    z: float,
    rng: Random,
    *,
    oncoming: bool = False,
    kind: str | None = None,
    paint: Colour | None = None,
    role: Role = "traffic",
) -> Item:
    """Return a vehicle at a lateral position and distance; kind and colour are drawn where not given."""
    kind = kind or rng.choices(tuple(SIZES), (0.74, 0.14, 0.08, 0.04))[0]
    colour = paint or scaled(rng.choice(PAINTS), rng.uniform(0.9, 1.08))
    lamps = ground.look.weather in ("dusk", "night", "rain")
    artist = car if kind == "car" else box_vehicle
    draw = partial(artist, size=SIZES[kind], colour=colour, oncoming=oncoming, lamps=lamps)
    return Item(kind if paint is None else f"orange {kind}", role, ground.x(lateral, z), z, draw)


def person_at(
    ground: Ground, lateral: float, z: float, rng: Random, shirt: Colour, role: Role = "traffic", kind: str = "person"
) -> Item:
    """Return somebody on foot."""
    draw = partial(
        person, height=rng.uniform(1.6, 1.85), shirt=shirt, trousers=scaled(rng.choice(CLOTHES[:2]), 1.1),
        skin=rng.choice(SKINS),
    )  # fmt: skip
    return Item(kind, role, ground.x(lateral, z), z, draw)


def _parked(ground: Ground, rng: Random) -> list[Item]:
    """Return cars that stand at the kerb."""
    if rng.random() < 0.55:
        return []
    lateral = ground.look.road.kerb_m - 0.3 + 0.9
    return [
        vehicle_at(ground, lateral, z + rng.uniform(0.0, 2.0), rng, kind=rng.choice(("car", "car", "car", "van")))
        for z in range(9, 50, 8)
        if rng.random() < 0.5
    ]


def _sides(spot: Spot, half: float, height: float, length: float, low: float, colour: Colour) -> None:
    """Paint the long side that the camera sees; `low` is the clearance above the ground."""
    if abs(spot.x) < half:
        return
    inward = -1.0 if spot.x > 0 else 1.0
    edge = inward * half
    face = spot.lit(scaled(colour, 0.86), inward)
    spot.solid([(edge, low, 0), (edge, height, 0), (edge, height, length), (edge, low, length)], face)


def car(spot: Spot, size: tuple[float, float, float], colour: Colour, oncoming: bool, lamps: bool) -> None:
    """Paint a car from behind or, oncoming, from the front."""
    width, height, length = size
    half, waist = width / 2, 0.58 * height
    spot.shadow(half + 0.1, length)
    _sides(spot, half, waist, length, 0.22, colour)
    if abs(spot.x) >= half:
        edge = (-half if spot.x > 0 else half) * 0.94
        glass = [(edge, waist, 0.5), (edge * 0.8, height, 1.1), (edge * 0.8, height, length * 0.65)]
        spot.solid([*glass, (edge, waist, length * 0.85)], _GLASS)
        for axle in (0.8, length - 0.8) if spot.is_near else ():
            spot.solid([(edge, 0.0, axle - 0.3), (edge, 0.55, axle - 0.3), (edge, 0.55, axle + 0.3),
                        (edge, 0.0, axle + 0.3)], (24, 24, 26))  # fmt: skip
    for x in (-half + 0.05, half - 0.3):
        spot.box(x, 0.0, x + 0.25, 0.35, (22, 22, 24))
    spot.flat([(-0.92 * half, waist), (0.92 * half, waist), (0.7 * half, height), (-0.7 * half, height)], colour)
    spot.flat(
        [(-0.8 * half, waist + 0.04), (0.8 * half, waist + 0.04), (0.62 * half, height - 0.09),
         (-0.62 * half, height - 0.09)], _GLASS,
    )  # fmt: skip
    spot.box(-half, 0.24, half, waist + 0.02, spot.lit(colour, 0.3))
    if spot.is_near:
        spot.box(-half, 0.24, half, 0.4, scaled(colour, 0.6))
    _lamps_and_plate(spot, half, waist - 0.2, oncoming, lamps)


def _lamps_and_plate(spot: Spot, half: float, level: float, oncoming: bool, lamps: bool) -> None:
    colour: Colour = (255, 246, 214) if oncoming else (200, 24, 22)
    glow = (1.0 if oncoming else 0.85) if lamps else 0.0
    for x in (-half + 0.06, half - 0.4):
        spot.box(x, level - 0.08, x + 0.34, level + 0.12, colour if lamps or not oncoming else (214, 216, 214), glow)
    if spot.is_near:
        spot.box(-0.26, 0.42, 0.26, 0.55, (224, 224, 214))


def box_vehicle(spot: Spot, size: tuple[float, float, float], colour: Colour, oncoming: bool, lamps: bool) -> None:
    """Paint a van, a lorry or a bus."""
    width, height, length = size
    half = width / 2
    spot.shadow(half + 0.1, length)
    _sides(spot, half, height, length, 0.4, colour)
    if abs(spot.x) >= half and height > 2.9 and length > 9.0:
        edge = -half if spot.x > 0 else half
        spot.solid([(edge, 1.5, 0.4), (edge, 2.5, 0.4), (edge, 2.5, length), (edge, 1.5, length)], _GLASS)
    for x in (-half + 0.05, half - 0.4):
        spot.box(x, 0.0, x + 0.35, 0.5, (22, 22, 24))
    spot.box(-half, 0.4, half, height, spot.lit(colour, 0.2))
    if oncoming or length < 6.0 or length > 9.0:
        spot.box(-0.84 * half, 0.56 * height, 0.84 * half, 0.86 * height, _GLASS)
    else:
        spot.stroke([(0.0, 0.6), (0.0, height - 0.1)], 0.06, scaled(colour, 0.6))
        spot.box(-half, height - 0.16, half, height, scaled(colour, 0.75))
    spot.box(-half, 0.4, half, 0.58, (52, 52, 54))
    _lamps_and_plate(spot, half, 0.86, oncoming, lamps)


def person(
    spot: Spot, height: float, shirt: Colour, trousers: Colour, skin: Colour, helmet: Colour | None = None,
    stripe: Colour | None = None,
) -> None:  # fmt: skip
    """Paint somebody standing; a helmet and a reflecting stripe make a worker."""
    wide = 0.15 * height
    spot.shadow(wide, 0.4)
    spot.box(-0.75 * wide, 0.0, -0.1 * wide, 0.5 * height, trousers)
    spot.box(0.1 * wide, 0.0, 0.75 * wide, 0.5 * height, scaled(trousers, 0.9))
    glow = 0.35 if stripe else 0.0
    spot.box(-wide, 0.47 * height, wide, 0.83 * height, shirt, glow)
    spot.oval(-0.5 * wide, 0.84 * height, 0.5 * wide, height, skin)
    if stripe:
        spot.box(-wide, 0.56 * height, wide, 0.61 * height, stripe, 0.8)
    if helmet:
        spot.oval(-0.6 * wide, 0.92 * height, 0.6 * wide, 1.04 * height, helmet, 0.2)
