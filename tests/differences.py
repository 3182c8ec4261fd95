"""Central differences. The points are made in NumPy: outside of ``jit`` JAX compiles every operation for every shape."""

import jax
import numpy as np


def ravel(tree):
    """The entries of all leaves as one NumPy array, and the function that makes a tree of them again."""
    leaves, structure = jax.tree.flatten(jax.tree.map(np.asarray, tree))
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]

    def unravel(flat):
        return structure.unflatten([part.reshape(x.shape) for part, x in zip(np.split(flat, ends), leaves)])

    return np.concatenate([leaf.ravel() for leaf in leaves]), unravel


def central_difference(f, tree, eps=1e-6):
    """The gradient of the function ``f``, which should be compiled."""
    flat, unravel = ravel(tree)
    slope = lambda step: (float(f(unravel(flat + step))) - float(f(unravel(flat - step)))) / (2 * eps)
    return unravel(np.array([slope(step) for step in eps * np.eye(flat.size)]))
