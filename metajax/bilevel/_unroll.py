"""Hypergradients by reverse mode through the inner loop."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from metajax.bilevel._inner import Descent, InnerState
from metajax.bilevel._probe import warn_of_nan_derivative
from metajax.bilevel._problem import Estimator, Hypergradient, HypergradientFn, Problem, descent, over_tasks, split
from metajax.bilevel._scan import Remat, length
from metajax.types import Batch, Hyper, InputError, Key, Scalar


def unroll(remat: Remat = None, truncate: int | None = None) -> Estimator:
    r"""Differentiates through the inner loop by reverse mode.

    With the inner steps $w_{s+1} = \Phi_s(w_s, h)$ from $w_0(h)$ and the outer loss $F(h, w_S)$, an adjoint runs backwards
    through the steps:

    $$\lambda_S = \frac{\partial F}{\partial w_S}, \quad
    \lambda_s = \Bigl(\frac{\partial \Phi_s}{\partial w_s}\Bigr)^{\!\top} \lambda_{s+1}, \qquad
    \frac{dF}{dh} = \frac{\partial F}{\partial h}
    + \sum_{s=0}^{S-1} \Bigl(\frac{\partial \Phi_s}{\partial h}\Bigr)^{\!\top} \lambda_{s+1}
    + \Bigl(\frac{\partial w_0}{\partial h}\Bigr)^{\!\top} \lambda_0$$

    It is exact, and memory grows with the steps unless they are rematerialized. MAML and exact second-order DARTS are this with
    few steps, tuning of learning rates and decays with many.

    Args:
        remat: What to keep for the backward pass: ``None`` keeps every step, ``"sqrt"`` every √steps-th state and a positive
            integer k every k-th state. The gradient is the same, at less memory and one more forward pass.
        truncate: Differentiates only the last ``truncate`` steps. The gradient is then biased, and an initialization
            learned through ``init`` gets none unless all steps are covered. ``None`` differentiates all steps.

    Returns:
        An estimator for problems made with ``Inner.descent``.

    Raises:
        InputError: If ``remat`` or ``truncate`` is not positive; later, if the problem is made with ``Inner.solution``.

    Deviations:
        Maclaurin et al. (2015) run the inner steps backwards in place of keeping them. Here they are kept or computed again.

    References:
        * Maclaurin et al. 2015, "Gradient-based hyperparameter optimization through reversible learning", arXiv:1502.03492.
        * Finn et al. 2017, "Model-agnostic meta-learning for fast adaptation of deep networks", arXiv:1703.03400.
        * Shaban et al. 2019, "Truncated back-propagation for bilevel optimization", arXiv:1810.10667.

    Example:
        >>> import optax
        >>> from metajax import bilevel
        >>> bowl = lambda h, w, batch, key: (0.5 * w**2, {})
        >>> inner = bilevel.Inner.descent(bowl, lambda h, key: jnp.ones(()), lambda h: optax.sgd(h))
        >>> problem = bilevel.Problem(inner, bowl)
        >>> args = jnp.asarray(0.5), None, jnp.zeros(3), jnp.zeros(()), jax.random.key(0)
        >>> exact, last = (bilevel.unroll(truncate=k)(problem)(*args).grad for k in (None, 1))
        >>> float(exact), float(last)  # w_3 = (1 - h)^3, so the derivative of w_3^2 / 2 is -3 (1 - h)^5; one step sees a third
        (-0.09375, -0.03125)
    """
    if not (remat is None or remat == "sqrt" or (isinstance(remat, int) and remat >= 1)):
        raise InputError(f"unroll: remat must be None, 'sqrt' or an integer >= 1, got {remat!r}")
    if truncate is not None and truncate < 1:
        raise InputError(
            f"unroll: truncate must be None or an integer >= 1 (the number of steps to differentiate), got {truncate}"
        )

    def estimator(problem: Problem[Any]) -> HypergradientFn:
        problem = descent(problem, "unroll")
        inner = problem.inner

        def task(hyper, start, inner_batches, outer_batch, key):
            warn_of_nan_derivative(inner, hyper, key)
            return learn_and_judge(problem, hyper, start, inner_batches, outer_batch, key, remat, truncate)

        def tasks(hyper, start, *work):
            values, (ends, info) = over_tasks(task, hyper, start, *work)
            value, info = jax.tree.map(lambda x: jnp.mean(x, axis=0), (values, info))
            return value, (ends, info)

        return HypergradientFn(_differentiated(task), inner.begin, _differentiated(tasks))

    return estimator


def _differentiated(loss: Callable[..., Any]) -> Callable[..., Hypergradient]:
    """The hypergradient of a loss ``(hyper, *work) -> (value, (end, info))``."""

    def estimate(hyper: Hyper, *work: Any) -> Hypergradient:
        (value, aux), grad = jax.value_and_grad(lambda h: loss(h, *work), has_aux=True)(hyper)
        return Hypergradient(value, grad, *aux)

    return estimate


def learn_and_judge(
    problem: Problem[Descent],
    hyper: Hyper,
    start: InnerState | None,
    inner_batches: Batch,
    outer_batch: Batch,
    key: Key,
    remat: Remat = None,
    truncate: int | None = None,
) -> tuple[Scalar, tuple[InnerState, dict[str, Any]]]:
    """The outer loss after inner learning, as a function of ``hyper`` that JAX can differentiate in any mode."""
    inner, keys, steps = problem.inner, split(key), length(inner_batches)
    state = inner.begin(hyper, keys.init) if start is None else start
    n_frozen = 0 if truncate is None else max(0, steps - truncate)
    if n_frozen:
        frozen = jax.lax.stop_gradient(hyper)
        state, _ = inner.run(frozen, state, jax.tree.map(lambda x: x[:n_frozen], inner_batches), keys.inner)
        state = jax.lax.stop_gradient(state)
    remaining_batches = jax.tree.map(lambda x: x[n_frozen:], inner_batches)
    state, losses = inner.run(hyper, state, remaining_batches, keys.inner, remat, first=n_frozen)
    value, info = problem.outer_loss(hyper, state.params, outer_batch, keys.outer)
    return value, (state, {**info, "inner_loss": losses[-1]})
