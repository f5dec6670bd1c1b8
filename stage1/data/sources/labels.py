"""What the classes of a source mean: which of the two names is road work."""

from collections.abc import Mapping

from stage1.errors import BadData

POSITIVE_NAMES = frozenset(
    {"roadwork", "road_work", "roadworks", "road_works", "construction", "positive", "pos", "yes", "true", "1"}
)
_SPELLINGS = {"1": "1", "1.0": "1", "true": "1", "0": "0", "0.0": "0", "false": "0"}


def canonical(value: str) -> str:
    """Return "1" or "0" for the spellings of a number or truth value, and any other name without outer spaces."""
    name = value.strip()
    return _SPELLINGS.get(name.lower(), name)


def class_names(images_by_class: Mapping[str, int], positive_class: str, where: str) -> tuple[str, str]:
    """Return the names of label 0 and label 1.

    Args:
        images_by_class: Canonical class names with their number of images, each at least 1.
        positive_class: The configured name; "" to recognise a usual one.
        where: What the classes are in the source, for messages, such as "sub-folders of x".

    Raises:
        BadData: Not two classes, no such positive class, or none or both of the names are usual ones.
    """
    came = ", ".join(f"{name!r} ({count:,} images)" for name, count in images_by_class.items())
    if len(images_by_class) != 2:
        raise BadData(
            f"Need exactly two classes as {where}, got {len(images_by_class)}: {came}. "
            "Give images of both classes, one name each; for other layouts use a CSV with path and a 0/1 label."
        )
    if positive_class:
        positives = [name for name in images_by_class if name == canonical(positive_class)]
        problem = f"none is the configured positive_class={positive_class!r}"
    else:
        positives = [name for name in images_by_class if _usual(name) in POSITIVE_NAMES]
        problem = "which of them is road work cannot be told"
    if len(positives) != 1:
        raise BadData(f"The classes as {where} are {came}; {problem}. Set positive_class to one of these names.")
    negative = next(name for name in images_by_class if name != positives[0])
    return negative, positives[0]


def _usual(name: str) -> str:
    return name.casefold().replace(" ", "_").replace("-", "_")
