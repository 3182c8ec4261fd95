"""Decision trees as arrays, and a fast exact prediction."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from metajax.automl.models._types import Member

_CHUNK = 16_384
"""The number of rows that walk through a tree together, so that what they read stays in the cache."""
_LEVELS_BETWEEN_PAUSES = 6
"""After this number of levels, rows that have reached a leaf are set aside."""


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
    """Returns the forest of these trees, in order."""
    starts = np.cumsum([0, *(len(tree.feature) for tree in trees[:-1])]).astype(np.int32)
    column = lambda name: np.concatenate([getattr(tree, name) for tree in trees])
    children = np.concatenate([tree.children + start for tree, start in zip(trees, starts)])
    columns = {name: column(name) for name in Forest._fields}
    return Forest(**{**columns, "children": children, "roots": starts})


class TreeEnsemble(Member):
    """The sum of trees that correct each other, or the mean of independent ones.

    Args:
        forest: The trees; tree t adds to the output t modulo ``groups``.
        baseline: f64[outputs], what the trees are added to.
        link: How sums become predictions: ``identity``, ``sigmoid`` (of one sum, for two classes), ``softmax``, or ``mean``.
        groups: Number of trees of one iteration.
    """

    def __init__(self, forest: Forest, baseline: np.ndarray, link: str, groups: int = 1):
        self.forest, self.baseline = forest, np.asarray(baseline, np.float64)
        self.settings = {"link": link, "groups": groups}

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Returns probabilities or values f32[n, outputs]."""
        return self.staged(x, np.ones(1))[0]

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the arrays of the forest and the baseline."""
        return {**self.forest._asdict(), "baseline": self.baseline}

    @staticmethod
    def from_arrays(arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> "TreeEnsemble":
        """Returns the ensemble that these arrays were written from."""
        forest = Forest(**{name: arrays[name] for name in Forest._fields})
        return TreeEnsemble(forest, arrays["baseline"], settings["link"], settings["groups"])

    def staged(self, x: np.ndarray, shares: np.ndarray) -> list[np.ndarray]:
        """Returns the predictions of the first trees, for each of these shares of the iterations."""
        groups = self.settings["groups"]
        iterations = len(self.forest.roots) // groups
        stops = np.maximum(1, np.round(np.asarray(shares) * iterations).astype(int))
        totals = self._totals(np.ascontiguousarray(x, np.float32), stops * groups)
        return [self._link(total, stop).astype(np.float32) for total, stop in zip(totals, stops)]

    def _link(self, total: np.ndarray, iterations: int) -> np.ndarray:
        """Turns the sums f64[n, outputs] over this many iterations into predictions."""
        if self.settings["link"] == "mean":
            return total / iterations
        total = total + self.baseline
        if self.settings["link"] == "identity":
            return total
        logits = np.concatenate([np.zeros_like(total), total], axis=1) if total.shape[1] == 1 else total
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    @functools.cached_property
    def _nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs i64[nodes] and children i64[2 nodes]: NumPy would convert smaller numbers at every step."""
        return self.forest.feature.astype(np.int64), self.forest.children.astype(np.int64).ravel()

    def _totals(self, x: np.ndarray, stops: np.ndarray) -> np.ndarray:
        """The sums over the first trees, f64[stops, n, outputs], for increasing numbers of trees."""
        groups, width = self.settings["groups"], self.forest.value.shape[1]
        totals = np.zeros((len(stops), len(x), groups * width))
        for start in range(0, len(x), _CHUNK):
            rows = x[start : start + _CHUNK]
            has_missing = bool(np.isnan(rows).any())
            total = np.zeros((len(rows), groups * width))
            tree = 0
            for i, stop in enumerate(stops):
                while tree < stop:
                    column = tree % groups * width
                    leaves = self._leaves(rows, tree, has_missing)
                    total[:, column : column + width] += self.forest.value.take(leaves, axis=0)
                    tree += 1
                totals[i, start : start + _CHUNK] = total
        return totals

    def _leaves(self, x: np.ndarray, tree: int, has_missing: bool) -> np.ndarray:
        """The leaf i64[n] that each row reaches in a tree; all rows take a step down at a time."""
        feature, children = self._nodes
        flat, offsets = x.ravel(), np.arange(len(x)) * x.shape[1]
        node = np.full(len(x), self.forest.roots[tree], np.int64)
        leaves, rows = node, None
        for level in range(self.forest.depths[tree]):
            value = flat.take(offsets + feature.take(node, mode="clip"), mode="clip")
            goes_right = value > self.forest.threshold.take(node, mode="clip")
            if has_missing:
                goes_right |= np.isnan(value) & ~self.forest.missing_left.take(node, mode="clip")
            node = children.take(2 * node + goes_right, mode="clip")
            if level % _LEVELS_BETWEEN_PAUSES == _LEVELS_BETWEEN_PAUSES - 1:
                walks = np.flatnonzero(children.take(2 * node, mode="clip") != node)
                if rows is None:
                    leaves, rows = node.copy(), np.arange(len(x))
                else:
                    leaves[rows] = node
                rows, node, offsets = rows[walks], node[walks], offsets[walks]
        if rows is None:
            return node
        leaves[rows] = node
        return leaves
