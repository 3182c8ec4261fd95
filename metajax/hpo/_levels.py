"""Three levels and more: a learner is itself something that can be learned through."""

from collections.abc import Callable
from typing import Any

import jax

from metajax.bilevel import Inner, Solution
from metajax.types import Hyper, Key, Learner


def nested_inner(make: Callable[[Hyper], Learner], start: Callable[[Hyper], Any], remat: bool = True) -> Solution:
    """The inner part of a third level: it runs the learner that ``make(hyper)`` makes, itself a bilevel one, and differentiates
    through all of it. Exact; use it with ``warm_start=False``.

    An inner batch is a stack of the batches of that learner, so leaves of ``inner_batches`` are ``[1, updates, ...]``. The
    outer loss of the third level is given the learner's last state in place of parameters.

    Args:
        make: ``hyper -> Learner``; its outer learning rate, say, comes from ``hyper``.
        start: ``hyper ->`` the hyperparameters at which that learner begins.
        remat: compute each update again in the backward pass instead of keeping what it needs.

    Example: the learning rate of data weights, by the validation loss that they lead to.
        >>> import jax.numpy as jnp, optax
        >>> from metajax import bilevel
        >>> weighted = lambda h, w, b, key: (jax.nn.sigmoid(h) @ (w - b) ** 2, {})
        >>> inner = bilevel.Inner.descent(weighted, lambda h, key: jnp.zeros(()), lambda h: optax.sgd(0.1))
        >>> weigh = bilevel.Problem(inner, lambda h, w, b, key: ((w - b) ** 2, {}))
        >>> make = lambda rate: bilevel.learner(weigh, bilevel.unroll(), optax.sgd(rate), 2, warm_start=True)
        >>> judge = lambda rate, state, b, key: ((state.inner.params - b) ** 2, {})
        >>> third = bilevel.Problem(nested_inner(make, lambda rate: jnp.zeros(2)), judge)
        >>> estimate = bilevel.through_solution()(third)
        >>> batches = jnp.broadcast_to(jnp.array([1.0, -5.0]), (1, 3, 2, 2)), jnp.ones((1, 3))
        >>> found = estimate(jnp.asarray(1.0), None, batches, jnp.asarray(1.0), jax.random.key(0))
        >>> float(found.grad) < 0  # faster weights would have been better: the second target is an outlier
        True
    """

    def solve(hyper: Hyper, batches: Any, key: Key) -> Any:
        learner = make(hyper)

        def body(state, batch):
            return learner.update(state, batch)[0], None

        step = jax.checkpoint(body, prevent_cse=False) if remat else body  # pyright: ignore[reportPrivateImportUsage]
        return jax.lax.scan(step, learner.init(key, start(hyper)), batches)[0]

    return Inner.solution(solve)
