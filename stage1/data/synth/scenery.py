"""What lines a street: buildings, houses, trees, lamps, fences and guard rails."""

from functools import partial
from random import Random

from stage1.data.synth.canvas import Colour, Spot, mix, scaled
from stage1.data.synth.ground import Ground
from stage1.data.synth.item import Item

_PANE: Colour = (64, 74, 88)
_LIT: Colour = (250, 206, 130)
_METAL: Colour = (132, 136, 140)
_REACH_M = 3.0  # trees and lamps whose foot lies further outside the picture cannot be seen


def plan_scenery(ground: Ground, rng: Random) -> list[Item]:
    """Line both sides of the road as the setting has it."""
    items: list[Item] = []
    for side in (1, -1):
        planner = {"city": _city_side, "suburb": _suburb_side, "rural": _rural_side, "highway": _highway_side}
        items += planner[ground.look.setting](ground, side, rng)
    return items


def _edge(ground: Ground, side: int) -> float:
    """Return the lateral position where the verge begins on a side (1 the kerb's, -1 the other)."""
    road = ground.look.road
    return road.kerb_m + road.pavement_m if side > 0 else road.far_m - road.pavement_m


def _place(ground: Ground, kind: str, lateral: float, z: float, paint: partial[None]) -> Item:
    return Item(kind, "scenery", ground.x(lateral, z), z, paint)


def _city_side(ground: Ground, side: int, rng: Random) -> list[Item]:
    look = ground.look
    items = []
    z = rng.uniform(3.0, 9.0)
    outward = side * look.road.side
    while z < 85.0:
        length = rng.uniform(9.0, 20.0)
        if rng.random() < 0.86:
            facade = scaled(rng.choice(look.facades), rng.uniform(0.85, 1.1))
            awning = rng.choice(((150, 40, 40), (40, 80, 120), (60, 100, 70))) if rng.random() < 0.3 else None
            lit = rng.getrandbits(24) if look.lamps_on else 0
            paint = partial(
                building, outward=outward, length=length, width=rng.uniform(8.0, 14.0), storeys=rng.randint(2, 7),
                facade=facade, awning=awning, lit=lit,
            )  # fmt: skip
            items.append(_place(ground, "building", _edge(ground, side) + side * rng.uniform(0.2, 2.5), z, paint))
        z += length + rng.uniform(0.0, 5.0)
    items += _row_of(ground, side, rng, "lamp", 24.0, -0.6)
    if rng.random() < 0.6:
        items += _row_of(ground, side, rng, "tree", 13.0, -0.9)
    return items


def _suburb_side(ground: Ground, side: int, rng: Random) -> list[Item]:
    look = ground.look
    items = []
    z = rng.uniform(6.0, 14.0)
    while z < 80.0:
        facade = scaled(rng.choice(look.facades), rng.uniform(0.9, 1.15))
        roof = scaled(rng.choice(((126, 62, 48), (84, 82, 86), (104, 78, 60))), rng.uniform(0.85, 1.1))
        lit = rng.getrandbits(24) if look.lamps_on else 0
        paint = partial(
            house, outward=side * look.road.side, width=rng.uniform(7.0, 11.0), height=rng.uniform(2.8, 5.6),
            length=rng.uniform(7.0, 10.0), facade=facade, roof=roof, lit=lit,
        )  # fmt: skip
        items.append(_place(ground, "house", _edge(ground, side) + side * rng.uniform(3.0, 8.0), z, paint))
        z += rng.uniform(13.0, 24.0)
    items += _row_of(ground, side, rng, "tree", rng.uniform(10.0, 22.0), 1.6)
    if rng.random() < 0.45:
        items += _fence_row(ground, side, rng)
    return items


def _rural_side(ground: Ground, side: int, rng: Random) -> list[Item]:
    items = _row_of(ground, side, rng, "tree", rng.uniform(6.0, 26.0), rng.uniform(2.0, 8.0))
    if rng.random() < 0.4:
        items += _row_of(ground, side, rng, "tree", 16.0, 14.0)
    if rng.random() < 0.35:
        items += _fence_row(ground, side, rng)
    if rng.random() < 0.4:
        items += _row_of(ground, side, rng, "pole", 28.0, 2.0)
    return items


