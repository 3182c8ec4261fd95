"""Inner learning without a hypergradient."""

from typing import Any

import jax
import jax.numpy as jnp

from metajax.bilevel._problem import Estimator, Hypergradient, HypergradientFn, InnerInfo, Problem, descent, split


def weights_only() -> Estimator:
    """Runs the inner loop and leaves ``hyper`` as it is.

    It is for methods that train the weights first and decide afterwards, such as single-path SuperNets, and for the warm-up of
    a search. The gradient is zero, the outer loss is not evaluated, and ``value`` is the last inner loss.

    Returns:
        An estimator for problems made with ``Inner.descent``.

    Raises:
        InputError: When it is given a problem made with ``Inner.solution``.

    Example:
        >>> import optax
        >>> from metajax import bilevel
        >>> bowl = lambda h, w, batch, key: (0.5 * w**2, {})
        >>> inner = bilevel.Inner.descent(bowl, lambda h, key: jnp.ones(()), lambda h: optax.sgd(h))
        >>> fn = bilevel.weights_only()(bilevel.Problem(inner, bowl))
        >>> result = fn(jnp.asarray(0.5), None, jnp.zeros(2), jnp.zeros(()), jax.random.key(0))
        >>> float(result.grad), float(result.end.params)
        (0.0, 0.25)
    """

    def estimator(problem: Problem[Any]) -> HypergradientFn:
        problem = descent(problem, "weights_only")
        inner = problem.inner

        def estimate(hyper, start, inner_batches, outer_batch, key):
            keys = split(key)
            state = inner.begin(hyper, keys.init) if start is None else start
            end, losses = inner.run(hyper, state, inner_batches, keys.inner)
            info: InnerInfo = {"inner_loss": losses[-1]}
            return Hypergradient(losses[-1], jax.tree.map(jnp.zeros_like, hyper), end, info)

        return HypergradientFn(estimate, inner.begin)

    return estimator
