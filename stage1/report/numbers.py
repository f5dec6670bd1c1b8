"""Numbers as people read them, and 'n/a' with its reason where there is none."""

import math

from stage1.report.markup import Markup, el, join
from stage1.report.read import number

NOT_RECORDED = "not recorded"


def percent(rate: float, digits: int | None = None) -> str:
    """Write a measured rate in [0, 1] as a percentage; small ones, and those near 1, get more digits.

    >>> percent(0.02), percent(0.869), percent(0.0033), percent(0.99951), percent(0.0), percent(1.0)
    ('2.00%', '86.9%', '0.33%', '99.95%', '0%', '100%')
    """
    if rate in (0, 1) and digits is None:
        return f"{100 * rate:.0f}%"
    return f"{100 * rate:.{_digits_of_rate(rate) if digits is None else digits}f}%"


def round_percent(rate: float) -> str:
    """Write a limit or a tick as a percentage, as short as it is exact.

    >>> round_percent(0.02), round_percent(0.025), round_percent(0.6), round_percent(1e-06)
    ('2%', '2.5%', '60%', '0.0001%')
    """
    return f"{100 * rate:.10f}".rstrip("0").rstrip(".") + "%"


def percent_beside(rate: float, limit: float | None) -> str:
    """Write a rate so that it does not look equal to a limit that it differs from.

    >>> percent_beside(0.020003, 0.02), percent_beside(0.0153, 0.02), percent_beside(0.02, 0.02)
    ('2.0003%', '1.53%', '2.00%')
    """
    digits = _digits_of_rate(rate)
    if limit is None or rate in (limit, 0, 1):
        return percent(rate)
    while digits < 10 and percent(rate, digits) == percent(limit, digits):
        digits += 1
    return percent(rate, digits)


def decimal(value: float, like: float | None = None) -> str:
    """Write a plain number with three significant digits and no exponent, or with as many decimals as `like` would get.

    Just below 1, two digits of the distance to 1 are kept.

    >>> decimal(0.0021349), decimal(0.98412), decimal(0.99963), decimal(0.0), decimal(12.3456), decimal(0.0001, 0.01)
    ('0.00213', '0.984', '0.99963', '0', '12.3', '0.0001')
    """
    if value == 0:
        return "0"
    size = abs(value if like is None or like == 0 else like)
    digits = 2 - math.floor(math.log10(size))
    if 0.9 < size < 1:
        digits = 1 - math.floor(math.log10(1 - size))
    return f"{value:.{min(max(digits, 0), 8)}f}"


def round_decimal(value: float) -> str:
    """Write a limit or a tick, as short as it is exact.

    >>> round_decimal(0.02), round_decimal(0.0), round_decimal(-0.001), round_decimal(100.0)
    ('0.02', '0', '-0.001', '100')
    """
    text = f"{value:.10f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def whole(value: int) -> str:
    """Write a count with thousands separators."""
    return f"{value:,}"


def plural(value: int, one: str, many: str = "") -> str:
    """Write a count with its noun.

    >>> plural(1, "miss", "misses"), plural(1200, "image")
    ('1 miss', '1,200 images')
    """
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def missing(reason: str = NOT_RECORDED) -> Markup:
    """Say that there is no number, and why."""
    return el("span", "n/a ", el("small", f"({reason})"), cls="na")


def shown(text: str | None, reason: str = NOT_RECORDED) -> Markup | str:
    """Return the text, or n/a with the reason when it is None."""
    return missing(reason) if text is None else text


def estimate(node: object, *path: str, rate: bool = True, reason: str = NOT_RECORDED) -> Markup:
    """Write an interval object {"value", "low", "high"}: the value, then its range in small type."""
    value = number(node, *path, "value")
    if value is None:
        return missing(reason)
    ends = [number(node, *path, key) for key in ("low", "high")]
    written = percent(value) if rate else decimal(value)
    low, high = (None if end is None else percent(end) if rate else decimal(end, value) for end in ends)
    if low is None or high is None:
        return join([written])
    return join([written, " ", el("small", f"{low} to {high}", cls="range")])


def _digits_of_rate(rate: float) -> int:
    if rate >= 0.1:
        return 1 if abs(1 - rate) >= 0.01 else 2
    return 2 if rate >= 0.001 or rate <= 0 else min(1 - math.floor(math.log10(100 * rate)), 8)
