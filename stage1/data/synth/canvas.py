"""A pinhole camera over a flat world, and a canvas that paints in metres with light and haze.

World axes: x to the right, y up from the ground, z ahead, all in metres from the camera's foot point. Image axes are
in pixels of the supersampled canvas. Every painter asks the canvas for a `Spot`, a place on the ground, and draws
around it; the spot knows its scale, how much light reaches it and how much haze lies before it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

Colour = tuple[float, float, float]
Point2 = tuple[float, float]
Point3 = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Camera:
    """Where the camera is and what it sees.

    Args:
        focal: Focal length in image sides; 1 is a field of view of 53 degrees.
        height_m: Height above the ground.
        horizon: Height of the horizon from the top, as a fraction of the image.
    """

    focal: float
    height_m: float
    horizon: float

    @property
    def nearest_m(self) -> float:
        """Distance of the ground that the lower edge of the image shows."""
        return self.focal * self.height_m / (1.0 - self.horizon)


@dataclass(frozen=True, slots=True)
class Light:
    """How light reaches things and how the air hides them.

    Args:
        ambient: Gain of each colour channel, 1 is full daylight.
        headlight: Gain that the camera car's own lamps add to what is near.
        headlight_range_m: Distance at which the lamps' gain has fallen to 1/e.
        haze: Colour of the air.
        haze_range_m: Distance at which a thing has lost 1 - 1/e of its contrast.
        sun: -1 the sun stands left, 1 right: the gain of faces that look that way.
    """

    ambient: Colour
    headlight: float
    headlight_range_m: float
    haze: Colour
    haze_range_m: float
    sun: float


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return `first` with `share` of `second` in it."""
    keep = 1.0 - share
    return (
        first[0] * keep + second[0] * share,
        first[1] * keep + second[1] * share,
        first[2] * keep + second[2] * share,
    )


def scaled(colour: Colour, gain: float) -> Colour:
    """Return a lighter or darker colour."""
    return (colour[0] * gain, colour[1] * gain, colour[2] * gain)


class Canvas:
    """A square image that is painted in metres."""

    def __init__(self, image: Image.Image, camera: Camera, light: Light) -> None:
        self.image = image
        self.camera = camera
        self.light = light
        self.draw = ImageDraw.Draw(image)
        side = image.width
        self.side = side
        self.focal_px = camera.focal * side
        self.middle_px = side / 2
        self.horizon_px = camera.horizon * side

    def copy(self) -> "Canvas":
        """Return a canvas of its own with what is painted so far."""
        return Canvas(self.image.copy(), self.camera, self.light)

    def at(self, x: float, z: float) -> "Spot":
        """Return the place on the ground at (x, z)."""
        return Spot(self, x, z)

    def pixel(self, x: float, y: float, z: float) -> Point2:
        """Project a point of the world."""
        scale = self.focal_px / z
        return self.middle_px + x * scale, self.horizon_px + (self.camera.height_m - y) * scale


class Spot:
    """A place on the ground with its scale, light and haze."""

    __slots__ = ("add", "canvas", "draw", "foot", "gain", "keep", "left", "scale", "x", "z")

    def __init__(self, canvas: Canvas, x: float, z: float) -> None:
        light = canvas.light
        self.canvas = canvas
        self.draw = canvas.draw
        self.x = x
        self.z = z
        self.scale = canvas.focal_px / z
        self.left = canvas.middle_px + x * self.scale
        self.foot = canvas.horizon_px + canvas.camera.height_m * self.scale
        self.keep = keep = math.exp(-z / light.haze_range_m)
        lamps = light.headlight * math.exp(-z / light.headlight_range_m) if light.headlight else 0.0
        ambient = light.ambient
        self.gain = ((ambient[0] + lamps) * keep, (ambient[1] + lamps) * keep, (ambient[2] + 0.9 * lamps) * keep)
        air = 1.0 - keep
        self.add = (light.haze[0] * air, light.haze[1] * air, light.haze[2] * air)

    @property
    def in_view(self) -> bool:
        """Whether the foot lies between the left and the right edge of the image."""
        return 0.0 <= self.left <= self.canvas.side

    @property
    def is_near(self) -> bool:
        """Whether small parts are worth drawing: a metre takes six pixels or more."""
        return self.scale > 6.0

    def shade(self, colour: Colour, glow: float = 0.0) -> tuple[int, int, int]:
        """Return the colour as the camera sees it here; `glow` in [0, 1] is the gain that it has in the dark."""
        red, green, blue = self.gain
        if glow:
            own = glow * self.keep
            red, green, blue = max(red, own), max(green, own), max(blue, own)
        add = self.add
        red, green, blue = colour[0] * red + add[0], colour[1] * green + add[1], colour[2] * blue + add[2]
        if red > 255.0 or green > 255.0 or blue > 255.0:
            red, green, blue = min(red, 255.0), min(green, 255.0), min(blue, 255.0)
        return int(red), int(green), int(blue)

    def lit(self, colour: Colour, facing: float) -> Colour:
        """Return the colour of a face that looks left (-1) or right (1), brighter towards the sun."""
        return scaled(colour, 0.8 + 0.2 * self.canvas.light.sun * facing)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, glow: float = 0.0) -> None:
        """Fill an upright rectangle that faces the camera; metres from the spot, x0 < x1 and y0 < y1."""
        scale, left, foot = self.scale, self.left, self.foot
        self.draw.rectangle(
            (left + x0 * scale, foot - y1 * scale, left + x1 * scale, foot - y0 * scale), self.shade(colour, glow)
        )

    def oval(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, glow: float = 0.0) -> None:
        """Fill the ellipse inside an upright rectangle that faces the camera."""
        scale, left, foot = self.scale, self.left, self.foot
        self.draw.ellipse(
            (left + x0 * scale, foot - y1 * scale, left + x1 * scale, foot - y0 * scale), self.shade(colour, glow)
        )

    def flat(self, points: Sequence[Point2], colour: Colour, glow: float = 0.0) -> None:
        """Fill an upright polygon that faces the camera."""
        scale, left, foot = self.scale, self.left, self.foot
        self.draw.polygon([(left + x * scale, foot - y * scale) for x, y in points], self.shade(colour, glow))

    def solid(self, points: Sequence[Point3], colour: Colour, glow: float = 0.0) -> None:
        """Fill a polygon anywhere in the world; (x, y, z) in metres from the spot."""
        canvas = self.canvas
        focal, middle, horizon, height = canvas.focal_px, canvas.middle_px, canvas.horizon_px, canvas.camera.height_m
        corners = []
        for dx, y, dz in points:
            ahead = self.z + dz
            scale = focal / (ahead if ahead > 0.5 else 0.5)
            corners.append((middle + (self.x + dx) * scale, horizon + (height - y) * scale))
        self.draw.polygon(corners, self.shade(colour, glow))

    def stroke(self, points: Sequence[Point2], width_m: float, colour: Colour, glow: float = 0.0) -> None:
        """Draw an upright line that faces the camera, at least one pixel wide."""
        scale, left, foot = self.scale, self.left, self.foot
        self.draw.line(
            [(left + x * scale, foot - y * scale) for x, y in points],
            self.shade(colour, glow),
            max(1, round(width_m * scale)),
        )

    def shadow(self, half_width: float, length: float) -> None:
        """Darken the ground under a thing."""
        skew = -0.5 * self.canvas.light.sun * half_width
        self.solid(
            [
                (-half_width + skew, 0.0, -0.15),
                (half_width + skew, 0.0, -0.15),
                (half_width, 0.0, length),
                (-half_width, 0.0, length),
            ],
            (44.0, 44.0, 48.0),
        )
