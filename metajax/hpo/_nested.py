"""Three levels and more: a learner is itself something that can be learned through."""

from collections.abc import Callable
from typing import Any

import jax

from metajax.bilevel import Inner, Solution
from metajax.types import Batch, Hyper, Key, Learner


def nested_inner(
    make_learner: Callable[[Hyper], Learner], init_hyper: Callable[[Hyper], Any], remat: bool = True
) -> Solution:
    """Makes the inner part of a third level: a whole run of a learner that is itself a bilevel one.

    The solution of the inner problem is the learner's last state, which the outer loss of the third level is given in place of
    parameters. ``bilevel.through_solution()`` differentiates through all of it, exactly. An inner batch is a stack of the
    learner's batches, so leaves of ``inner_batches`` are ``[1, updates, ...]``; the search cannot be warm-started.

    Args:
        make_learner: Makes the learner from the hyperparameters of the third level: its outer learning rate, say.
        init_hyper: Makes from them the hyperparameters at which that learner begins.
        remat: Whether to compute each update again in the backward pass instead of keeping what it needs.

    Returns:
        The inner part of a ``bilevel.Problem``.

    Example:
        >>> import jax.numpy as jnp, optax  # the learning rate of data weights, by the validation loss that they lead to
        >>> from metajax import bilevel, hpo
        >>> weighted = lambda h, w, b, key: (jax.nn.sigmoid(h) @ (w - b) ** 2, {})
        >>> descent = bilevel.Inner.descent(weighted, lambda h, key: jnp.zeros(()), lambda h: optax.sgd(0.1))
        >>> weigh = bilevel.Problem(descent, lambda h, w, b, key: ((w - b) ** 2, {}))
        >>> make = lambda rate: bilevel.learner(weigh, bilevel.unroll(), optax.sgd(rate), 2, warm_start=True)
        >>> judge = lambda rate, state, b, key: ((state.inner.params - b) ** 2, {})
        >>> fn = bilevel.through_solution()(bilevel.Problem(hpo.nested_inner(make, lambda rate: jnp.zeros(2)), judge))
        >>> batches = jnp.broadcast_to(jnp.array([1.0, -5.0]), (1, 3, 2, 2)), jnp.ones((1, 3))
        >>> bool(fn(jnp.asarray(1.0), None, batches, jnp.asarray(1.0), jax.random.key(0)).grad < 0)  # -5 is an outlier
        True
    """

    def solve(hyper: Hyper, batches: Batch, key: Key) -> Any:
        learner = make_learner(hyper)

        def body(state, batch):
            return learner.update(state, batch)[0], None

        step = jax.checkpoint(body, prevent_cse=False) if remat else body  # pyright: ignore[reportPrivateImportUsage]
        return jax.lax.scan(step, learner.init(key, init_hyper(hyper)), batches)[0]

    return Inner.solution(solve)
