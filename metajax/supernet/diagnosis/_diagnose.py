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

    Args:
        a, b: float[n]; infinite scores are the first or last of all.

    Raises:
        InputError: if they are not two lists of one length, or hold NaN.

    Example:
        >>> kendall_tau([1, 2, 3, 4], [1, 2, 4, 3])
        0.6666666666666666
    """
    return _tau(*(np.sum(part) for part in _agreement(a, b)))


def kendall_tau_error(a: Any, b: Any) -> float:
    """The standard error of ``kendall_tau`` over draws of the items that are ranked, by the jackknife: from the τ of the lists
    without one item, for every item.

    Args:
        a, b: float[n], n at least 3.

    Raises:
        InputError: see ``kendall_tau``; or if there are fewer than three items.

    Example:
        >>> first, second = np.random.default_rng(0).normal(size=(2, 300))  # unrelated, where theory says .0386
        >>> round(kendall_tau_error(first, second), 3)
        0.038
    """
    rows = _agreement(a, b)
    number = len(rows[0])
    if number < 3:
        raise InputError(f"kendall_tau_error: {number} items; accepted are 3 or more")
    totals = [np.sum(part) for part in rows]
    without = np.array([_tau(*(total - 2 * part[i] for total, part in zip(totals, rows))) for i in range(number)])
    return float(np.sqrt((number - 1) * np.var(without)))


def _agreement(a: Any, b: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For every item: by how many more of the others it is ordered alike than otherwise; in how many a has no tie, and b."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise InputError(f"kendall_tau: two lists of one length are needed, got shapes {a.shape} and {b.shape}")
    if np.isnan(a).any() or np.isnan(b).any():
        raise InputError("kendall_tau: a score is NaN, which has no rank; accepted are numbers, also infinite ones")
    ranks = [np.unique(scores, return_inverse=True)[1].reshape(-1).astype(np.int64) for scores in (a, b)]
    rows = [[], [], []]
    for start in range(0, len(a), 256):  # a table of all pairs of 15,625 cells takes gigabytes
        da, db = (np.sign(rank[start : start + 256, None] - rank) for rank in ranks)
        for kept, signs in zip(rows, (da * db, np.abs(da), np.abs(db))):
            kept.append(signs.sum(axis=1))
    together = [np.concatenate(kept) if kept else np.zeros(0, np.int64) for kept in rows]
    return together[0], together[1], together[2]


def _tau(both: Any, first: Any, second: Any) -> float:
    scale = np.sqrt(float(first) * float(second))
    return float(both / scale) if scale else 0.0


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

    Raises:
        InputError: unless there is an iteration.

    Example:
        >>> float(dominant_eigenvalue(lambda x: x[0] ** 2 - 3 * x[1] ** 2, jnp.ones(2), jax.random.key(0)))
        2.0
    """
    if iterations < 1:
        raise InputError(f"dominant_eigenvalue: iterations={iterations}; accepted is a positive number")
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

    Raises:
        InputError: if there are fewer than two paths.
    """
    if len(encodings) < 2:
        raise InputError(f"conflict: encodings of {len(encodings)} paths; accepted are two or more")
    grads = jax.lax.map(lambda e: ravel_pytree(jax.grad(loss)(params, e))[0], encodings)
    unit = grads / jnp.maximum(jnp.linalg.norm(grads, axis=1, keepdims=True), 1e-12)
    cosines, number = unit @ unit.T, len(encodings)
    return (jnp.sum(cosines) - jnp.trace(cosines)) / (number * (number - 1))


def count(config: Mapping[str, Any], value: Any) -> int:
    """How often a configuration takes a value, such as ``"skip"``: many skips are the mark of a collapsed search."""
    return sum(taken == value for taken in config.values())
