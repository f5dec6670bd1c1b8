"""Which group goes into which split: a salted hash, so that adding or removing data moves no other image.

Images with equal bytes are one group whatever they are called. When that joins several named groups, the joint group
takes the member whose own split comes first in SPLITS: joining moves images towards training only, never out of
training into a split that tests. (What was joined by an image comes apart again when that image is removed.)
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stage1.data.manifest import SPLITS


def assign(groups: Sequence[str], salt: str, fractions: Mapping[str, float]) -> NDArray[np.int8]:
    """Return the index into SPLITS of each group; it depends on that group, the salt and the fractions alone.

    Args:
        groups: Names; equal names get equal splits.
        salt: Any text; another salt is an independent division.
        fractions: Share per split name, summing to 1.
    """
    start = hashlib.sha256(f"{len(salt)}:{salt}:".encode())
    position_G = np.empty(len(groups), np.uint64)
    for index, group in enumerate(groups):
        state = start.copy()
        state.update(group.encode())
        position_G[index] = int.from_bytes(state.digest()[:8], "big")
    borders = np.cumsum([fractions[split] for split in SPLITS])[:-1]
    uniform_G = (position_G >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.searchsorted(borders, uniform_G, side="right").astype(np.int8)


def merge_copies(
    groups: pa.Array, digests: pa.Array, salt: str, fractions: Mapping[str, float]
) -> tuple[pa.Array, NDArray[np.int8], int]:
    """Join groups that share an image and assign every image to a split.

    Args:
        groups: Group name per image, no nulls.
        digests: Content digest per image.
        salt: See assign.
        fractions: See assign.

    Returns:
        The joint group's name per image, the index into SPLITS per image, and how many groups were joined into others.
    """
    encoded = groups.dictionary_encode()
    names = encoded.dictionary
    group_N = encoded.indices.to_numpy()
    split_G = assign(names.to_pylist(), salt, fractions)
    keeper_G = _keepers(group_N, digests.dictionary_encode().indices.to_numpy(), names, split_G)
    keeper_N = keeper_G[group_N]
    num_joined = int(np.count_nonzero(keeper_G != np.arange(len(keeper_G))))
    return names.take(pa.array(keeper_N)), split_G[keeper_N], num_joined


def _keepers(
    group_N: NDArray[np.int32], digest_N: NDArray[np.int32], names: pa.Array, split_G: NDArray[np.int8]
) -> NDArray[np.int64]:
    """Return for each group the group that stands for it: itself, unless copies join it to others."""
    num_groups = len(names)
    first_D = np.empty(digest_N.max(initial=-1) + 1, group_N.dtype)
    first_D[digest_N[::-1]] = group_N[::-1]
    linked_N = first_D[digest_N]
    apart_N = linked_N != group_N
    keeper_G = np.arange(num_groups)
    if not apart_N.any():
        return keeper_G
    edges = coo_array(
        (np.ones(apart_N.sum(), np.int8), (group_N[apart_N], linked_N[apart_N])), shape=(num_groups, num_groups)
    )
    _, component_G = connected_components(edges, directed=False)
    rank_G = np.empty(num_groups, np.int64)
    rank_G[pc.sort_indices(names).to_numpy()] = np.arange(num_groups)
    order = np.lexsort((rank_G, split_G, component_G))
    starts = np.flatnonzero(np.diff(component_G[order], prepend=-1))
    first_C = order[starts]
    return np.asarray(first_C[component_G], dtype=np.int64)
