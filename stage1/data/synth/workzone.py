"""What makes a scene positive: cones, barrels, barriers, boards, signs, machines and workers, drawn one at a time."""

from stage1.data.synth.canvas import Colour, Spot, scaled

WHITE: Colour = (236, 234, 228)
BLACK: Colour = (30, 28, 26)
RED: Colour = (206, 36, 32)
AMBER: Colour = (250, 190, 40)
STEEL: Colour = (128, 130, 132)
SOIL: Colour = (122, 92, 62)
SHINE = 0.85  # sheeting that throws headlights back keeps this gain in the dark


def cone(spot: Spot, height: float, orange: Colour) -> None:
    """Paint a traffic cone with one or two white collars."""
    half = 0.27 * height
    spot.shadow(half, 0.5)
    spot.box(-1.25 * half, 0.0, 1.25 * half, 0.09 * height, scaled(orange, 0.6), 0.2)
    spot.flat(
        [(-half, 0.06 * height), (half, 0.06 * height), (0.16 * half, height), (-0.16 * half, height)], orange, 0.65
    )
    for low, high in ((0.34, 0.54), (0.68, 0.82)):
        a, b = half * (1.0 - 0.88 * low), half * (1.0 - 0.88 * high)
        spot.flat([(-a, low * height), (a, low * height), (b, high * height), (-b, high * height)], WHITE, SHINE)


def barrel(spot: Spot, height: float, orange: Colour) -> None:
    """Paint a drum with white collars."""
    half = 0.29 * height
    spot.shadow(half, 0.6)
    spot.box(-1.2 * half, 0.0, 1.2 * half, 0.08 * height, BLACK)
    spot.flat(
        [(-half, 0.05 * height), (half, 0.05 * height), (0.86 * half, height), (-0.86 * half, height)], orange, 0.65
    )
    for low, high in ((0.28, 0.44), (0.62, 0.78)):
        spot.box(-0.95 * half, low * height, 0.95 * half, high * height, WHITE, SHINE)
    spot.box(0.5 * half, 0.05 * height, 0.9 * half, height * 0.98, scaled(orange, 0.72), 0.15)


def plank_barrier(spot: Spot, width: float, planks: int, dark: Colour, bright: Colour, beacon: bool) -> None:
    """Paint a barrier of striped planks on two feet."""
    half = width / 2
    spot.shadow(half, 0.5)
    for x in (-0.84 * half, 0.84 * half - 0.08):
        spot.box(x, 0.0, x + 0.08, 1.15, STEEL)
        spot.box(x - 0.16, 0.0, x + 0.24, 0.1, BLACK)
    for plank in range(planks):
        top = 1.12 - 0.42 * plank
        _striped(spot, -half, half, top - 0.28, top, dark, bright)
    if beacon:
        for x in (-0.8 * half, 0.8 * half):
            spot.oval(x - 0.1, 1.14, x + 0.1, 1.36, AMBER, 1.0)


def _striped(spot: Spot, x0: float, x1: float, low: float, top: float, dark: Colour, bright: Colour) -> None:
    """Fill a plank with slanting stripes."""
    spot.box(x0, low, x1, top, bright, SHINE)
    step = 0.5
    lean = top - low
    x = x0
    while x < x1 - 0.05:
        right = min(x + step / 2, x1)
        spot.flat([(x, low), (right, low), (min(right + lean, x1), top), (min(x + lean, x1), top)], dark, SHINE)
        x += step


def block_barrier(spot: Spot, dx: float, length: float, colour: Colour, beacon: bool) -> None:
    """Paint one water-filled block of a barrier along the road; the far end stands `dx` to the right."""
    profile = [(-0.3, 0.0), (0.3, 0.0), (0.12, 0.85), (-0.12, 0.85)]
    inward = -1.0 if spot.x > 0 else 1.0
    foot, top = inward * 0.3, inward * 0.12
    face = [(foot, 0.0, 0.0), (top, 0.85, 0.0), (dx + top, 0.85, length), (dx + foot, 0.0, length)]
    spot.solid(face, spot.lit(colour, inward), 0.65)
    spot.flat(profile, scaled(colour, 0.92), 0.65)
    if beacon:
        spot.oval(-0.13, 0.83, 0.13, 1.09, AMBER, 1.0)