def _highway_side(ground: Ground, side: int, rng: Random) -> list[Item]:
    items = []
    if rng.random() < 0.75:
        lateral = _edge(ground, side) + side * 0.6
        for step in range(14):
            z = 3.0 + 4.0 * step
            dx = ground.x(lateral, z + 4.0) - ground.x(lateral, z)
            items.append(_place(ground, "guard rail", lateral, z, partial(guard_rail, dx=dx, length=4.0)))
    items += _row_of(ground, side, rng, "tree", rng.uniform(5.0, 14.0), rng.uniform(5.0, 10.0))
    if rng.random() < 0.4:
        items += _row_of(ground, side, rng, "lamp", 32.0, 1.4)
    return items


def _row_of(ground: Ground, side: int, rng: Random, kind: str, gap: float, outside: float) -> list[Item]:
    """Return trees, lamps or poles at about equal distances along a side."""
    look = ground.look
    inward = -side * look.road.side
    items = []
    z = rng.uniform(4.0, 4.0 + gap)
    while z < 75.0:
        lateral = _edge(ground, side) + side * (outside + rng.uniform(-0.3, 0.6))
        if abs(ground.x(lateral, z)) > 0.5 * z / ground.camera.focal + _REACH_M:
            z += gap
            continue
        if kind == "tree":
            leaves = scaled(rng.choice(look.greens), rng.uniform(0.85, 1.2))
            paint = partial(tree, height=rng.uniform(4.5, 9.0), leaves=leaves, conifer=rng.random() < 0.2)
        elif kind == "lamp":
            paint = partial(lamp, inward=inward, on=look.lamps_on)
        else:
            paint = partial(pole)
        items.append(_place(ground, kind, lateral, z, paint))
        z += gap * rng.uniform(0.8, 1.25)
    return items


def _fence_row(ground: Ground, side: int, rng: Random) -> list[Item]:
    """Return a garden fence: planks and posts, a peaceful relative of a barrier."""
    colour: Colour = rng.choice(((222, 218, 208), (120, 88, 62), (148, 146, 140)))
    lateral = _edge(ground, side) + side * rng.uniform(0.4, 1.4)
    start = rng.uniform(4.0, 14.0)
    items = []
    for step in range(rng.randint(4, 9)):
        z = start + 3.0 * step
        dx = ground.x(lateral, z + 3.0) - ground.x(lateral, z)
        items.append(_place(ground, "fence", lateral, z, partial(fence, dx=dx, length=3.0, colour=colour)))
    return items


def building(
    spot: Spot, outward: int, length: float, width: float, storeys: int, facade: Colour, awning: Colour | None, lit: int
) -> None:
    """Paint a block whose long face looks at the road; `outward` is the world direction away from the road."""
    height = 3.2 * storeys + 0.6
    front = spot.lit(facade, 0.0)
    street = spot.lit(facade, -outward)
    far = outward * width
    spot.solid([(0, 0, 0), (0, height, 0), (0, height, length), (0, 0, length)], street)
    if spot.in_view:
        spot.flat([(0, 0), (far, 0), (far, height), (0, height)], front)
    _windows(spot, length, far, storeys, lit)
    if awning is not None:
        out = -outward * 1.1
        spot.solid([(0, 3.3, 0.5), (0, 3.3, length * 0.6), (out, 2.6, length * 0.6), (out, 2.6, 0.5)], awning)


def _windows(spot: Spot, length: float, far: float, storeys: int, lit: int) -> None:
    """Paint a building's windows; far away a storey's windows run together, above the image's edge there are none."""
    near = spot.is_near
    columns = max(2, int(length / 4.5)) if near else 1
    ceiling = spot.canvas.camera.height_m + spot.canvas.horizon_px * (spot.z + length) / spot.canvas.focal_px
    for storey in range(storeys):
        low = 3.2 * storey + 1.1
        if low > ceiling:
            return
        for column in range(columns):
            z0 = length * (column + 0.2) / columns
            z1 = length * (column + 0.8) / columns
            on = lit >> (storey * columns + column) % 24 & 1
            pane, glow = (_LIT, 0.75) if on else (_PANE, 0.0)
            spot.solid([(0, low, z0), (0, low + 1.5, z0), (0, low + 1.5, z1), (0, low, z1)], pane, glow)
        for column in range(3 if near and spot.in_view else 0):
            x0, x1 = sorted((far * (column + 0.25) / 3, far * (column + 0.65) / 3))
            spot.box(x0, low, x1, low + 1.5, scaled(_PANE, 0.9))


