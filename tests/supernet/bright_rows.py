"""Small images whose class can be seen, weights that cost no program, and how trees are compared."""

import functools

import jax
import numpy as np


@functools.cache
def informative(number: int = 96):
    """A class is where the bright row is."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, number).astype(np.int32)
    x = rng.normal(size=(number, 4, 4, 1)).astype(np.float32) * 0.3
    for i, label in enumerate(y):
        x[i, label] += 2.0
    return x, y


def batch(seed: int, inner_steps: int = 1):
    """Batches of training, a batch of validation, and the validation part."""
    x, y = informative()
    rows = np.random.default_rng(seed).integers(0, len(y), (inner_steps + 1, 16))
    return (x[rows[:-1]], y[rows[:-1]]), (x[rows[-1]], y[rows[-1]]), (x[:32], y[:32])


def weights(init, seed: int = 0):
    """Weights in the shapes of ``init``, drawn by NumPy: nothing is compiled."""
    rng = np.random.default_rng(seed)
    draw = lambda like: np.asarray(rng.normal(size=like.shape) / np.prod(like.shape[:-1]) ** 0.5, like.dtype)
    return jax.device_put(jax.tree.map(draw, jax.eval_shape(init, jax.random.key(0))))


def close(a, b, tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance), a, b)
