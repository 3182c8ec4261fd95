"""Hypergradients where the inner solution is itself a differentiable function: a ridge head, class means, a whole training."""

from typing import Any

import jax

from metajax.bilevel._inner import InnerState
from metajax.bilevel._problem import Estimator, Hypergradient, HypergradientFn, Problem, solution, split
from metajax.types import Batch, Hyper, InputError, Key, Scalar


def through_solution() -> Estimator:
    r"""Differentiates the outer loss through the function that solves the inner problem.

    $$\frac{d}{dh} \, F\bigl(h, w^*(h)\bigr), \qquad w^*(h) = \mathrm{solve}(h)$$

    The derivative is taken by reverse mode and is exact where ``solve`` is: closed-form ridge regression (R2D2), class
    means (prototypical networks), a quadratic program with its own derivative (MetaOptNet), or a whole inner training
    (a third level, ``hpo.nested_inner``). The last of the inner batches is what is solved. Such a problem has no inner
    state, so it cannot be warm-started.

    Returns:
        An estimator for problems made with ``Inner.solution``.

    Raises:
        InputError: When it is given a problem made with ``Inner.descent``.

    References:
        Bertinetto et al. 2019, "Meta-learning with differentiable closed-form solvers", arXiv:1805.08136.

    Example:
        >>> import jax.numpy as jnp
        >>> from metajax import bilevel
        >>> mean = bilevel.Inner.solution(lambda h, batch, key: jnp.mean(batch) / (1 + jnp.exp(h)))  # ridge for a constant
        >>> problem = bilevel.Problem(mean, lambda h, w, batch, key: (jnp.mean((w - batch) ** 2), {}))
        >>> fn = bilevel.through_solution()(problem)
        >>> result = fn(jnp.zeros(()), None, jnp.ones((1, 4)), jnp.ones(4), jax.random.key(0))
        >>> float(result.value), float(result.grad)  # (1 - w)^2 and its derivative at w = 1/2
        (0.25, 0.25)
    """

    def estimator(problem: Problem[Any]) -> HypergradientFn:
        problem = solution(problem, "through_solution")

        def estimate(hyper, start, inner_batches, outer_batch, key):
            value = lambda h: solve_and_judge(problem, h, inner_batches, outer_batch, key)
            (loss, aux), grad = jax.value_and_grad(value, has_aux=True)(hyper)
            return Hypergradient(loss, grad, *aux)

        return HypergradientFn(estimate, no_warm_start)

    return estimator


def solve_and_judge(
    problem: Problem[Any], hyper: Hyper, inner_batches: Batch, outer_batch: Batch, key: Key
) -> tuple[Scalar, tuple[InnerState, dict[str, Any]]]:
    """The outer loss at the inner solution, as a function of ``hyper``."""
    keys, batch = split(key), jax.tree.map(lambda x: x[-1], inner_batches)
    params = problem.inner.solve(hyper, batch, keys.inner)
    loss, info = problem.outer_loss(hyper, params, outer_batch, keys.outer)
    return loss, (InnerState(params, ()), dict(info))


def no_warm_start(hyper: Hyper, key: Key) -> Any:
    """Refuses to make an inner state."""
    raise InputError(
        "begin: the inner problem must be Inner.descent(...) for a warm start, because Inner.solution(...) is solved "
        "at once and has no state to carry over; use bilevel.learner(..., warm_start=False)"
    )
