"""Decision trees as arrays, in one form for all libraries."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Forest(NamedTuple):
    """The nodes of all trees, one tree after the other.

    A row goes to the left child if its value is at most the threshold. A leaf is its own child on both sides.

    Attributes:
        feature: i32[nodes], the input that a node reads; 0 in a leaf.
        threshold: f32[nodes]; 0 in a leaf.
        children: i32[nodes, 2], the nodes to the left and to the right.
        missing_left: bool[nodes], whether a missing value goes to the left.
        value: f32[nodes, width], what a leaf adds to the outputs of its tree.
        roots: i32[trees], the first node of each tree.
        depths: i32[trees], the number of levels below the root.
    """

    feature: np.ndarray
    threshold: np.ndarray
    children: np.ndarray
    missing_left: np.ndarray
    value: np.ndarray
    roots: np.ndarray
    depths: np.ndarray

    def first(self, trees: int) -> "Forest":
        """Returns the first trees."""
        end = len(self.feature) if trees >= len(self.roots) else self.roots[trees]
        nodes = {name: getattr(self, name)[:end] for name in Forest._fields[:5]}
        return Forest(**nodes, roots=self.roots[:trees], depths=self.depths[:trees])


def round_down(thresholds: np.ndarray) -> np.ndarray:
    """Returns the largest float32 that is not above each threshold; no float32 input compares otherwise with it."""
    largest = np.finfo(np.float32).max
    thresholds = np.clip(thresholds, -largest, largest)
    nearest = thresholds.astype(np.float32)
    return np.where(nearest > thresholds, np.nextafter(nearest, -largest), nearest)


def make_tree(
    left: np.ndarray,
    right: np.ndarray,
    feature: np.ndarray,
    threshold: np.ndarray,
    missing_left: np.ndarray,
    value: np.ndarray,
    is_leaf: np.ndarray,
) -> Forest:
    """Returns one tree of a library's arrays, whose children come after their parents.

    Args:
        left: i[nodes], the child to the left; anything in a leaf.
        right: i[nodes], the child to the right.
        feature: i[nodes], the input that is read.
        threshold: f64[nodes], to the left where the input is at most this.
        missing_left: [nodes], whether missing values go to the left.
        value: f[nodes, width], the outputs of a leaf.
        is_leaf: bool[nodes].
    """
    node_index, is_leaf = np.arange(len(left)), np.asarray(is_leaf, bool)
    children = np.where(is_leaf[:, None], node_index[:, None], np.stack([left, right], axis=1)).astype(np.int32)
    level = np.zeros(len(left), np.int32)
    for node in np.flatnonzero(~is_leaf):
        level[children[node]] = level[node] + 1
    return Forest(
        np.where(is_leaf, 0, feature).astype(np.int32),
        np.where(is_leaf, np.float32(0), round_down(np.where(is_leaf, 0.0, threshold))),
        children,
        np.where(is_leaf, False, np.asarray(missing_left, bool)),
        np.where(is_leaf[:, None], value, 0).astype(np.float32),
        np.zeros(1, np.int32),
        np.array([level.max()], np.int32),
    )


def join(trees: Sequence[Forest]) -> Forest:
    """Returns the forest of the trees of these forests, in order."""
    starts = np.cumsum([0, *(len(tree.feature) for tree in trees[:-1])]).astype(np.int32)
    column = lambda name: np.concatenate([getattr(tree, name) for tree in trees])
    children = np.concatenate([tree.children + start for tree, start in zip(trees, starts)])
    roots = np.concatenate([tree.roots + start for tree, start in zip(trees, starts)])
    columns = {name: column(name) for name in Forest._fields}
    return Forest(**{**columns, "children": children, "roots": roots})
