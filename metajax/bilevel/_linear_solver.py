"""Linear systems whose matrix is known by its products with vectors alone, such as that of a Hessian."""

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from metajax._typing import checked
from metajax.types import Key, Params, Scalar

Solver = Literal["cg", "neumann", "identity"]
Matvec = Callable[[Params], Params]

POWER_ITERATIONS = 10
"""Hessian-vector products that estimate the largest curvature where no step size is given."""


@dataclasses.dataclass(frozen=True)
class LinearSolver:
    """Solves ``H x = vector`` approximately, called as ``solver(matvec, vector, key)``.

    Attributes:
        method: Conjugate gradient, a Neumann series, or the identity in place of the inverse.
        iterations: The number of products with H.
        step_size: The scale of the Neumann series or of the identity. ``None`` is 1 for the identity, and for the series one
            over the largest curvature, which a power iteration estimates.
        tolerance: The relative residual at which conjugate gradient stops.
    """

    method: Solver
    iterations: int
    step_size: float | None
    tolerance: float

    def __call__(self, matvec: Matvec, vector: Params, key: Key) -> Params:
        """Returns the solution; the key is for the power iteration."""
        if self.method == "cg":
            return jax.scipy.sparse.linalg.cg(matvec, vector, tol=self.tolerance, maxiter=self.iterations)[0]
        if self.method == "identity":
            return jax.tree.map(lambda g: (1.0 if self.step_size is None else self.step_size) * g, vector)
        step_size = 1 / largest_curvature(matvec, vector, key) if self.step_size is None else self.step_size
        return neumann(matvec, vector, self.iterations, step_size)


def neumann(matvec: Matvec, vector: Params, iterations: int, step_size: float | jax.Array) -> Params:
    """``step_size·Σ (I - step_size·H)^j vector`` for j from 0 to ``iterations``, which approaches ``H⁻¹ vector``."""
    scaled = jax.tree.map(lambda v: jnp.asarray(step_size, v.dtype) * v, vector)

    def term(carry, _):
        total, power = carry
        power = jax.tree.map(lambda p, hp: p - jnp.asarray(step_size, p.dtype) * hp, power, matvec(power))
        return (jax.tree.map(jnp.add, total, power), power), None

    return jax.lax.scan(term, (scaled, scaled), None, iterations)[0][0]


@checked
def largest_curvature(matvec: Matvec, like: Params, key: Key) -> Scalar:
    """The largest absolute eigenvalue of a symmetric operator, by ``POWER_ITERATIONS`` power iterations from a random vector.

    The estimate is never too large, and a step of one over it converges as long as it is more than half the true value.
    """
    flat, unravel = ravel_pytree(like)
    unit = lambda v: v / jnp.maximum(jnp.linalg.norm(v), jnp.finfo(v.dtype).tiny)

    def iterate(vector, _):
        product = ravel_pytree(matvec(unravel(vector)))[0]
        return unit(product), jnp.linalg.norm(product)

    _, norms = jax.lax.scan(iterate, unit(jax.random.normal(key, flat.shape, flat.dtype)), None, POWER_ITERATIONS)
    return jnp.where(norms[-1] > 0, norms[-1], 1.0)


@checked
def relative_residual(matvec: Matvec, solution: Params, vector: Params) -> Scalar:
    """``‖H·solution - vector‖ / ‖vector‖``, and 0 where the vector is zero."""
    size = optax.tree.norm(vector)
    missed = optax.tree.norm(jax.tree.map(jnp.subtract, matvec(solution), vector))
    return missed / jnp.where(size > 0, size, 1.0)
