"""Acquisition functions: how promising a candidate is, by the mean and standard deviation that a model predicts."""

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Float

from metajax._typing import AnyArray, checked
from metajax.types import InputError, Key

ACQUISITIONS = ("mean", "ucb", "ei", "thompson")
"""The names of the acquisition functions."""


@checked
def acquire(
    name: str,
    mean: Float[AnyArray, " n"],
    std: Float[AnyArray, " n"],
    best: Float[AnyArray, ""] | float = 0.0,
    optimism: Float[AnyArray, ""] | float = 1.0,
    key: Key | None = None,
) -> Float[Array, " n"]:
    """Scores candidates by an acquisition function; can be jitted and differentiated.

    With mean μ, standard deviation σ and the best value b:

    * ``"mean"``: ``μ``.
    * ``"ucb"``, the upper confidence bound: ``μ + optimism · σ``.
    * ``"ei"``: the logarithm of the expected improvement ``E[max(v - b, 0)]`` over b. It is finite where the improvement itself
      would be rounded to zero.
    * ``"thompson"``: a sample from the normal distribution of each candidate, independent of the others.

    Args:
        name: The acquisition function.
        mean: Predicted means, larger better.
        std: Predicted standard deviations, above 0.
        best: The value to improve on, for ``"ei"``.
        optimism: Number of standard deviations, for ``"ucb"``.
        key: Random key, for ``"thompson"``.

    Returns:
        f[n], larger better.

    Raises:
        InputError: If the name is unknown, or ``"thompson"`` has no key.

    References:
        Ament et al., Unexpected improvements to expected improvement for Bayesian optimization, 2023, arXiv:2310.20708.

    Example:
        >>> from metajax import search
        >>> mean, std = jnp.array([0.0, 1.0]), jnp.array([3.0, 1.0])
        >>> search.acquire("ucb", mean, std).tolist()
        [3.0, 2.0]
        >>> int(search.acquire("ei", mean, std, best=1.5).argmax())
        0
    """
    if name not in ACQUISITIONS:
        raise InputError(f"acquire: name must be one of {', '.join(map(repr, ACQUISITIONS))}, got {name!r}")
    mean, std = jnp.asarray(mean), jnp.asarray(std)
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
        raise InputError("acquire: 'thompson' needs a random key; pass key=jax.random.key(...)")
    return mean + std * jax.random.normal(key, mean.shape, mean.dtype)
