"""Hypergradients by implicit differentiation: the inner loop is treated as having converged.

At a stationary point of the inner loss, ``dw*/dh = -H⁻¹ ∂²inner/∂w∂h`` with ``H`` the Hessian in the parameters, so
``d outer/dh = ∂outer/∂h - (∂²inner/∂w∂h)ᵀ H⁻¹ ∂outer/∂w``: one linear solve by Hessian-vector products, whatever the
number of inner steps. It says nothing of how the point was reached: an inner learning rate or an initialisation gets no
gradient.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp

from metajax.bilevel import inner
from metajax.bilevel.problem import Estimator, Hypergradient, HypergradientFn, Problem, split
from metajax.bilevel.reach import reached

Solver = Literal["cg", "neumann", "identity"]


def implicit(
    solver: Solver = "cg",
    iterations: int = 20,
    damping: float = 0.0,
    step_size: float = 1.0,
    tolerance: float = 1e-6,
) -> Estimator:
    """Implicit differentiation with an approximate inverse Hessian.

    The Hessian and the mixed derivative are those of the last inner batch.

    Args:
        solver: ``"cg"``: conjugate gradient (iMAML, Rajeswaran et al. 2019, arXiv:1909.04630), needs a positive definite
            ``H + damping·I``. ``"neumann"``: the series ``step_size·Σ (I - step_size·H)^j`` (Lorraine et al. 2020,
            arXiv:1911.02590), needs ``step_size < 2/λ_max``. ``"identity"``: ``H⁻¹ ≈ step_size·I`` (T1-T2, Luketina et
            al. 2016, arXiv:1511.06727), biased.
        iterations: of the solver.
        damping: added to the diagonal of ``H``.
        step_size: of the Neumann series and of the identity, in units of 1/curvature.
        tolerance: relative residual at which conjugate gradient stops early.

    Raises:
        ValueError: on an unknown solver or a number out of range; when it is used, if a part of ``hyper`` reaches neither loss
            (an inner learning rate, an initialisation): its gradient would be zero in silence.
    """
    if solver not in ("cg", "neumann", "identity"):
        raise ValueError(f"implicit: solver={solver!r}; accepted are 'cg', 'neumann' and 'identity'")
    if iterations < 1 or damping < 0 or step_size <= 0:
        raise ValueError(
            "implicit: need iterations >= 1, damping >= 0 and step_size > 0; "
            f"got iterations={iterations}, damping={damping}, step_size={step_size}"
        )

    def solve(matvec, vector):
        scaled = jax.tree.map(lambda g: step_size * g, vector)
        if solver == "identity":
            return scaled
        if solver == "cg":
            return jax.scipy.sparse.linalg.cg(matvec, vector, tol=tolerance, maxiter=iterations)[0]

        def term(carry, _):
            total, power = carry
            power = jax.tree.map(lambda p, hp: p - step_size * hp, power, matvec(power))
            return (jax.tree.map(jnp.add, total, power), power), None

        return jax.lax.scan(term, (scaled, scaled), None, iterations)[0][0]

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
            solution = solve(matvec, pull)
            _, transpose = jax.vjp(lambda h: inner_grad(h, end.params), hyper)
            grad = jax.tree.map(jnp.subtract, direct, transpose(solution)[0])
            return Hypergradient(value, grad, end, {**info, "inner_loss": losses[-1]})

        return HypergradientFn(estimate, lambda hyper, key: inner.begin(problem, hyper, key))

    return estimator


def out_of_reach(problem: Problem, hyper: Any, params: Any, inner_given: tuple, outer_given: tuple) -> None:
    """Raises ``ValueError`` if a part of ``hyper`` reaches neither loss."""
    by_inner = reached(lambda h: problem.inner_loss(h, params, *inner_given)[0], hyper)
    by_outer = reached(lambda h: problem.outer_loss(h, params, *outer_given)[0], hyper)
    lost = [name for name in by_inner if not (by_inner[name] or by_outer[name])]
    if lost:
        raise ValueError(
            f"implicit: hyper{lost[0]} reaches neither inner_loss nor outer_loss, so implicit differentiation gives it no "
            "gradient (it is blind to inner learning rates and initialisations); use unroll(), forward() or evolution(), or "
            "write it into inner_loss"
        )