def chevron_board(spot: Spot, width: float, dark: Colour, bright: Colour, towards: int) -> None:
    """Paint a board whose chevrons point left (-1) or right (1)."""
    half, low, top = width / 2, 0.45, 1.4
    spot.shadow(half, 0.4)
    spot.box(-0.8 * half, 0.0, -0.8 * half + 0.08, low, STEEL)
    spot.box(0.8 * half - 0.08, 0.0, 0.8 * half, low, STEEL)
    spot.box(-half, low, half, top, dark, 0.35)
    middle, count = (low + top) / 2, max(2, round(width / 0.6))
    pitch = (width - 0.1) / count
    for index in range(count):
        x = -half + 0.05 + pitch * (index + 0.2)
        thick, tip = 0.46 * pitch, 0.42 * pitch
        arrow = [(x, low + 0.06), (x + thick, low + 0.06), (x + thick + tip, middle), (x + thick, top - 0.06),
                 (x, top - 0.06), (x + tip, middle)]  # fmt: skip
        spot.flat([(towards * a, b) for a, b in arrow], bright, 0.65)


def arrow_trailer(spot: Spot, orange: Colour, towards: int) -> None:
    """Paint a trailer with an arrow of lamps."""
    spot.shadow(1.1, 1.6)
    for x in (-0.95, 0.7):
        spot.box(x, 0.0, x + 0.25, 0.55, (24, 24, 24))
    spot.box(-1.05, 0.4, 1.05, 0.95, orange, 0.65)
    _striped(spot, -1.05, 1.05, 0.5, 0.8, RED, WHITE)
    spot.box(-0.08, 0.95, 0.08, 1.5, STEEL)
    spot.box(-1.2, 1.4, 1.2, 2.8, (34, 36, 36))
    lamps = [(x, 2.1) for x in (-0.8, -0.4, 0.0, 0.4)] + [
        (0.85, 2.1),
        (0.5, 2.45),
        (0.5, 1.75),
        (0.15, 1.6),
        (0.15, 2.6),
    ]
    for x, y in lamps:
        spot.oval(towards * x - 0.13, y - 0.13, towards * x + 0.13, y + 0.13, (255, 214, 70), 1.0)


def diamond_sign(spot: Spot, size: float, orange: Colour) -> None:
    """Paint an orange diamond with somebody digging in it."""
    reach, middle = 0.71 * size, 1.0 + 0.71 * size
    spot.box(-0.05, 0.0, 0.05, middle, STEEL)
    for half, colour in ((reach, BLACK), (0.91 * reach, orange)):
        spot.flat([(-half, middle), (0.0, middle + half), (half, middle), (0.0, middle - half)], colour, SHINE)
    _digger(spot, middle, 0.4 * size)


def triangle_sign(spot: Spot, size: float) -> None:
    """Paint a red triangle filled with amber, with somebody digging in it."""
    half, low, tall = 0.62 * size, 1.0, 1.08 * size
    spot.box(-0.05, 0.0, 0.05, low + 0.1, STEEL)
    spot.flat([(-half, low), (half, low), (0.0, low + tall)], RED, SHINE)
    inner = 0.7
    spot.flat(
        [(-inner * half, low + 0.13 * tall), (inner * half, low + 0.13 * tall), (0.0, low + 0.8 * tall)], AMBER, SHINE
    )
    _digger(spot, low + 0.33 * tall, 0.32 * size)


def _digger(spot: Spot, middle: float, size: float) -> None:
    """Paint the little figure of a work sign: a bent back, legs, a spade and a heap."""
    s = size / 2
    spot.stroke([(-0.8 * s, middle - s), (-0.2 * s, middle), (0.3 * s, middle + 0.5 * s)], 0.34 * s, BLACK, 0.3)
    spot.oval(0.25 * s, middle + 0.5 * s, 0.75 * s, middle + s, BLACK, 0.3)
    spot.stroke([(-0.3 * s, middle + 0.3 * s), (0.9 * s, middle - 0.9 * s)], 0.16 * s, BLACK, 0.3)
    spot.flat([(0.1 * s, middle - s), (1.2 * s, middle - s), (0.7 * s, middle - 0.4 * s)], BLACK, 0.3)


