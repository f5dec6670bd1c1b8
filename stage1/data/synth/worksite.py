"""How work zones are laid out: tapers, closures, roadside works, signs ahead, and what partly hides them."""

from collections.abc import Callable
from functools import partial
from random import Random

from stage1.data.synth import workzone
from stage1.data.synth.canvas import Spot
from stage1.data.synth.ground import Ground
from stage1.data.synth.item import Item, Role
from stage1.data.synth.traffic import CLOTHES, SKINS, person, vehicle_at


def plan_worksite(ground: Ground, rng: Random, distance_m: float) -> list[Item]:
    """Return one work zone whose first thing stands about `distance_m` ahead; at least one item."""
    layouts: list[tuple[float, Callable[[Ground, Random, float], list[Item]]]] = [
        (0.28, _taper), (0.18, _closure), (0.18, _roadside), (0.12, _signs), (0.08, _lone), (0.09, _blocks),
        (0.07, _trailer),
    ]  # fmt: skip
    layout = rng.choices([plan for _, plan in layouts], [weight for weight, _ in layouts])[0]
    items = layout(ground, rng, distance_m)
    if layout is not _signs and rng.random() < 0.3:
        items += _signs(ground, rng, distance_m * rng.uniform(0.6, 1.2))[:1]
    if layout is not _lone and rng.random() < 0.35:
        items += _workers(ground, rng, distance_m * rng.uniform(1.05, 1.6))
    return items


def plan_blockade(ground: Ground, rng: Random, distance_m: float) -> list[Item]:
    """Return a closure of the camera's own lane right ahead, visible on every road."""
    kind, paint = _marker(ground, rng)
    items = [_barrier(ground, rng, lateral, distance_m) for lateral in (-0.9, 1.1)]
    return items + [_item(ground, kind, lateral, distance_m - 0.8, paint) for lateral in (-1.9, 2.1)]


def plan_occluder(ground: Ground, rng: Random, target: Item) -> Item:
    """Return a vehicle that stands before part of a thing."""
    share = rng.uniform(0.45, 0.75)
    z = max(5.0, target.z * share)
    along_ray = target.x * z / target.z
    lateral = (along_ray - ground.bend * z * z) * ground.look.road.side + rng.choice((-1, 1)) * rng.uniform(0.5, 1.2)
    return vehicle_at(ground, lateral, z, rng, kind=rng.choice(("car", "car", "van")))


def _item(
    ground: Ground, kind: str, lateral: float, z: float, paint: Callable[[Spot], None], role: Role = "work"
) -> Item:
    return Item(kind, role, ground.x(lateral, z), z, paint)


def _closed_lane(ground: Ground, rng: Random) -> float:
    """Return the middle of the lane that the work takes: mostly the kerb's, else the outermost on the other side."""
    road = ground.look.road
    if rng.random() < 0.75:
        return road.lanes_to_kerb * road.lane_m + (0.8 if road.lanes_to_kerb == 0 else 0.0)
    return -road.lanes_to_far * road.lane_m


def _marker(ground: Ground, rng: Random) -> tuple[str, Callable[[Spot], None]]:
    """Return a cone or a barrel: one kind for one row."""
    orange = ground.look.habits.orange
    if rng.random() < 0.6:
        return "cone", partial(workzone.cone, height=rng.uniform(0.75, 1.05), orange=orange)
    return "barrel", partial(workzone.barrel, height=rng.uniform(1.0, 1.2), orange=orange)


def _taper(ground: Ground, rng: Random, z: float) -> list[Item]:
    """Lead the traffic out of a lane with a slanting row."""
    kind, paint = _marker(ground, rng)
    middle, half = _closed_lane(ground, rng), ground.look.road.lane_m / 2
    outer, inner = (half, -half) if middle >= 0 else (-half, half)
    number, gap = rng.randint(4, 9), rng.uniform(1.4, 3.2)
    rows = [
        _item(ground, kind, middle + outer + (inner - outer) * min(1.0, index / 4.0) + rng.uniform(-0.1, 0.1),
              z + gap * index, paint)
        for index in range(number)
    ]  # fmt: skip
    if rng.random() < 0.45:
        rows.append(_machine(ground, rng, middle, z + gap * number * rng.uniform(0.7, 1.2)))
    return rows


