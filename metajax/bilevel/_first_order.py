"""First-order hypergradients: the effect of the hyperparameters on inner learning is left out."""

import jax

from metajax.bilevel._inner import Descent, InnerState
from metajax.bilevel._problem import Estimator, Hypergradient, Problem, descent_estimator, split
from metajax.types import Batch, Hyper, Key


def first_order() -> Estimator:
    r"""Takes what inner learning adds to the parameters as a constant.

    With the parameters $w_S = w_0(h) + \Delta$ after the inner steps, the estimate is

    $$\frac{d}{dh} \, F\bigl(h, w_0(h) + \Delta\bigr) \quad \text{with } \Delta \text{ held fixed}$$

    If ``hyper`` is the initialization this is first-order MAML; with a warm start it is first-order DARTS, the direct gradient
    of the outer loss. It is biased, because every path through the inner updates is cut: what acts through learning alone (a
    learning rate, a decay, the weights of examples) gets a gradient of zero.

    Returns:
        An estimator for problems made with ``Inner.descent``.

    Raises:
        InputError: When it is given a problem made with ``Inner.solution``.

    References:
        * Finn et al. 2017, "Model-agnostic meta-learning for fast adaptation of deep networks", arXiv:1703.03400.
        * Liu et al. 2019, "DARTS: Differentiable architecture search", arXiv:1806.09055.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from metajax import bilevel
        >>> bowl = lambda h, w, batch, key: (0.5 * w**2, {})
        >>> inner = bilevel.Inner.descent(bowl, lambda h, key: h, lambda h: optax.sgd(0.5))  # h is the initialization
        >>> args = jnp.asarray(1.0), None, jnp.zeros(2), jnp.zeros(()), jax.random.key(0)
        >>> problem = bilevel.Problem(inner, bowl)
        >>> [float(estimator(problem)(*args).grad) for estimator in (bilevel.first_order(), bilevel.unroll())]
        [0.25, 0.0625]
    """
    return descent_estimator("first_order", _estimate)


def _estimate(
    problem: Problem[Descent],
    hyper: Hyper,
    start: InnerState | None,
    inner_batches: Batch,
    outer_batch: Batch,
    key: Key,
) -> Hypergradient:
    """The hypergradient with what inner learning adds as a constant; see ``first_order``."""
    inner = problem.inner
    keys = split(key)
    state = inner.begin(hyper, keys.init) if start is None else start
    end, losses = inner.run(hyper, state, inner_batches, keys.inner)

    def value(h):
        params = end.params
        if start is None:
            # This is the identity in value. In the gradient, the end moves as one with the initialization.
            initial = inner.init(h, keys.init)
            params = jax.tree.map(lambda e, w: e + (w - jax.lax.stop_gradient(w)), end.params, initial)
        return problem.outer_loss(h, params, outer_batch, keys.outer)

    (loss, info), grad = jax.value_and_grad(value, has_aux=True)(hyper)
    return Hypergradient(loss, grad, end, {**info, "inner_loss": losses[-1]})