def excavator(spot: Spot, paint: Colour, mirror: int) -> None:
    """Paint an excavator from its side; `mirror` -1 has its arm at the left."""

    def flat(points: list[tuple[float, float]], colour: Colour, glow: float = 0.0) -> None:
        spot.flat([(mirror * x, y) for x, y in points], colour, glow)

    spot.shadow(1.9, 2.0)
    flat([(-1.7, 0.1), (-1.4, 0.0), (1.4, 0.0), (1.7, 0.1), (1.7, 0.7), (1.4, 0.85), (-1.4, 0.85), (-1.7, 0.7)], BLACK)
    flat([(-1.3, 0.3), (1.3, 0.3), (1.3, 0.55), (-1.3, 0.55)], (84, 82, 78))
    flat([(-1.9, 0.95), (1.2, 0.95), (1.2, 1.7), (-1.6, 1.9), (-1.9, 1.7)], paint, 0.3)
    flat([(-1.9, 0.95), (-1.3, 0.95), (-1.3, 1.87), (-1.9, 1.7)], scaled(paint, 0.55))
    flat([(0.0, 1.0), (1.2, 1.0), (1.2, 2.2), (0.8, 2.9), (0.0, 2.9)], scaled(paint, 0.9), 0.3)
    flat([(0.15, 1.7), (1.05, 1.7), (1.05, 2.2), (0.75, 2.75), (0.15, 2.75)], (56, 66, 76))
    arm = [(mirror * x, y) for x, y in ((1.1, 1.5), (2.5, 3.7), (3.9, 2.5))]
    spot.stroke(arm, 0.42, paint, 0.3)
    spot.stroke(arm[1:], 0.3, scaled(paint, 0.85), 0.3)
    spot.stroke([(mirror * 3.9, 2.5), (mirror * 3.7, 1.1)], 0.24, scaled(paint, 0.8), 0.3)
    flat([(3.2, 0.3), (4.1, 0.2), (4.2, 1.1), (3.5, 1.2)], (70, 68, 66))


def roller(spot: Spot, paint: Colour, mirror: int) -> None:
    """Paint a road roller from its side."""

    def flat(points: list[tuple[float, float]], colour: Colour, glow: float = 0.0) -> None:
        spot.flat([(mirror * x, y) for x, y in points], colour, glow)

    spot.shadow(2.0, 1.6)
    for x in (-1.4, 1.4):
        spot.oval(mirror * x - 0.65, 0.0, mirror * x + 0.65, 1.3, (58, 58, 60))
        spot.oval(mirror * x - 0.34, 0.31, mirror * x + 0.34, 0.99, (112, 112, 112))
    flat([(-2.0, 0.95), (2.0, 0.95), (2.0, 1.25), (-2.0, 1.25)], paint, 0.3)
    flat([(-1.9, 1.2), (0.2, 1.2), (0.2, 1.75), (-1.7, 1.75)], paint, 0.3)
    flat([(0.2, 1.2), (1.4, 1.2), (1.3, 1.55), (0.2, 1.55)], scaled(paint, 0.7))
    flat([(0.2, 1.5), (0.3, 1.5), (0.3, 2.6), (0.2, 2.6)], BLACK)
    flat([(1.2, 1.5), (1.3, 1.5), (1.3, 2.6), (1.2, 2.6)], BLACK)
    flat([(0.0, 2.55), (1.5, 2.55), (1.5, 2.75), (0.0, 2.75)], paint, 0.3)


def soil_heap(spot: Spot, width: float) -> None:
    """Paint a heap of soil."""
    half = width / 2
    spot.shadow(half, 0.8)
    spot.flat([(-half, 0.0), (half, 0.0), (0.5 * half, 0.55), (0.1 * half, 0.8), (-0.5 * half, 0.5)], SOIL)
    spot.flat([(-0.2 * half, 0.0), (half, 0.0), (0.5 * half, 0.55), (0.1 * half, 0.8)], scaled(SOIL, 0.78))


def trench(spot: Spot, width: float, length: float) -> None:
    """Paint an opened strip of the road."""
    half = width / 2
    spot.solid([(-half, 0, 0), (half, 0, 0), (half, 0, length), (-half, 0, length)], scaled(SOIL, 0.55))


def mesh(spot: Spot, dx: float, length: float, orange: Colour) -> None:
    """Paint one panel of orange plastic mesh between two stakes."""
    spot.solid([(0, 0.1, 0), (0, 1.05, 0), (dx, 1.05, length), (dx, 0.1, length)], orange, 0.3)
    for low in (0.3, 0.55, 0.8):
        spot.solid([(0, low, 0), (0, low + 0.07, 0), (dx, low + 0.07, length), (dx, low, length)], scaled(orange, 0.6))
    spot.box(-0.05, 0.0, 0.05, 1.15, BLACK)
