"""The prediction of an ensemble of trees: fast and exact in NumPy, and as a JAX function."""

import abc
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax.automl.models._forest import Forest
from metajax.automl.models._forest_jax import tree_sums
from metajax.automl.models._types import Member

_CHUNK = 16_384
"""The number of rows that walk through a tree together, so that what they read stays in the cache."""
_LEVELS_BETWEEN_PAUSES = 6
"""After this number of levels, rows that have reached a leaf are set aside."""


class TreeMember(Member):
    """A model that consists of trees alone. An export predicts all of them together."""

    @abc.abstractmethod
    def trees(self) -> "TreeEnsemble":
        """Returns the trees as arrays."""

    def predict_jax(self, x: jax.Array) -> jax.Array:
        """Returns probabilities or values f64[n, outputs] in operations of JAX."""
        return self.trees().predict_jax(x)


class TreeEnsemble(TreeMember):
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

    def predict_jax(self, x: jax.Array) -> jax.Array:
        """Returns probabilities or values f64[n, outputs] in operations of JAX."""
        return self.link_jax(tree_sums([self.forest], x, self.settings["groups"])[0])

    def trees(self) -> "TreeEnsemble":
        """Returns the ensemble itself."""
        return self

    def link_jax(self, total: jax.Array) -> jax.Array:
        """Turns the sums f64[n, groups * width] over all trees into predictions f64[n, outputs]."""
        groups, link = self.settings["groups"], self.settings["link"]
        if link == "mean":
            return total / (len(self.forest.roots) // groups)
        total = total + jnp.asarray(self.baseline)
        if link == "identity":
            return total
        logits = jnp.concatenate([jnp.zeros_like(total), total], axis=1) if total.shape[1] == 1 else total
        return jax.nn.softmax(logits, axis=1)

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