def _closure(ground: Ground, rng: Random, z: float) -> list[Item]:
    """Close a lane across with barriers or a chevron board."""
    middle = _closed_lane(ground, rng)
    items = [_barrier(ground, rng, middle, z)]
    if rng.random() < 0.6:
        items.append(
            _barrier(ground, rng, middle + rng.choice((-1, 1)) * rng.uniform(1.5, 2.2), z + rng.uniform(0, 2.0))
        )
    if rng.random() < 0.5:
        kind, paint = _marker(ground, rng)
        items += [
            _item(ground, kind, middle - rng.uniform(1.2, 1.9), z + 2.2 * (index + 1), paint) for index in range(3)
        ]
    if rng.random() < 0.4:
        items.append(_machine(ground, rng, middle, z + rng.uniform(3.0, 8.0)))
    if rng.random() < 0.4:
        dug = partial(workzone.trench, width=rng.uniform(1.2, 2.4), length=rng.uniform(2.0, 6.0))
        items.append(_item(ground, "trench", middle, z + 0.8, dug, "site"))
    return items


def _barrier(ground: Ground, rng: Random, lateral: float, z: float) -> Item:
    habits = ground.look.habits
    if rng.random() < 0.35:
        dark, bright = habits.board
        towards = -ground.look.road.side if lateral >= 0 else ground.look.road.side
        paint: Callable[[Spot], None] = partial(
            workzone.chevron_board, width=rng.uniform(1.4, 2.4), dark=dark, bright=bright, towards=towards
        )
        return _item(ground, "chevron board", lateral, z, paint)
    dark, bright = habits.plank
    paint = partial(
        workzone.plank_barrier, width=rng.uniform(1.5, 2.4), planks=rng.randint(1, 2), dark=dark, bright=bright,
        beacon=rng.random() < 0.5,
    )  # fmt: skip
    return _item(ground, "barrier", lateral, z, paint)


def _machine(ground: Ground, rng: Random, lateral: float, z: float) -> Item:
    kind, artist = rng.choice((("excavator", workzone.excavator), ("roller", workzone.roller)))
    paint = partial(artist, paint=ground.look.habits.machine, mirror=rng.choice((-1, 1)))
    return _item(ground, kind, lateral, z, paint, "site")


def _roadside(ground: Ground, rng: Random, z: float) -> list[Item]:
    """Dig beside the road behind mesh or barriers."""
    road, habits = ground.look.road, ground.look.habits
    side = 1 if rng.random() < 0.75 else -1
    edge = road.kerb_m if side > 0 else road.far_m
    middle = edge + side * rng.uniform(0.6, 1.6)
    items = []
    if rng.random() < 0.5:
        for index in range(rng.randint(2, 4)):
            at = z + 2.2 * index
            dx = ground.x(middle, at + 2.2) - ground.x(middle, at)
            items.append(
                _item(ground, "mesh", middle, at, partial(workzone.mesh, dx=dx, length=2.2, orange=habits.orange))
            )
    else:
        items.append(_barrier(ground, rng, middle, z))
    if rng.random() < 0.6:
        items.append(_machine(ground, rng, middle + side * rng.uniform(0.8, 2.0), z + rng.uniform(2.0, 6.0)))
    else:
        heap = partial(workzone.soil_heap, width=rng.uniform(1.8, 3.2))
        items.append(_item(ground, "soil heap", middle + side * 0.8, z + rng.uniform(1.0, 4.0), heap, "site"))
    kind, paint = _marker(ground, rng)
    return items + [
        _item(ground, kind, middle - side * rng.uniform(0.5, 1.2), z + 1.8 * index, paint)
        for index in range(rng.randint(1, 3))
    ]


