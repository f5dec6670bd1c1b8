"""What the frames of one drive share: camera, weather, light, road layout, palette and the country's habits."""

import math
from dataclasses import dataclass
from random import Random

from stage1.data.synth.canvas import Camera, Colour, Light, mix, scaled

WEATHERS = {"day": 0.40, "dusk": 0.14, "rain": 0.16, "haze": 0.15, "night": 0.15}
SETTINGS = {"city": 0.35, "suburb": 0.27, "rural": 0.20, "highway": 0.18}
FACADES: tuple[Colour, ...] = (
    (171, 150, 128), (140, 96, 80), (188, 182, 170), (120, 124, 130), (158, 120, 86), (200, 190, 160), (104, 92, 88),
    (146, 156, 160), (176, 128, 104), (216, 208, 196),
)  # fmt: skip
GREENS: tuple[Colour, ...] = ((58, 92, 44), (78, 110, 50), (46, 78, 48), (96, 118, 58), (70, 96, 66))
GROUNDS: tuple[Colour, ...] = ((96, 118, 62), (124, 126, 76), (82, 104, 58), (140, 128, 92), (110, 112, 70))


@dataclass(frozen=True, slots=True)
class Road:
    """The cross-section of the road in metres, seen from the camera's lane; the kerb side is positive."""

    side: int
    lane_m: float
    lanes_to_kerb: int
    lanes_to_far: int
    shoulder_m: float
    pavement_m: float
    asphalt: Colour
    paint: Colour
    centre_paint: Colour
    verge: Colour
    pavement: Colour

    @property
    def kerb_m(self) -> float:
        """Lateral position of the edge on the kerb side."""
        return (self.lanes_to_kerb + 0.5) * self.lane_m + self.shoulder_m

    @property
    def far_m(self) -> float:
        """Lateral position of the other edge (negative)."""
        return -((self.lanes_to_far + 0.5) * self.lane_m + self.shoulder_m)


@dataclass(frozen=True, slots=True)
class Habits:
    """How the country marks its work zones: the same things in other colours."""

    sign: str
    plank: tuple[Colour, Colour]
    board: tuple[Colour, Colour]
    machine: Colour
    orange: Colour
    vest: Colour


@dataclass(frozen=True, slots=True)
class Look:
    """One drive's look."""

    weather: str
    setting: str
    camera: Camera
    light: Light
    road: Road
    habits: Habits
    sky_top: Colour
    sky_low: Colour
    clouds: float
    bend: float
    facades: tuple[Colour, ...]
    greens: tuple[Colour, ...]
    lamps_on: bool
    noise: float


def draw_look(rng: Random) -> Look:
    """Draw the look of one drive."""
    weather = rng.choices(list(WEATHERS), list(WEATHERS.values()))[0]
    setting = rng.choices(list(SETTINGS), list(SETTINGS.values()))[0]
    sky_top, sky_low, light = _draw_light(rng, weather)
    camera = Camera(rng.uniform(0.92, 1.2), rng.uniform(1.35, 2.3), rng.uniform(0.38, 0.5))
    return Look(
        weather=weather,
        setting=setting,
        camera=camera,
        light=light,
        road=_draw_road(rng, setting, weather, light),
        habits=_draw_habits(rng),
        sky_top=sky_top,
        sky_low=sky_low,
        clouds=0.0 if weather in ("haze", "night") else rng.random(),
        bend=rng.gauss(0.0, 0.0008),
        facades=tuple(rng.sample(FACADES, 4)),
        greens=tuple(rng.sample(GREENS, 3)),
        lamps_on=weather in ("dusk", "night"),
        noise={"day": 2.0, "dusk": 3.5, "rain": 3.5, "haze": 2.5, "night": 4.0}[weather] * rng.uniform(0.7, 1.3),
    )


