"""Hypergradients where the inner solution is itself a differentiable function: a ridge head, class means, a short loop."""

from collections.abc import Callable
from typing import Any

import jax

from metajax.bilevel._problem import Estimator, Hypergradient, HypergradientFn, InnerState, Problem, split
from metajax.types import Batch, Hyper, InputError, Key, Params


def solved(solve: Callable[[Hyper, Batch, Key], Params]) -> Estimator:
    """Differentiates the outer loss through ``solve``; the inner loss and optimizer of the problem are not used.

    Exact where ``solve`` is: closed-form ridge regression (R2D2, Bertinetto et al. 2019, arXiv:1805.08136), class means
    (prototypical networks), a quadratic program with its own derivative (MetaOptNet).

    Args:
        solve: ``(hyper, batch, key) -> params``, differentiable in ``hyper``. The batch is the last inner one.
    """

    def estimator(problem: Problem) -> HypergradientFn:
        def estimate(hyper, start, inner_batches, outer_batch, key):
            keys, batch = split(key), jax.tree.map(lambda x: x[-1], inner_batches)

            def value(h) -> tuple[jax.Array, tuple[InnerState, dict[str, Any]]]:
                params = solve(h, batch, keys.inner)
                loss, info = problem.outer_loss(h, params, outer_batch, keys.outer)
                return loss, (InnerState(params, ()), dict(info))

            (loss, aux), grad = jax.value_and_grad(value, has_aux=True)(hyper)
            return Hypergradient(loss, grad, *aux)

        def begin(hyper, key, tasks=None):
            raise InputError("solved: an inner problem that is solved at once has no state to warm-start from")

        return HypergradientFn(estimate, begin)

    return estimator
