"""Which group goes into which split: a salted hash, so that adding or removing data moves no other image.

Images with equal bytes (and, where asked for, equal looks) are one group whatever they are called. When that joins
several named groups, the joint group takes the member whose own split comes first in SPLITS: joining moves images
towards training only, never out of training into a split that tests. (What was joined by an image comes apart again
when that image is removed.)

Images that may only train (synthetic or unlabeled) move no other image: whatever of them belongs to a held-out group,
or shares an image with one, is left out; the rest is in `train`.

Shapes: N rows, G groups.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stage1.data.manifest import SPLITS

_CHUNK = 2**16


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


@dataclass(frozen=True)
class Link:
    """What makes two images one: equal values, or values that are a pair.

    Attributes:
        value_N: A number from 0 per image, -1 where the image is linked to nothing.
        pairs_P2: Different values that count as equal.
    """

    value_N: NDArray[np.int64]
    pairs_P2: NDArray[np.int64]

    @property
    def num_values(self) -> int:
        """One more than the largest value."""
        return int(max(self.value_N.max(initial=-1), self.pairs_P2.max(initial=-1))) + 1


@dataclass(frozen=True)
class Placement:
    """Where every image went.

    Attributes:
        groups: Name of the joint group per image.
        split_N: Index into SPLITS per image.
        keep_N: False where an image that may only train belongs to a held-out group.
        num_joined: How many groups were joined into others.
    """

    groups: pa.Array
    split_N: NDArray[np.int8]
    keep_N: NDArray[np.bool_]
    num_joined: int


def place(
    groups: pa.Array,
    train_only_N: NDArray[np.bool_],
    links: Sequence[Link],
    salt: str,
    fractions: Mapping[str, float],
) -> Placement:
    """Join groups that share an image and assign every image to a split.

    Args:
        groups: Group name per image, no nulls.
        train_only_N: Images that may train and nothing else.
        links: What makes two images one.
        salt: See assign.
        fractions: See assign.
    """
    encoded = groups.dictionary_encode()
    names, group_N = encoded.dictionary, encoded.indices.to_numpy()
    split_G = np.concatenate(
        [np.empty(0, np.int8)]
        + [assign(names.slice(start, _CHUNK).to_pylist(), salt, fractions) for start in range(0, len(names), _CHUNK)]
    )
    keep_N = np.ones(len(group_N), bool)
    real_N = ~train_only_N
    keeper_G = _keepers(_components(group_N, links, real_N, len(names)), names, split_G)
    if train_only_N.any():
        real_G = np.zeros(len(names), bool)
        real_G[group_N[real_N]] = True
        held_out_N = real_N & (split_G[keeper_G][group_N] > 0)
        keep_N[train_only_N] = ~_tainted(group_N, links, train_only_N, held_out_N, len(names))[group_N[train_only_N]]
        split_G = np.where(real_G, split_G, 0).astype(np.int8)
        keeper_G = _keepers(_components(group_N, links, keep_N, len(names)), names, split_G, after_G=~real_G)
    kept_G = np.zeros(len(names), bool)
    kept_G[group_N[keep_N]] = True
    num_joined = int(np.count_nonzero(kept_G & (keeper_G != np.arange(len(names)))))
    keeper_N = keeper_G[group_N]
    return Placement(names.take(pa.array(keeper_N)), split_G[keeper_N], keep_N, num_joined)


def _tainted(
    group_N: NDArray[np.int32],
    links: Sequence[Link],
    train_only_N: NDArray[np.bool_],
    held_out_N: NDArray[np.bool_],
    num_groups: int,
) -> NDArray[np.bool_]:
    """Return the groups whose images for training are, look or hang together with an image that is held out."""
    tainted_G = np.zeros(num_groups, bool)
    tainted_G[group_N[held_out_N]] = True
    for link in links:
        hot = np.zeros(link.num_values + 1, bool)  # the last entry is for -1
        hot[link.value_N[held_out_N]] = True
        hot[-1] = False
        one, other = link.pairs_P2.T
        near = np.concatenate([other[hot[one]], one[hot[other]]])
        hot[near] = True
        tainted_G[group_N[train_only_N & hot[link.value_N]]] = True
    component_G = _components(group_N, links, train_only_N, num_groups)
    if component_G is None:
        return tainted_G
    tainted_C = np.zeros(component_G.max(initial=-1) + 1, bool)
    taking_part_G = np.zeros(num_groups, bool)
    taking_part_G[group_N[train_only_N]] = True
    tainted_C[component_G[tainted_G & taking_part_G]] = True
    return np.asarray(tainted_C[component_G])


def _components(
    group_N: NDArray[np.int32], links: Sequence[Link], rows_N: NDArray[np.bool_], num_groups: int
) -> NDArray[np.int32] | None:
    """Return the connected component of each group, linked by these rows; None where nothing is linked."""
    starts, ends, num_nodes = [], [], num_groups
    for link in links:
        used_N = rows_N & (link.value_N >= 0)
        count_V = np.bincount(link.value_N[used_N], minlength=link.num_values)
        present_P = (count_V[link.pairs_P2] > 0).all(axis=1)
        pairs_P2 = link.pairs_P2[present_P]
        linking_V = count_V > 1
        linking_V[pairs_P2] = True
        used_N[used_N] = linking_V[link.value_N[used_N]]
        starts += [group_N[used_N].astype(np.int64), num_nodes + pairs_P2[:, 0]]
        ends += [num_nodes + link.value_N[used_N], num_nodes + pairs_P2[:, 1]]
        num_nodes += len(count_V)
    start, end = (np.concatenate([np.empty(0, np.int64), *parts]) for parts in (starts, ends))
    if not len(start):
        return None
    edges = coo_array((np.ones(len(start), np.int8), (start, end)), shape=(num_nodes, num_nodes))
    component = connected_components(edges, directed=False)[1][:num_groups]
    return np.asarray(component, dtype=np.int32)


def _keepers(
    component_G: NDArray[np.int32] | None,
    names: pa.Array,
    split_G: NDArray[np.int8],
    after_G: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Return for each group the group that stands for it: itself, unless it is joined to others.

    Args:
        component_G: See _components.
        names: Group names.
        split_G: Own split of each group; the first one of a component wins, and among those the first name.
        after_G: Groups that stand for others only where no other group of their split does.
    """
    keeper_G = np.arange(len(names))
    if component_G is None:
        return keeper_G
    joined = np.flatnonzero(np.bincount(component_G)[component_G] > 1)
    rank_J = np.empty(len(joined), np.int64)
    rank_J[pc.sort_indices(names.take(pa.array(joined))).to_numpy()] = np.arange(len(joined))
    after_J = np.zeros(len(joined), bool) if after_G is None else after_G[joined]
    order = np.lexsort((rank_J, after_J, split_G[joined], component_G[joined]))
    sorted_component = component_G[joined][order]
    starts = np.flatnonzero(np.diff(sorted_component, prepend=-1))
    sizes = np.diff(np.append(starts, len(order)))
    keeper_G[joined[order]] = np.repeat(joined[order[starts]], sizes)
    return keeper_G