def _draw_light(rng: Random, weather: str) -> tuple[Colour, Colour, Light]:
    """Return the sky's two colours and the light of a weather."""
    tint = rng.uniform(-0.05, 0.05)
    sun = rng.uniform(-1.0, 1.0)
    if weather == "day":
        overcast = rng.random() ** 1.5
        top = mix((72, 128, 200), (158, 166, 176), overcast)
        low = mix((178, 206, 232), (204, 208, 212), overcast)
        gain = rng.uniform(0.84, 1.06) - 0.12 * overcast
        ambient = (gain * (1 + tint), gain, gain * (1 - tint))
        return top, low, Light(ambient, 0.0, 1.0, low, rng.uniform(170.0, 500.0), sun * (1 - overcast))
    if weather == "dusk":
        top = mix((58, 62, 110), (96, 84, 130), rng.random())
        low = mix((236, 150, 92), (214, 130, 130), rng.random())
        gain = rng.uniform(0.46, 0.62)
        ambient = (gain * 1.12, gain * 0.95, gain * 0.98)
        return top, low, Light(ambient, 0.28, 16.0, scaled(low, 0.72), rng.uniform(130.0, 260.0), sun)
    if weather == "rain":
        gain = rng.uniform(0.52, 0.7)
        low = scaled((176, 184, 192), gain * 1.15)
        ambient = (gain * 0.97, gain, gain * 1.04)
        return scaled(low, 0.8), low, Light(ambient, 0.12, 14.0, low, rng.uniform(65.0, 120.0), 0.0)
    if weather == "haze":
        level = rng.uniform(168.0, 216.0)
        air = (level * (1 + 0.4 * tint), level, level * (1 - 0.6 * tint))
        gain = rng.uniform(0.72, 0.9)
        return scaled(air, 0.97), air, Light((gain, gain, gain), 0.0, 1.0, air, rng.uniform(30.0, 62.0), 0.0)
    gain = rng.uniform(0.17, 0.27)
    glow = rng.uniform(18.0, 34.0)
    low = (glow * 1.25, glow * 1.05, glow * 1.1)
    ambient = (gain, gain * 0.96, gain * 1.12)
    return (8.0, 10.0, 22.0), low, Light(ambient, rng.uniform(0.75, 0.95), 20.0, scaled(low, 0.8), 120.0, 0.0)


def _draw_road(rng: Random, setting: str, weather: str, light: Light) -> Road:
    """Return the road's cross-section; wet asphalt mirrors the sky."""
    wide = setting == "highway"
    grey = rng.uniform(72.0, 128.0)
    asphalt: Colour = (grey, grey, grey + rng.uniform(-3.0, 8.0))
    if weather == "rain":
        asphalt = mix(scaled(asphalt, 0.75), light.haze, 0.25)
    has_pavement = setting in ("city", "suburb")
    return Road(
        side=rng.choice((1, 1, -1)),
        lane_m=rng.uniform(3.1, 3.7),
        lanes_to_kerb=rng.choice((0, 1, 1)) if wide else rng.choice((0, 0, 0, 1)),
        lanes_to_far=rng.choice((1, 2)) if wide else rng.choice((1, 1, 2)),
        shoulder_m=rng.uniform(1.2, 2.6) if wide else rng.uniform(0.2, 1.6),
        pavement_m=rng.uniform(1.6, 3.4) if has_pavement else 0.0,
        asphalt=asphalt,
        paint=(214, 214, 208),
        centre_paint=rng.choice(((214, 214, 208), (214, 176, 70))),
        verge=scaled(rng.choice(GROUNDS), rng.uniform(0.85, 1.1)),
        pavement=scaled((158, 152, 144), rng.uniform(0.85, 1.1)),
    )


def _draw_habits(rng: Random) -> Habits:
    """Return how work zones are marked where this drive took place."""
    red: Colour = (204, 40, 34)
    white: Colour = (232, 230, 224)
    orange: Colour = (rng.uniform(232, 250), rng.uniform(88, 122), rng.uniform(14, 36))
    black: Colour = (28, 26, 24)
    yellow: Colour = (242, 190, 28)
    return Habits(
        sign=rng.choice(("diamond", "diamond", "triangle")),
        plank=rng.choice(((red, white), (orange, white))),
        board=rng.choice(((black, yellow), (red, white), (black, orange))),
        machine=rng.choice(((236, 178, 30), (230, 120, 24), (224, 196, 60))),
        orange=orange,
        vest=rng.choice((orange, (206, 236, 50))),
    )


def wander(look: Look, rng: Random) -> tuple[Camera, float]:
    """Return one frame's camera and bend: a car nods and a road winds."""
    camera = look.camera
    nodded = Camera(camera.focal, camera.height_m, camera.horizon + rng.gauss(0.0, 0.008))
    bend = max(-0.002, min(0.002, look.bend + rng.gauss(0.0, 0.0005)))
    return nodded, 0.0 if math.isclose(bend, 0.0) else bend
