"""The curvature of a loss by exact Hessian-vector products."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from metajax._typing import checked
from metajax.types import InputError, Key, Scalar


@checked
def dominant_eigenvalue(value: Callable[[Any], Scalar], x: Any, key: Key, iterations: int = 12) -> Scalar:
    """Returns the largest eigenvalue of the Hessian of ``value`` at ``x``, by Lanczos' iteration.

    All vectors are kept orthogonal, so that ``iterations`` at the number of dimensions or above give it to rounding. In the
    architecture's logits it foretells the collapse of a search. The function can be jitted.

    Args:
        value: A function ``(x) -> scalar``, which is twice differentiable.
        x: The point at which the Hessian is taken, a pytree of arrays.
        key: The randomness of the first vector.
        iterations: The number of Hessian-vector products, at least 1.

    Returns:
        The eigenvalue, f32[].

    Raises:
        InputError: If ``iterations`` is below 1.

    References:
        Zela et al. 2020, "Understanding and robustifying differentiable architecture search", arXiv:1909.09656.

    Example:
        >>> round(float(dominant_eigenvalue(lambda x: x[0] ** 2 - 3 * x[1] ** 2, jnp.ones(2), jax.random.key(0))), 4)
        2.0
    """
    if iterations < 1:
        raise InputError(f"dominant_eigenvalue: iterations must be an integer >= 1, got {iterations}")
    flat, unravel = ravel_pytree(x)
    gradient = jax.grad(lambda v: value(unravel(v)))
    steps = min(iterations, flat.size)

    def step(carry, i):
        basis, vector = carry
        basis = basis.at[i].set(vector)
        image = jax.jvp(gradient, (flat,), (vector,))[1]
        along = jnp.vdot(image, vector)
        for _ in range(2):  # twice is enough
            image = image - basis.T @ (basis @ image)
        length = jnp.linalg.norm(image)
        following = jnp.where(length > 1e-6, image / jnp.where(length > 1e-6, length, 1.0), 0.0)
        return (basis, following), (along, jnp.where(length > 1e-6, length, 0.0))

    start = jax.random.normal(key, flat.shape, flat.dtype)
    basis = jnp.zeros((steps, flat.size), flat.dtype)
    _, (diagonal, off_diagonal) = jax.lax.scan(step, (basis, start / jnp.linalg.norm(start)), jnp.arange(steps))
    # where an invariant subspace was found, the rest of the diagonal is empty and must not pass for an eigenvalue 0
    is_valid = jnp.concatenate([jnp.ones(1, bool), jnp.cumprod(off_diagonal[:-1] > 0).astype(bool)])
    diagonal = jnp.where(is_valid, diagonal, jnp.min(jnp.where(is_valid, diagonal, jnp.inf)))
    off_diagonal = jnp.where(is_valid[1:], off_diagonal[:-1], 0.0)
    return jnp.linalg.eigvalsh(jnp.diag(diagonal) + jnp.diag(off_diagonal, 1) + jnp.diag(off_diagonal, -1))[-1]
