"""Hypergradients by implicit differentiation: the inner loop is treated as having converged.

At a stationary point of the inner loss, ``dw*/dh = -H⁻¹ ∂²inner/∂w∂h`` with ``H`` the Hessian in the parameters, so
``d outer/dh = ∂outer/∂h - (∂²inner/∂w∂h)ᵀ H⁻¹ ∂outer/∂w``: one linear solve by Hessian-vector products, whatever the
number of inner steps. It says nothing of how the point was reached: an inner learning rate or an initialization gets no
gradient.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from metajax.bilevel import _inner as inner
from metajax.bilevel._problem import Estimator, Hypergradient, HypergradientFn, Problem, split
from metajax.bilevel._reach import reached
from metajax.types import InputError, Key, Params, stream

Solver = Literal["cg", "neumann", "identity"]
Matvec = Callable[[Params], Params]

POWER_ITERATIONS = 10


def implicit(
    solver: Solver = "cg",
    iterations: int = 20,
    damping: float = 0.0,
    step_size: float | None = None,
    tolerance: float = 1e-6,
) -> Estimator:
    """Implicit differentiation with an approximate inverse Hessian.

    The Hessian and the mixed derivative are those of the last inner batch.

    Args:
        solver: ``"cg"``: conjugate gradient (iMAML, Rajeswaran et al. 2019, arXiv:1909.04630), needs a positive definite
            ``H + damping·I``. ``"neumann"``: the series ``step_size·Σ (I - step_size·H)^j`` (Lorraine et al. 2020,
            arXiv:1911.02590), needs a positive definite ``H + damping·I`` and ``step_size < 2/λ_max``. ``"identity"``:
            ``H⁻¹ ≈ step_size·I`` (T1-T2, Luketina et al. 2016, arXiv:1511.06727), biased.
        iterations: of the solver.
        damping: added to the diagonal of ``H``.
        step_size: of the Neumann series and of the identity, in units of 1/curvature. ``None`` takes ``1/λ_max`` for the
            series, with ``λ_max`` from ``POWER_ITERATIONS`` Hessian-vector products more, and 1 for the identity.
        tolerance: relative residual at which conjugate gradient stops early.

    ``info`` reports ``solver_residual``, ``‖(H + damping·I)·solution - v‖ / ‖v‖`` with ``v`` the outer gradient in the
    parameters: 0 is an exact solve, and above 1 the solution is worse than none. It costs one Hessian-vector product, and none
    where it is not read.

    Raises:
        InputError: on an unknown solver or a number out of range; when it is used, if a part of ``hyper`` reaches neither loss
            (an inner learning rate, an initialization): its gradient would be zero in silence.
    """
    if solver not in ("cg", "neumann", "identity"):
        raise InputError(f"implicit: solver={solver!r}; accepted are 'cg', 'neumann' and 'identity'")
    if iterations < 1 or damping < 0 or (step_size is not None and step_size <= 0):
        raise InputError(
            f"implicit: iterations={iterations}, damping={damping}, step_size={step_size}; accepted are iterations >= 1, "
            "damping >= 0, and step_size > 0 or None"
        )

    def solve(matvec, vector, key):
        if solver == "cg":
            return jax.scipy.sparse.linalg.cg(matvec, vector, tol=tolerance, maxiter=iterations)[0]
        if solver == "identity":
            return jax.tree.map(lambda g: (1.0 if step_size is None else step_size) * g, vector)
        return neumann(
            matvec, vector, iterations, 1 / largest_curvature(matvec, vector, key) if step_size is None else step_size
        )

    def estimator(problem: Problem) -> HypergradientFn:
        def estimate(hyper, start, inner_batches, outer_batch, key):
            keys, steps = split(key), inner.length(inner_batches)
            begun = inner.begin(problem, hyper, keys.init) if start is None else start
            end, losses = inner.run(problem, hyper, begun, inner_batches, keys.inner)
            last = jax.tree.map(lambda x: x[-1], inner_batches)
            last_key = inner.step_key(keys.inner, steps - 1)
            out_of_reach(problem, hyper, end.params, (last, last_key), (outer_batch, keys.outer))

            def inner_grad(h, params):
                return jax.grad(problem.inner_loss, argnums=1, has_aux=True)(h, params, last, last_key)[0]

            def matvec(vector):
                product = jax.jvp(lambda w: inner_grad(hyper, w), (end.params,), (vector,))[1]
                return jax.tree.map(lambda p, v: p + damping * v, product, vector)

            outer = jax.value_and_grad(problem.outer_loss, argnums=(0, 1), has_aux=True)
            (value, info), (direct, pull) = outer(hyper, end.params, outer_batch, keys.outer)
            solution = solve(matvec, pull, stream(key, "power iteration"))
            _, transpose = jax.vjp(lambda h: inner_grad(h, end.params), hyper)
            grad = jax.tree.map(jnp.subtract, direct, transpose(solution)[0])
            told = {"inner_loss": losses[-1], "solver_residual": relative_residual(matvec, solution, pull)}
            return Hypergradient(value, grad, end, {**info, **told})

        return HypergradientFn(estimate, partial(inner.begin, problem))

    return estimator


def neumann(matvec: Matvec, vector: Params, iterations: int, step_size: float | jax.Array) -> Params:
    """``step_size·Σ (I - step_size·H)^j vector`` for j from 0 to ``iterations``, which approaches ``H⁻¹ vector``."""
    scaled = jax.tree.map(lambda v: jnp.asarray(step_size, v.dtype) * v, vector)

    def term(carry, _):
        total, power = carry
        power = jax.tree.map(lambda p, hp: p - jnp.asarray(step_size, p.dtype) * hp, power, matvec(power))
        return (jax.tree.map(jnp.add, total, power), power), None

    return jax.lax.scan(term, (scaled, scaled), None, iterations)[0][0]


def largest_curvature(matvec: Matvec, like: Params, key: Key) -> jax.Array:
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


def relative_residual(matvec: Matvec, solution: Params, vector: Params) -> jax.Array:
    """``‖H·solution - vector‖ / ‖vector‖``, and 0 where the vector is zero."""
    size = optax.tree.norm(vector)
    missed = optax.tree.norm(jax.tree.map(jnp.subtract, matvec(solution), vector))
    return missed / jnp.where(size > 0, size, 1.0)


def out_of_reach(problem: Problem, hyper: Any, params: Any, inner_given: tuple, outer_given: tuple) -> None:
    """Raises ``InputError`` if a part of ``hyper`` reaches neither loss."""
    by_inner = reached(lambda h: problem.inner_loss(h, params, *inner_given)[0], hyper)
    by_outer = reached(lambda h: problem.outer_loss(h, params, *outer_given)[0], hyper)
    lost = [name for name in by_inner if not (by_inner[name] or by_outer[name])]
    if lost:
        raise InputError(
            f"implicit: hyper{lost[0]} reaches neither inner_loss nor outer_loss, so implicit differentiation gives it no "
            "gradient (it is blind to inner learning rates and initializations); use unroll(), forward() or evolution(), or "
            "write it into inner_loss"
        )
