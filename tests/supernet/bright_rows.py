"""Small images whose class can be seen, and how trees are compared."""

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


def close(a, b, tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance), a, b)
