"""Decision trees as a JAX function, for models that leave this library as one program."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.automl.models._forest import Forest, join

_TREES_TOGETHER = 16
"""About this many trees are walked through side by side, so that an accelerator has enough to do."""


class _Steps(NamedTuple):
    """The trees that are walked through together, with a leading axis of steps.

    Attributes:
        roots: i32[steps, trees], the first nodes; the last ones are repeated where there are fewer trees.
        is_there: bool[steps, trees], whether a tree is no repetition.
        depth: i32[steps], the number of levels of the deepest tree.
        forest: i32[steps], the number of the forest of all trees of a step.
    """

    roots: np.ndarray
    is_there: np.ndarray
    depth: np.ndarray
    forest: np.ndarray


def tree_sums(forests: Sequence[Forest], x: jax.Array, groups: int) -> jax.Array:
    """Returns the sum of the leaves' values over the trees of each group, for several forests.

    All of them are walked through by one loop, because compiling a loop takes long. All rows and some trees take a step down at
    a time. The function is traced with 64-bit types enabled.

    Args:
        forests: The trees, with leaves of one width; tree t of a forest belongs to the group t modulo ``groups``.
        x: f32[n, inputs], the rows.
        groups: Number of trees of one iteration.

    Returns:
        f64[forests, n, groups * width].
    """
    steps = _steps(forests, groups * -(-_TREES_TOGETHER // groups))
    all_trees = join(forests)
    threshold = jnp.asarray(normal_round_down(all_trees.threshold))
    feature, missing_left = jnp.asarray(all_trees.feature), jnp.asarray(all_trees.missing_left)
    children, values = jnp.asarray(all_trees.children.ravel()), jnp.asarray(all_trees.value)
    n, outputs = x.shape[0], groups * all_trees.value.shape[1]

    def down(_, node):
        value = jnp.take_along_axis(x, _take(feature, node), axis=1, mode="promise_in_bounds")
        goes_right = (value > _take(threshold, node)) | (jnp.isnan(value) & ~_take(missing_left, node))
        return _take(children, 2 * node + goes_right.astype(jnp.int32))

    def add(totals, step):
        node = jnp.broadcast_to(step.roots, (n, step.roots.shape[0]))
        leaves = jax.lax.fori_loop(jnp.int32(0), step.depth, down, node)
        leaf_values = jnp.where(step.is_there[:, None], _take(values, leaves), 0.0).astype(jnp.float64)
        return totals.at[step.forest].add(leaf_values.reshape(n, -1, outputs).sum(axis=1)), None

    start = jnp.zeros((len(forests), n, outputs), jnp.float64)
    return jax.lax.scan(add, start, jax.tree.map(jnp.asarray, steps))[0]


def _steps(forests: Sequence[Forest], n_together: int) -> _Steps:
    """Divides the trees of each forest into steps of this many; nodes are numbered over all forests."""
    starts = np.cumsum([0, *(len(forest.feature) for forest in forests[:-1])])
    parts = []
    for number, (forest, start) in enumerate(zip(forests, starts)):
        missing = -len(forest.roots) % n_together
        roots = np.pad(forest.roots + start, (0, missing), mode="edge").astype(np.int32).reshape(-1, n_together)
        depths = np.pad(forest.depths, (0, missing)).astype(np.int32).reshape(-1, n_together)
        is_there = np.arange(roots.size).reshape(roots.shape) < len(forest.roots)
        parts.append(_Steps(roots, is_there, depths.max(axis=1), np.full(len(roots), number, np.int32)))
    return _Steps(*map(np.concatenate, zip(*parts)))


def normal_round_down(thresholds: np.ndarray) -> np.ndarray:
    """Returns the largest float32 that is not above each threshold and is zero or normal.

    XLA takes a denormal number for zero, which changes a comparison with zero. No zero or normal number compares otherwise with
    what is returned.

    Example:
        >>> normal_round_down(np.array([-1e-45, 0.0, 1e-45, 0.5], np.float32)).tolist()
        [-1.1754943508222875e-38, 0.0, 0.0, 0.5]
    """
    smallest = np.finfo(np.float32).tiny
    is_denormal = (thresholds != 0) & (np.abs(thresholds) < smallest)
    return np.where(is_denormal, np.where(thresholds < 0, -smallest, np.float32(0)), thresholds).astype(np.float32)


def _take(array: jax.Array, index: jax.Array) -> jax.Array:
    """Elements of an array at positions that exist."""
    return array.at[index].get(mode="promise_in_bounds")
