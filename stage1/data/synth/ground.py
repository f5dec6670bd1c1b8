"""The empty stage: sky, far hills or skyline, verge, road surface and its markings."""

from dataclasses import dataclass
from itertools import pairwise
from random import Random

from PIL import Image

from stage1.data.synth.canvas import Camera, Canvas, Colour, Point2, mix, scaled
from stage1.data.synth.look import Look

_STRIPS_M = (1.0, 1.3, 1.75, 2.5, 3.8, 6.0, 10.0, 18.0, 40.0)  # in units of the nearest visible ground


@dataclass(frozen=True, slots=True)
class Ground:
    """Where one frame's road runs; the kerb side is positive in lateral positions."""

    look: Look
    camera: Camera
    bend: float
    dash_phase: float
    clouds: tuple[tuple[float, float, float, float], ...]
    ridge: tuple[float, ...]

    def x(self, lateral: float, z: float) -> float:
        """Return the world x of a lateral position at distance z, along the bend."""
        return self.look.road.side * lateral + self.bend * z * z


def plan_ground(look: Look, camera: Camera, bend: float, rng: Random) -> Ground:
    """Draw what differs between the empty streets of one drive."""
    clouds = tuple(
        (rng.random(), rng.uniform(0.05, 0.9), rng.uniform(0.1, 0.35), rng.uniform(0.02, 0.06))
        for _ in range(round(look.clouds * 7))
    )
    steps = 13 if look.setting == "city" else 9
    tall = 0.10 if look.setting == "city" else 0.05
    ridge = tuple(rng.uniform(0.005, tall) for _ in range(steps))
    return Ground(look, camera, bend, rng.uniform(0.0, 9.0), clouds, ridge)


def paint_ground(ground: Ground, side: int) -> Canvas:
    """Return a canvas of `side` pixels with the empty street on it."""
    look = ground.look
    image = Image.new("RGB", (side, side), _whole(look.light.haze))
    canvas = Canvas(image, ground.camera, look.light)
    _paint_sky(canvas, ground)
    _paint_ridge(canvas, ground)
    near = ground.camera.nearest_m * 0.97
    edges = [near * step for step in _STRIPS_M]
    for z0, z1 in reversed(list(pairwise(edges))):
        _paint_strip(canvas, ground, z0, z1)
    _paint_dashes(canvas, ground)
    return canvas


def _whole(colour: Colour) -> tuple[int, int, int]:
    return (min(255, int(colour[0])), min(255, int(colour[1])), min(255, int(colour[2])))


def _paint_sky(canvas: Canvas, ground: Ground) -> None:
    look, side = ground.look, canvas.side
    horizon = max(2, int(canvas.horizon_px) + 2)
    bands = 10
    for band in range(bands):
        colour = mix(look.sky_top, look.sky_low, (band / (bands - 1)) ** 1.3)
        canvas.draw.rectangle((0, horizon * band // bands, side, horizon * (band + 1) // bands), _whole(colour))
    for across, down, width, height in ground.clouds:
        colour = mix(look.sky_low, (250, 250, 250) if look.weather == "day" else look.sky_top, 0.45)
        x, y = across * side, down * horizon
        shade = _whole(colour)
        for offset, share in ((-0.5, 0.7), (0.35, 0.8), (0.0, 1.0)):
            half, tall = width * side * share / 2, height * side * share
            middle = x + offset * width * side / 2
            canvas.draw.ellipse((middle - half, y - tall, middle + half, y + tall * 0.6), shade)


def _paint_ridge(canvas: Canvas, ground: Ground) -> None:
    look, side = ground.look, canvas.side
    base = (92.0, 94.0, 104.0) if look.setting == "city" else scaled(look.greens[0], 0.9)
    shade = canvas.at(0.0, 130.0).shade(base)
    foot = canvas.horizon_px + 2
    step = side / (len(ground.ridge) - 1)
    points: list[Point2] = [(0.0, foot)]
    for index, height in enumerate(ground.ridge):
        top = foot - 2 - height * side
        points.append((index * step, top))
        if look.setting == "city":
            points.append(((index + 1) * step, top))
    points.append((side, foot))
    canvas.draw.polygon(points, shade)


@dataclass(frozen=True, slots=True)
class _Cut:
    """The row of the image that shows the ground at one distance, and how to find a lateral position in it."""

    row: float
    middle: float
    scale: float

    def at(self, lateral: float) -> Point2:
        return self.middle + lateral * self.scale, self.row


def _cut(canvas: Canvas, ground: Ground, z: float) -> _Cut:
    scale = canvas.focal_px / z
    middle, row = canvas.pixel(ground.x(0.0, z), 0.0, z)
    return _Cut(row, middle, ground.look.road.side * scale)


def _paint_strip(canvas: Canvas, ground: Ground, z0: float, z1: float) -> None:
    """Paint the ground between two distances: verge, pavement, asphalt and edge lines."""
    look, road = ground.look, ground.look.road
    spot = canvas.at(0.0, (z0 * z1) ** 0.5)
    near, far = _cut(canvas, ground, z0), _cut(canvas, ground, z1)
    canvas.draw.rectangle((0, far.row, canvas.side, near.row), spot.shade(road.verge))

    def band(inner: float, outer: float, shade: tuple[int, int, int]) -> None:
        canvas.draw.polygon((near.at(inner), near.at(outer), far.at(outer), far.at(inner)), shade)

    if road.pavement_m:
        band(road.far_m - road.pavement_m, road.kerb_m + road.pavement_m, spot.shade(road.pavement))
    band(road.far_m, road.kerb_m, spot.shade(road.asphalt))
    if look.setting != "city" and z0 < 30.0:
        paint = spot.shade(road.paint)
        for edge in (road.kerb_m - road.shoulder_m * 0.7, road.far_m + road.shoulder_m * 0.7):
            band(edge - 0.08, edge + 0.08, paint)


def _paint_dashes(canvas: Canvas, ground: Ground) -> None:
    """Paint the lane lines: dashes between lanes of one direction, a centre line against the oncoming ones."""
    road = ground.look.road
    nearest = ground.camera.nearest_m * 0.97
    for lane in range(-road.lanes_to_far, road.lanes_to_kerb):
        lateral = (lane + 0.5) * road.lane_m
        colour = road.centre_paint if lane == -1 else road.paint
        solid = lane == -1 and ground.dash_phase > 6.0
        z = nearest - (0.0 if solid else ground.dash_phase)
        length, period = (8.9, 9.0) if solid else (3.5, 9.0)
        while z < 42.0:
            if z + length > nearest:
                near, far = _cut(canvas, ground, max(z, nearest)), _cut(canvas, ground, z + length)
                left, right = lateral - 0.08, lateral + 0.08
                shade = canvas.at(0.0, z + length).shade(colour)
                canvas.draw.polygon((near.at(left), near.at(right), far.at(right), far.at(left)), shade)
            z += period
