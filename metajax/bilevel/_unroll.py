"""Hypergradients by differentiating the inner loop itself: reverse mode, forward mode, first order."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from metajax.bilevel import _inner as inner
from metajax.bilevel._problem import Estimator, Hypergradient, HypergradientFn, InnerState, Problem, over_tasks, split
from metajax.types import InputError


def unroll(remat: inner.Remat = None, truncate: int | None = None) -> Estimator:
    """Reverse mode through the inner loop: exact, and memory grows with the steps unless rematerialized.

    MAML (Finn et al. 2017, arXiv:1703.03400) and exact second-order DARTS are this with few steps; Maclaurin et al.
    (2015, arXiv:1502.03492) with many.

    Args:
        remat: ``None``, ``"sqrt"`` or every how many steps to keep a state; same gradient, less memory.
        truncate: differentiate the last ``truncate`` steps only (Shaban et al. 2019, arXiv:1810.10667); the gradient is
            then biased, and an initialization learned through ``problem.init`` gets none unless all steps are covered.

    Raises:
        InputError: if ``remat`` or ``truncate`` is not positive.
    """
    if not (remat is None or remat == "sqrt" or (isinstance(remat, int) and remat >= 1)):
        raise InputError(f"unroll: remat={remat!r}; accepted are None, 'sqrt' or a positive whole number")
    if truncate is not None and truncate < 1:
        raise InputError(f"unroll: truncate={truncate}; accepted are None or a positive number of steps")

    def estimator(problem: Problem) -> HypergradientFn:
        def task(hyper, start, inner_batches, outer_batch, key):
            return learn_and_judge(problem, hyper, start, inner_batches, outer_batch, key, remat, truncate)

        def tasks(hyper, start, *work):
            values, (ends, info) = over_tasks(task, hyper, start, *work)
            value, info = jax.tree.map(lambda x: jnp.mean(x, axis=0), (values, info))
            return value, (ends, info)

        def differentiated(loss):
            def estimate(hyper, *work):
                (value, aux), grad = jax.value_and_grad(lambda h: loss(h, *work), has_aux=True)(hyper)
                return Hypergradient(value, grad, *aux)

            return estimate

        return HypergradientFn(differentiated(task), partial(inner.begin, problem), differentiated(tasks))

    return estimator


def learn_and_judge(
    problem: Problem,
    hyper: Any,
    start: InnerState | None,
    inner_batches: Any,
    outer_batch: Any,
    key: jax.Array,
    remat: inner.Remat = None,
    truncate: int | None = None,
) -> tuple[jax.Array, tuple[InnerState, dict[str, Any]]]:
    """The outer loss after inner learning, as a function of ``hyper`` that JAX can differentiate in any mode."""
    keys, steps = split(key), inner.length(inner_batches)
    state = inner.begin(problem, hyper, keys.init) if start is None else start
    ahead = 0 if truncate is None else max(0, steps - truncate)
    if ahead:
        frozen = jax.lax.stop_gradient(hyper)
        state, _ = inner.run(problem, frozen, state, jax.tree.map(lambda x: x[:ahead], inner_batches), keys.inner)
        state = jax.lax.stop_gradient(state)
    rest = jax.tree.map(lambda x: x[ahead:], inner_batches)
    state, losses = inner.run(problem, hyper, state, rest, keys.inner, remat, first=ahead)
    value, info = problem.outer_loss(hyper, state.params, outer_batch, keys.outer)
    return value, (state, {**info, "inner_loss": losses[-1]})


def forward() -> Estimator:
    """Forward mode: exact, memory independent of the steps, time proportional to the number of hyperparameters.

    For a handful of hyperparameters over long horizons (Franceschi et al. 2017, arXiv:1703.01785).
    """

    def estimator(problem: Problem) -> HypergradientFn:
        def estimate(hyper, start, inner_batches, outer_batch, key):
            flat, unravel = ravel_pytree(hyper)

            def value(vector):
                return learn_and_judge(problem, unravel(vector), start, inner_batches, outer_batch, key)

            def push(tangent):
                return jax.jvp(value, (flat,), (tangent,), has_aux=True)

            loss, grad, aux = jax.vmap(push, out_axes=(None, 0, None))(jnp.eye(flat.size, dtype=flat.dtype))
            return Hypergradient(loss, unravel(grad), *aux)

        return HypergradientFn(estimate, partial(inner.begin, problem))

    return estimator


def first_order() -> Estimator:
    """First-order approximation: what inner learning moved the parameters by is taken as a constant.

    With ``hyper`` the initialization this is first-order MAML (Finn et al. 2017); with a warm start it is first-order
    DARTS (Liu et al. 2019), the direct gradient of the outer loss. Biased: every path through the inner updates is cut.
    """

    def estimator(problem: Problem) -> HypergradientFn:
        def estimate(hyper, start, inner_batches, outer_batch, key):
            keys = split(key)
            begun = inner.begin(problem, hyper, keys.init) if start is None else start
            end, losses = inner.run(problem, hyper, begun, inner_batches, keys.inner)

            def value(h):
                params = end.params
                if start is None:
                    # the identity in value; in the gradient, end moves as one with the initialization
                    initial = problem.init(h, keys.init)
                    params = jax.tree.map(lambda e, w: e + (w - jax.lax.stop_gradient(w)), end.params, initial)
                return problem.outer_loss(h, params, outer_batch, keys.outer)

            (loss, info), grad = jax.value_and_grad(value, has_aux=True)(hyper)
            return Hypergradient(loss, grad, end, {**info, "inner_loss": losses[-1]})

        return HypergradientFn(estimate, partial(inner.begin, problem))

    return estimator


def weights_only() -> Estimator:
    """No hypergradient: the inner loop learns and ``hyper`` stays, for methods that decide afterwards (single-path
    SuperNets). The outer loss is not evaluated; ``value`` is the last inner loss."""

    def estimator(problem: Problem) -> HypergradientFn:
        def estimate(hyper, start, inner_batches, outer_batch, key):
            keys = split(key)
            begun = inner.begin(problem, hyper, keys.init) if start is None else start
            end, losses = inner.run(problem, hyper, begun, inner_batches, keys.inner)
            return Hypergradient(losses[-1], jax.tree.map(jnp.zeros_like, hyper), end, {"inner_loss": losses[-1]})

        return HypergradientFn(estimate, partial(inner.begin, problem))

    return estimator
