"""One level alone: plain training of a loss, as a Learner."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import optax

from metajax.bilevel._with_info import with_info
from metajax.types import Batch, Info, Key, Learner, LossFn, Params, Scalar, stream


class SupervisedState(NamedTuple):
    """Weights in training.

    Attributes:
        step: Number of updates made so far.
        key: The key from which the randomness of every step is derived.
        params: The weights.
        opt_state: The state of the optimizer.
    """

    step: jax.Array
    key: Key
    params: Params
    opt_state: Any


class SupervisedInfo(TypedDict):
    """What an update of ``supervised`` reports, beside what the loss reports.

    Attributes:
        loss: The loss before the update, f[].

    Example:
        >>> mean_squared = lambda params, batch, key: (jnp.mean((params - batch) ** 2), {"largest": jnp.max(batch)})
        >>> learner = supervised(lambda key: jnp.zeros(()), mean_squared, optax.sgd(0.5))
        >>> _, info = learner.update(learner.init(jax.random.key(0)), jnp.ones(3))
        >>> sorted(info)
        ['largest', 'loss']
    """

    loss: Scalar


def supervised(init: Callable[..., Params], loss_fn: LossFn, optimizer: optax.GradientTransformation) -> Learner:
    """Trains weights by gradient descent on a loss: the plain training loop as a ``Learner``.

    Use it for what a search has decided, which is then trained for itself, and for baselines without meta-learning. The loss
    of step t gets the key ``fold_in(state.key, t)``. ``info`` holds ``loss``, the loss before the update, and what ``loss_fn``
    reports.

    Args:
        init: ``(key, ...) -> params``. Arguments of ``learner.init`` after the key are passed on to it.
        loss_fn: ``(params, batch, key) -> (loss, info)``.
        optimizer: Any optax transformation.

    Returns:
        A learner with ``init(key, ...) -> SupervisedState`` and ``update(state, batch) -> (state, info)``.

    Example:
        >>> mean_squared = lambda params, batch, key: (jnp.mean((params - batch) ** 2), {})
        >>> learner = supervised(lambda key: jnp.zeros(()), mean_squared, optax.sgd(0.5))
        >>> state, info = learner.update(learner.init(jax.random.key(0)), jnp.ones(3))
        >>> float(state.params), float(info["loss"])
        (1.0, 1.0)
    """

    def begin(key: Key, *args: Any, **kwargs: Any) -> SupervisedState:
        params = init(stream(key, "init"), *args, **kwargs)
        return SupervisedState(jnp.zeros((), jnp.int32), key, params, optimizer.init(params))

    def update(state: SupervisedState, batch: Batch) -> tuple[SupervisedState, Info]:
        key = jax.random.fold_in(state.key, state.step)
        (value, info), grads = jax.value_and_grad(with_info(loss_fn, "loss_fn"), has_aux=True)(state.params, batch, key)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        supervised_info: SupervisedInfo = {"loss": value}
        return SupervisedState(state.step + 1, state.key, params, opt_state), {**supervised_info, **info}

    return Learner(begin, update)
