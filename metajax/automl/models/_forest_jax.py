"""Decision trees as a JAX function, for models that leave this library as one program."""

import jax
import jax.numpy as jnp
import numpy as np

from metajax.automl.models._forest import Forest

_TREES_TOGETHER = 16
"""About this many trees are walked through side by side, so that an accelerator has enough to do."""


def tree_sums(forest: Forest, x: jax.Array, groups: int) -> jax.Array:
    """Returns the sum of the leaves' values over the trees of each group.

    The function is traced with 64-bit types enabled. All rows and some trees take a step down at a time.

    Args:
        forest: The trees; tree t belongs to the group t modulo ``groups``.
        x: f32[n, inputs], the rows.
        groups: Number of trees of one iteration.

    Returns:
        f64[n, groups * width].
    """
    n_together = groups * -(-_TREES_TOGETHER // groups)
    roots, depths = _padded(forest, n_together)
    threshold = jnp.asarray(normal_round_down(forest.threshold))
    feature, missing_left = jnp.asarray(forest.feature), jnp.asarray(forest.missing_left)
    children, values = jnp.asarray(forest.children.ravel()), jnp.asarray(forest.value)
    n, width = x.shape[0], forest.value.shape[1]

    def down(_, node):
        value = jnp.take_along_axis(x, _take(feature, node), axis=1, mode="promise_in_bounds")
        goes_right = (value > _take(threshold, node)) | (jnp.isnan(value) & ~_take(missing_left, node))
        return _take(children, 2 * node + goes_right.astype(jnp.int32))

    def add(total, trees):
        first, is_there, depth = trees
        leaves = jax.lax.fori_loop(jnp.int32(0), depth, down, jnp.broadcast_to(first, (n, n_together)))
        leaf_values = jnp.where(is_there[:, None], _take(values, leaves), 0.0).astype(jnp.float64)
        return total + leaf_values.reshape(n, -1, groups * width).sum(axis=1), None

    is_there = (np.arange(roots.size) < len(forest.roots)).reshape(roots.shape)
    trees = jnp.asarray(roots), jnp.asarray(is_there), jnp.asarray(depths)
    return jax.lax.scan(add, jnp.zeros((n, groups * width), jnp.float64), trees)[0]


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


def _padded(forest: Forest, n_together: int) -> tuple[np.ndarray, np.ndarray]:
    """The roots i32[steps, n_together], the last ones repeated, and the number of levels of each step, i32[steps]."""
    missing = -len(forest.roots) % n_together
    roots = np.pad(forest.roots, (0, missing), mode="edge").astype(np.int32)
    depths = np.pad(forest.depths, (0, missing)).astype(np.int32)
    return roots.reshape(-1, n_together), depths.reshape(-1, n_together).max(axis=1)


def _take(array: jax.Array, index: jax.Array) -> jax.Array:
    """Elements of an array at positions that exist."""
    return array.at[index].get(mode="promise_in_bounds")
