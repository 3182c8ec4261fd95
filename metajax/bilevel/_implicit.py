"""Hypergradients by implicit differentiation: the inner loop is treated as having converged."""

from typing import Any

import jax
import jax.numpy as jnp

from metajax.bilevel._inner import Descent, InnerState, step_key
from metajax.bilevel._linear_solver import LinearSolver, Solver, relative_residual
from metajax.bilevel._problem import Estimator, Hypergradient, InnerInfo, Problem, descent_estimator, split
from metajax.bilevel._reach import reached
from metajax.bilevel._scan import length
from metajax.types import Batch, Hyper, InputError, Key, Params, Scalar, stream


class ImplicitInfo(InnerInfo):
    """What ``bilevel.implicit`` adds to the info of the outer loss.

    Attributes:
        inner_loss: The inner loss of the last step, f[].
        solver_residual: How far the linear system is from being solved: ``‖H·x - v‖ / ‖v‖``, f[]. Near 0, the solver has
            converged.
    """

    solver_residual: Scalar


def implicit(
    solver: Solver = "cg",
    iterations: int = 20,
    damping: float = 0.0,
    step_size: float | None = None,
    tolerance: float = 1e-6,
) -> Estimator:
    r"""Differentiates the stationarity of the inner solution, with an approximate inverse Hessian.

    At a stationary point w of the inner loss f, with the Hessian H of f in the parameters and the outer loss F:

    $$\frac{dF}{dh} = \frac{\partial F}{\partial h}
    - \Bigl(\frac{\partial^2 f}{\partial w \, \partial h}\Bigr)^{\!\top} H^{-1} \, \frac{\partial F}{\partial w}, \qquad
    H = \frac{\partial^2 f}{\partial w^2}$$

    This is one linear solve by Hessian-vector products, whatever the number of inner steps. The Hessian and the mixed
    derivative are those of the last inner batch. The estimate does not see how the point was reached: an inner learning rate
    or an initialization gets no gradient.

    ``info["solver_residual"]`` is ``‖(H + damping·I)·solution - v‖ / ‖v‖`` with ``v`` the outer gradient in the parameters. It
    is 0 for an exact solve, and above 1 the solution is worse than none. It costs one Hessian-vector product, and none where it
    is not read.

    Args:
        solver: How to approximate ``H⁻¹``. ``"cg"``: conjugate gradient, as in iMAML; needs a positive definite
            ``H + damping·I``. ``"neumann"``: the series ``step_size·Σ (I - step_size·H)^j``; needs a positive definite
            ``H + damping·I`` and ``step_size < 2/λ_max``. ``"identity"``: ``H⁻¹ ≈ step_size·I``, as in T1-T2; biased.
        iterations: Number of iterations of the solver, an integer >= 1.
        damping: Added to the diagonal of ``H``, a number >= 0.
        step_size: Step of the Neumann series and of the identity, a positive number in units of 1/curvature. ``None`` takes
            ``1/λ_max`` for the series, with ``λ_max`` from ``POWER_ITERATIONS`` (10) Hessian-vector products more, and 1 for
            the identity.
        tolerance: Relative residual at which conjugate gradient stops early.

    Returns:
        An estimator for problems made with ``Inner.descent``.

    Raises:
        InputError: If the solver is unknown or a number is out of range; later, if the problem is made with
            ``Inner.solution``, or if a part of ``hyper`` reaches neither loss (an inner learning rate, an initialization): its
            gradient would silently be zero.

    References:
        * Rajeswaran et al. 2019, "Meta-learning with implicit gradients", arXiv:1909.04630.
        * Lorraine et al. 2020, "Optimizing millions of hyperparameters by implicit differentiation", arXiv:1911.02590.
        * Luketina et al. 2016, "Scalable gradient-based tuning of continuous regularization hyperparameters",
          arXiv:1511.06727.

    Example:
        >>> import optax
        >>> from metajax import bilevel
        >>> ridge = lambda h, w, batch, key: (jnp.sum((w - batch) ** 2) + jnp.exp(h) * jnp.sum(w**2), {})
        >>> plain = lambda h, w, batch, key: (jnp.sum((w - batch) ** 2), {})
        >>> inner = bilevel.Inner.descent(ridge, lambda h, key: jnp.zeros(3), lambda h: optax.sgd(0.1))
        >>> fn = jax.jit(bilevel.implicit("cg")(bilevel.Problem(inner, plain)))
        >>> result = fn(jnp.zeros(()), None, jnp.ones((50, 3)), jnp.ones(3), jax.random.key(0))
        >>> round(float(result.grad), 3), float(result.info["solver_residual"])  # 3/4, as by unroll
        (0.75, 0.0)
    """
    if solver not in ("cg", "neumann", "identity"):
        raise InputError(f"implicit: solver must be 'cg', 'neumann' or 'identity', got {solver!r}")
    if iterations < 1 or damping < 0 or (step_size is not None and step_size <= 0):
        raise InputError(
            "implicit: iterations must be an integer >= 1, damping a number >= 0 and step_size a positive number or "
            f"None, got iterations={iterations}, damping={damping}, step_size={step_size}"
        )
    solver_fn = LinearSolver(solver, iterations, step_size, tolerance)
    return descent_estimator("implicit", _estimate, solver_fn, damping)


