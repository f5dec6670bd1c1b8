"""From annotated objects to an image's label, by the rule that the user states (AnnotationRule)."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stage1.data.config import AnnotationRule, SplitConfig
from stage1.errors import BadData


def positive_categories(names: Mapping[int, str], rule: AnnotationRule, where: str) -> frozenset[int]:
    """Return the ids of the rule's categories.

    Args:
        names: Name of each category by id.
        rule: Names or ids.
        where: What the categories are in, for messages.

    Raises:
        BadData: The rule names no category, or one that is not there.
    """
    known = ", ".join(f"{number} {name!r}" for number, name in list(names.items())[:30])
    if not rule.categories:
        raise BadData(
            f"Need a rule that makes labels of the objects in {where}: set positive_when.categories to those that mean "
            f"road work. There are: {known}."
        )
    chosen: set[int] = set()
    for wanted in rule.categories:
        matching = {number for number, name in names.items() if wanted in (name, str(number))}
        if not matching:
            raise BadData(
                f"positive_when.categories names {wanted!r}, which {where} does not have. There are: {known}."
            )
        chosen |= matching
    return frozenset(chosen)


def labels_by_rule(
    image_A: NDArray[np.int64], area_A: NDArray[np.float64], num_images: int, rule: AnnotationRule
) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Return the label of each image, and which images are to be left out.

    Args:
        image_A: Image of each object of the rule's categories.
        area_A: Share of the picture that its box covers.
        num_images: Images, with or without objects.
        rule: See AnnotationRule.
    """
    large = area_A >= rule.min_area
    positive = np.zeros(num_images, bool)
    positive[image_A[large]] = True
    doubtful = np.zeros(num_images, bool)
    doubtful[image_A[~large]] = rule.too_small == "skip"
    return pa.array(positive.astype(np.int8)), doubtful & ~positive


def box_class_names(config: SplitConfig) -> tuple[str, str]:
    """Return the names of label 0 and 1 of images that boxes made positive."""
    return "negative", config.positive_class or "positive"
