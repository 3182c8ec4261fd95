"""What a candidate is worth trying, by the mean and deviation that a model gives it; all larger better."""

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm

from metajax.types import InputError

ACQUISITIONS = ("mean", "ucb", "ei", "thompson")


def acquire(
    name: str,
    mean: jax.Array,
    std: jax.Array,
    best: jax.Array | float = 0.0,
    optimism: jax.Array | float = 1.0,
    key: jax.Array | None = None,
) -> jax.Array:
    """f[n]: the acquisition of n candidates. Can be jitted and differentiated.

    ``mean``: what is believed. ``ucb``: ``mean + optimism · std``. ``ei``: the logarithm of the expected improvement over
    ``best`` (finite where the improvement itself would be rounded to zero; Ament et al. 2023, arXiv:2310.20708).
    ``thompson``: a draw from each candidate's own normal distribution, independent of the others'.

    Raises:
        InputError: on an unknown name, or ``thompson`` without a key.

    Example:
        >>> acquire("ucb", jnp.array([0.0, 1.0]), jnp.array([3.0, 1.0])).tolist()
        [3.0, 2.0]
    """
    if name not in ACQUISITIONS:
        raise InputError(f"acquisition={name!r}; accepted are {list(ACQUISITIONS)}")
    if name == "mean":
        return mean
    if name == "ucb":
        return mean + optimism * std
    if name == "ei":
        z = (mean - best) / std
        near = jnp.maximum(z, -6.0)
        direct = jnp.log(norm.pdf(near) + near * norm.cdf(near))
        # far below: φ(z) + z Φ(z) = φ(z) / z² · (1 - 3/z² + ...)
        far = jnp.minimum(z, -6.0)
        tail = norm.logpdf(far) - 2 * jnp.log(-far) + jnp.log1p(-3.0 / far**2)
        return jnp.log(std) + jnp.where(z > -6.0, direct, tail)
    if key is None:
        raise InputError("acquisition='thompson' needs a key")
    return mean + std * jax.random.normal(key, mean.shape, mean.dtype)
