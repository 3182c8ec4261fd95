"""DARTS (Liu et al. 2019, arXiv:1806.09055): the architecture is the hyperparameter of a warm-started bilevel problem."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from metajax import bilevel
from metajax.nn import Functional
from metajax.space import Space
from metajax.space.relax import Rule, resolve
from metajax.types import Learner, LossFn


def darts(
    space: Space,
    network: Functional,
    loss: Callable[[Callable[..., Any]], LossFn],
    inner_optimizer: optax.GradientTransformation,
    outer_optimizer: optax.GradientTransformation,
    estimator: bilevel.Estimator | None = None,
    rule: str | Rule = "softmax",
    inner_steps: int = 1,
) -> Learner:
    """Searches an architecture: weights on training data and the encoding on validation data, in turn.

    ``init(key, {"arch": space.zeros()}) -> state`` and ``update(state, (inner_batches, outer_batch))``; the
    logits are ``state.hyper["arch"]``, the shared weights ``state.inner.params``.

    Args:
        space: of architectures.
        network: ``apply(params, x, encoding) -> logits``.
        loss: makes a loss from an apply function, such as ``fewshot.cross_entropy``.
        inner_optimizer: for the weights.
        outer_optimizer: for the logits.
        estimator: ``bilevel.first_order()``; ``bilevel.unroll()`` (default) is the exact second order, which DARTS
            approximates by ``bilevel.finite_difference()``; ``bilevel.implicit("neumann")`` is iDARTS.
        rule: the relaxation, see ``metajax.space.relax``.
        inner_steps: weight updates for each update of the encoding.
    """
    relaxation = resolve(rule)

    def through(hyper, params, batch, key):
        encoding = space.relax(hyper["arch"], relaxation, jax.random.fold_in(key, 0))
        return loss(lambda p, x: network.apply(p, x, encoding))(params, batch, jax.random.fold_in(key, 1))

    problem = bilevel.Problem(through, through, lambda hyper, key: network.init(key), lambda hyper: inner_optimizer)
    return bilevel.learner(problem, estimator or bilevel.unroll(), outer_optimizer, inner_steps, warm_start=True)


def discretise(space: Space, logits: Any) -> dict[str, Any]:
    """The architecture that takes the largest logit of every choice, as a plain dictionary."""
    sharp = jax.tree.map(lambda x: jax.nn.one_hot(jnp.argmax(x), x.shape[-1], dtype=jnp.float32), logits)
    return space.decode(jnp.concatenate([sharp[name] for name in space.domains]))[0]
