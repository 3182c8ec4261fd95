"""What a search is worth: how a SuperNet ranks architectures, and how that ranking agrees with the truth."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from metajax.space import Space
from metajax.types import InputError


def kendall_tau(a: Any, b: Any) -> float:
    """Kendall's τ-b between two score lists, ties handled (Kendall 1945); 0 if one of them is constant.

    Example:
        >>> kendall_tau([1, 2, 3, 4], [1, 2, 4, 3])
        0.6666666666666666
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise InputError(f"kendall_tau: two lists of one length are needed, got shapes {a.shape} and {b.shape}")
    upper = np.triu_indices(len(a), 1)
    da, db = np.sign(a[:, None] - a)[upper], np.sign(b[:, None] - b)[upper]
    scale = np.sqrt(np.sum(da != 0) * np.sum(db != 0))
    return float(np.sum(da * db) / scale) if scale else 0.0


def index_of(space: Space, config: dict[str, Any]) -> int:
    """Where a configuration of a small space stands in ``space.at``."""
    wanted = np.asarray(space.encode(space.configs([config])))[0]
    every = np.asarray(space.encode(space.at(np.arange(int(space.size)))))
    return int(np.flatnonzero((every == wanted).all(axis=1))[0])


def dominant_eigenvalue(value: Callable[[Any], jax.Array], x: Any, key: jax.Array, iterations: int = 12) -> jax.Array:
    """The largest eigenvalue of the Hessian of ``value`` at ``x``, by Lanczos' iteration on exact Hessian-vector products.

    All vectors are kept orthogonal, so that ``iterations`` at the number of dimensions or above give it to rounding. In the
    architecture's logits it foretells the collapse of a search (Zela et al. 2020, arXiv:1909.09656). Can be jitted.

    Args:
        value: of a pytree, twice differentiable.
        x: where.
        key: of the first vector.
        iterations: Hessian-vector products.

    Example:
        >>> float(dominant_eigenvalue(lambda x: x[0] ** 2 - 3 * x[1] ** 2, jnp.ones(2), jax.random.key(0)))
        2.0
    """
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
    _, (diagonal, off) = jax.lax.scan(step, (basis, start / jnp.linalg.norm(start)), jnp.arange(steps))
    # where an invariant subspace was found, the rest of the diagonal is empty and must not pass for an eigenvalue 0
    found = jnp.concatenate([jnp.ones(1, bool), jnp.cumprod(off[:-1] > 0).astype(bool)])
    diagonal = jnp.where(found, diagonal, jnp.min(jnp.where(found, diagonal, jnp.inf)))
    off = jnp.where(found[1:], off[:-1], 0.0)
    return jnp.linalg.eigvalsh(jnp.diag(diagonal) + jnp.diag(off, 1) + jnp.diag(off, -1))[-1]


def conflict(loss: Callable[[Any, jax.Array], jax.Array], params: Any, encodings: jax.Array) -> jax.Array:
    """How paths pull at the weights that they share: the mean cosine between the gradients of every two of them; 1 is
    harmony, negative is conflict.

    Args:
        loss: ``(params, encoding) -> scalar``.
        encodings: f32[paths, width], two or more.
    """
    grads = jax.lax.map(lambda e: ravel_pytree(jax.grad(loss)(params, e))[0], encodings)
    unit = grads / jnp.maximum(jnp.linalg.norm(grads, axis=1, keepdims=True), 1e-12)
    cosines, number = unit @ unit.T, len(encodings)
    return (jnp.sum(cosines) - jnp.trace(cosines)) / (number * (number - 1))


def count(config: Mapping[str, Any], value: Any) -> int:
    """How often a configuration takes a value, such as ``"skip"``: many skips are the mark of a collapsed search."""
    return sum(taken == value for taken in config.values())
