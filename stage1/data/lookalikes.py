"""Near-duplicates: pictures of different groups that look the same, by perceptual hash (imagehash's phash, 64 bits).

On 982 real street images, re-encoding at JPEG quality 40 to 90 and halving or doubling the size changed at most 4 bits,
and of 44,850 pairs of different pictures none was within 8. Pictures without contrast (night, a covered lens) have no
hash: they all look the same and say nothing.

Shapes: N images, V different hashes, P pairs, G groups, S splits.
"""

from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import csr_array

from stage1.data.manifest import SPLITS
from stage1.data.neighbours import near_pairs
from stage1.data.splits import Link

_LEAST_CONTRAST = 16
_SHOWN = 20


def perceptual_hash(image: Image.Image) -> int | None:
    """Return 64 bits that stay nearly the same when a picture is re-encoded or resized; None without contrast.

    Args:
        image: Upright, RGB.
    """
    grey = image.convert("L")
    if np.ptp(np.asarray(grey.resize((8, 8), Image.Resampling.BOX))) < _LEAST_CONTRAST:
        return None
    return int.from_bytes(np.packbits(imagehash.phash(grey).hash).tobytes(), "big")


def look_links(hashes_N: NDArray[np.uint64], hashed_N: NDArray[np.bool_], distance: int) -> Link:
    """Link images whose hashes differ in at most `distance` bits.

    Args:
        hashes_N: Perceptual hashes.
        hashed_N: False where an image has none.
        distance: 0 to 8.
    """
    different_V, value_H = np.unique(hashes_N[hashed_N], return_inverse=True)
    value_N = np.full(len(hashes_N), -1, np.int64)
    value_N[hashed_N] = value_H
    return Link(value_N, near_pairs(different_V, distance))


def near_report(
    link: Link, group_N: NDArray[np.int64], split_N: NDArray[np.int8], label_N: NDArray[np.int8]
) -> dict[str, Any]:
    """Count the pairs of images that look the same and are of different groups.

    Args:
        link: See look_links.
        group_N: A number per joint group; images with equal bytes have the same.
        split_N: Index into SPLITS.
        label_N: 0, 1, or -1 for not known.

    Returns:
        `pairs`, `images` that are in a pair, `label_conflicts` (pairs with label 0 and 1), `across_splits` (pairs by
        "one-other" split), and `examples`: row indices of the first pairs, those across splits first.
    """
    used = link.value_N >= 0
    value, group, split, label = link.value_N[used], group_N[used], split_N[used], label_N[used]
    num_values = link.num_values
    num_groups = int(group.max(initial=-1)) + 1
    images_VG = csr_array((np.ones(len(value), np.int64), (value, group)), shape=(num_values, num_groups))
    images_VG.sum_duplicates()
    total_V = np.bincount(value, minlength=num_values)
    one, other = link.pairs_P2.T
    same_group_P = np.asarray((images_VG[one] * images_VG[other]).sum(axis=1)).ravel()
    apart_P = total_V[one] * total_V[other] - same_group_P
    squares_V = np.asarray((images_VG * images_VG).sum(axis=1)).ravel()
    apart_V = (total_V**2 - squares_V) // 2
    in_pair_V = apart_V > 0
    in_pair_V[link.pairs_P2[apart_P > 0]] = True
    split_VS = _counts(value, split, num_values, len(SPLITS))
    crossing_SS = split_VS[one].T @ split_VS[other]
    crossing_SS = crossing_SS + crossing_SS.T + split_VS.T @ split_VS
    return {
        "pairs": int(apart_P.sum() + apart_V.sum()),
        "images": int(total_V[in_pair_V].sum()),
        "label_conflicts": _conflicts(value, group, label, link),
        "across_splits": {
            f"{SPLITS[first]}-{SPLITS[second]}": int(crossing_SS[first, second])
            for first in range(len(SPLITS))
            for second in range(first + 1, len(SPLITS))
        },
        "examples": _examples(link, group_N, split_N, apart_P, apart_V),
    }


def _conflicts(value: NDArray[np.int64], group: NDArray[np.int64], label: NDArray[np.int8], link: Link) -> int:
    """Pairs of different groups of which one image has label 0 and the other label 1."""
    shape = link.num_values, int(group.max(initial=-1)) + 1
    by_label = []
    for wanted in (0, 1):
        chosen = label == wanted
        images_VG = csr_array((np.ones(chosen.sum(), np.int64), (value[chosen], group[chosen])), shape=shape)
        by_label.append((np.asarray(images_VG.sum(axis=1)).ravel(), images_VG))
    (total_0, groups_0), (total_1, groups_1) = by_label
    one, other = link.pairs_P2.T
    pairs = (total_0 * total_1).sum() + (total_0[one] * total_1[other]).sum() + (total_1[one] * total_0[other]).sum()
    same = (
        (groups_0 * groups_1).sum() + (groups_0[one] * groups_1[other]).sum() + (groups_1[one] * groups_0[other]).sum()
    )
    return int(pairs - same)


def _counts(value: NDArray[np.int64], column: NDArray[np.int8], num_values: int, width: int) -> NDArray[np.int64]:
    flat = np.bincount(value * width + column, minlength=num_values * width)
    return flat.reshape(num_values, width).astype(np.int64)


def _examples(
    link: Link,
    group_N: NDArray[np.int64],
    split_N: NDArray[np.int8],
    apart_P: NDArray[np.int64],
    apart_V: NDArray[np.int64],
) -> list[tuple[int, int]]:
    """The first few pairs of rows, one for every pair of hashes, those in two splits first."""
    wanted = [tuple(pair) for pair in link.pairs_P2[apart_P > 0][:1000].tolist()]
    wanted += [(value, value) for value in np.flatnonzero(apart_V)[:1000].tolist()]
    order = np.argsort(link.value_N, kind="stable")
    begins = np.searchsorted(link.value_N, np.arange(len(apart_V) + 1), sorter=order)
    found = []
    for one, other in wanted:
        first_rows = order[begins[one] : begins[one + 1]][:50]
        second_rows = order[begins[other] : begins[other + 1]]
        for first in first_rows:
            apart = second_rows[group_N[second_rows] != group_N[first]]
            if len(apart):
                crossing = apart[split_N[apart] != split_N[first]]
                second = crossing[0] if len(crossing) else apart[0]
                found.append((not len(crossing), int(first), int(second)))
                break
    return [(first, second) for _, first, second in sorted(found)[:_SHOWN]]