def house(
    spot: Spot, outward: int, width: float, height: float, length: float, facade: Colour, roof: Colour, lit: int
) -> None:
    """Paint a house with a gable."""
    far = outward * width
    ridge = height + 0.32 * width
    street = spot.lit(facade, -outward)
    spot.solid([(0, 0, 0), (0, height, 0), (0, height, length), (0, 0, length)], street)
    spot.flat([(0, 0), (far, 0), (far, height), (far / 2, ridge), (0, height)], spot.lit(facade, 0.0))
    slope = [(0.0, height, -0.3), (far / 2, ridge, -0.3), (far / 2, ridge, length), (0.0, height, length)]
    spot.solid(slope, spot.lit(roof, -outward))
    for index, share in enumerate((0.22, 0.62)):
        pane, glow = (_LIT, 0.75) if lit >> index & 1 else (_PANE, 0.0)
        x0, x1 = sorted((far * share, far * (share + 0.18)))
        spot.box(x0, 0.9, x1, 2.2, pane, glow)
    pane, glow = (_LIT, 0.75) if lit >> 2 & 1 else (_PANE, 0.0)
    spot.solid([(0, 0.9, 2.0), (0, 2.2, 2.0), (0, 2.2, 4.0), (0, 0.9, 4.0)], pane, glow)


def tree(spot: Spot, height: float, leaves: Colour, conifer: bool = False) -> None:
    """Paint a tree, round or pointed."""
    if spot.is_near:
        spot.shadow(0.12 * height, 0.12 * height)
    spot.box(-0.12, 0.0, 0.12, 0.45 * height, (84, 66, 50))
    sunny = scaled(leaves, 1.22)
    shift = 0.07 * height * (1.0 if spot.canvas.light.sun > 0 else -1.0)
    if conifer:
        wide = 0.22 * height
        spot.flat([(-wide, 0.15 * height), (wide, 0.15 * height), (0.0, height)], scaled(leaves, 0.8))
        spot.flat([(-0.3 * wide + shift, 0.2 * height), (0.7 * wide, 0.2 * height), (0.0, height)], leaves)
        return
    wide = 0.3 * height
    spot.oval(-wide, 0.34 * height, wide, 0.82 * height, scaled(leaves, 0.82))
    spot.oval(-0.75 * wide, 0.55 * height, 0.75 * wide, height, leaves)
    if spot.is_near:
        spot.oval(-0.5 * wide + shift, 0.62 * height, 0.4 * wide + shift, 0.95 * height, sunny)


def lamp(spot: Spot, inward: int, on: bool) -> None:
    """Paint a street lamp."""
    spot.stroke([(0.0, 0.0), (0.0, 6.5), (inward * 1.4, 6.9)], 0.12, (92, 94, 98))
    x0, x1 = sorted((inward * 1.0, inward * 1.7))
    if on:
        spot.oval(x0 - 0.2, 6.55, x1 + 0.2, 7.15, (255, 222, 160), 1.0)
    else:
        spot.box(x0, 6.75, x1, 6.95, (120, 122, 126))


def pole(spot: Spot) -> None:
    """Paint a wooden pole for wires."""
    spot.stroke([(0.0, 0.0), (0.0, 7.5)], 0.2, (98, 82, 66))
    spot.stroke([(-1.0, 6.9), (1.0, 6.9)], 0.14, (98, 82, 66))


def fence(spot: Spot, dx: float, length: float, colour: Colour) -> None:
    """Paint one panel of a garden fence along the road."""
    for low in (0.25, 0.7):
        spot.solid([(0, low, 0), (0, low + 0.22, 0), (dx, low + 0.22, length), (dx, low, length)], colour)
    spot.box(-0.06, 0.0, 0.06, 1.1, scaled(colour, 0.85))


def guard_rail(spot: Spot, dx: float, length: float) -> None:
    """Paint one panel of a steel guard rail."""
    spot.box(-0.06, 0.0, 0.06, 0.6, scaled(_METAL, 0.7))
    spot.solid([(0, 0.45, 0), (0, 0.78, 0), (dx, 0.78, length), (dx, 0.45, length)], mix(_METAL, (200, 202, 204), 0.5))
    spot.solid([(0, 0.58, 0), (0, 0.64, 0), (dx, 0.64, length), (dx, 0.58, length)], _METAL)