def _signs(ground: Ground, rng: Random, z: float) -> list[Item]:
    """Announce the work at the roadside; signs stand nearer than zones, for one sign is small."""
    road, habits = ground.look.road, ground.look.habits
    z = max(6.0, 0.85 * z)
    size = rng.uniform(1.15, 1.5)
    if habits.sign == "diamond":
        paint: Callable[[Spot], None] = partial(workzone.diamond_sign, size=size, orange=habits.orange)
    else:
        paint = partial(workzone.triangle_sign, size=size)
    items = [_item(ground, f"{habits.sign} sign", road.kerb_m + rng.uniform(0.2, 1.0), z, paint)]
    if rng.random() < 0.4:
        items.append(
            _item(ground, f"{habits.sign} sign", road.far_m - rng.uniform(0.2, 1.0), z + rng.uniform(0, 3), paint)
        )
    if rng.random() < 0.6:
        items.append(_barrier(ground, rng, road.kerb_m - rng.uniform(0.2, 1.4), z + rng.uniform(2.0, 9.0)))
    return items


def _lone(ground: Ground, rng: Random, z: float) -> list[Item]:
    """Leave one to three markers on the road, near enough to be told apart from a bin."""
    kind, paint = _marker(ground, rng)
    lateral = rng.uniform(ground.look.road.far_m * 0.6, ground.look.road.kerb_m + 0.5)
    near = max(4.5, 0.7 * z)
    return [
        _item(ground, kind, lateral + rng.uniform(-1.2, 1.2) * index, near + rng.uniform(0.6, 2.4) * index, paint)
        for index in range(rng.randint(1, 3))
    ]


def _blocks(ground: Ground, rng: Random, z: float) -> list[Item]:
    """Wall off a lane with alternating plastic blocks along the road."""
    dark, bright = ground.look.habits.plank
    middle = _closed_lane(ground, rng)
    lateral = middle - (1 if middle >= 0 else -1) * ground.look.road.lane_m * rng.uniform(0.3, 0.5)
    items = []
    for index in range(rng.randint(4, 9)):
        at = z + 2.0 * index
        dx = ground.x(lateral, at + 2.0) - ground.x(lateral, at)
        beacon = index % 2 == 0
        colour = dark if beacon else bright
        paint = partial(workzone.block_barrier, dx=dx, length=1.95, colour=colour, beacon=beacon)
        items.append(_item(ground, "block barrier", lateral, at, paint))
    return items


def _trailer(ground: Ground, rng: Random, z: float) -> list[Item]:
    """Park a trailer with an arrow of lamps in the closed lane, cones behind it."""
    middle = _closed_lane(ground, rng)
    towards = -ground.look.road.side if middle >= 0 else ground.look.road.side
    paint = partial(workzone.arrow_trailer, orange=ground.look.habits.orange, towards=towards)
    kind, marker = _marker(ground, rng)
    items = [_item(ground, "arrow trailer", middle, max(6.0, z), paint)]
    items += [_item(ground, kind, middle - 1.6, max(6.0, z) - 1.5 + 2.5 * index, marker) for index in range(3)]
    return items


def _workers(ground: Ground, rng: Random, z: float) -> list[Item]:
    """Add one or two people in vests and helmets."""
    habits = ground.look.habits
    middle = _closed_lane(ground, rng)
    items = []
    for _ in range(rng.randint(1, 2)):
        paint = partial(
            person, height=rng.uniform(1.65, 1.85), shirt=habits.vest, trousers=CLOTHES[0], skin=rng.choice(SKINS),
            helmet=rng.choice(((244, 244, 240), (246, 200, 40))), stripe=(236, 236, 236),
        )  # fmt: skip
        at = z + rng.uniform(0.0, 4.0)
        items.append(_item(ground, "worker", middle + rng.uniform(-1.4, 1.4), at, paint, "site"))
    return items