def _estimate(
    problem: Problem[Descent],
    solve: LinearSolver,
    damping: float,
    hyper: Hyper,
    start: InnerState | None,
    inner_batches: Batch,
    outer_batch: Batch,
    key: Key,
) -> Hypergradient:
    """Runs the inner steps, and differentiates as if the last one had arrived at the optimum of its batch."""
    inner, keys, steps = problem.inner, split(key), length(inner_batches)
    state = inner.begin(hyper, keys.init) if start is None else start
    end, losses = inner.run(hyper, state, inner_batches, keys.inner)
    last = jax.tree.map(lambda x: x[-1], inner_batches)
    last_key = step_key(keys.inner, steps - 1)
    refuse_unreachable(problem, hyper, end.params, (last, last_key), (outer_batch, keys.outer))

    def inner_grad(h: Hyper, params: Params) -> Params:
        return jax.grad(inner.loss, argnums=1, has_aux=True)(h, params, last, last_key)[0]

    def matvec(vector: Params) -> Params:
        product = jax.jvp(lambda w: inner_grad(hyper, w), (end.params,), (vector,))[1]
        return jax.tree.map(lambda p, v: p + damping * v, product, vector)

    outer = jax.value_and_grad(problem.outer_loss, argnums=(0, 1), has_aux=True)
    (value, info), (direct, pull) = outer(hyper, end.params, outer_batch, keys.outer)
    solution = solve(matvec, pull, stream(key, "power iteration"))
    _, transpose = jax.vjp(lambda h: inner_grad(h, end.params), hyper)
    grad = jax.tree.map(jnp.subtract, direct, transpose(solution)[0])
    implicit_info: ImplicitInfo = {
        "inner_loss": losses[-1],
        "solver_residual": relative_residual(matvec, solution, pull),
    }
    return Hypergradient(value, grad, end, {**info, **implicit_info})


def refuse_unreachable(
    problem: Problem[Any], hyper: Hyper, params: Params, inner_args: tuple, outer_args: tuple
) -> None:
    """Raises ``InputError`` if a part of ``hyper`` reaches neither loss."""
    by_inner = reached(lambda h: problem.inner.loss(h, params, *inner_args)[0], hyper)
    by_outer = reached(lambda h: problem.outer_loss(h, params, *outer_args)[0], hyper)
    unreached = [name for name in by_inner if not (by_inner[name] or by_outer[name])]
    if unreached:
        raise InputError(
            f"implicit: hyper{unreached[0]} must enter the inner or the outer loss, but it reaches neither, so its "
            "gradient would be zero (implicit differentiation does not see inner learning rates and initializations); "
            "write it into the inner loss, or use unroll(), forward() or evolution()"
        )
