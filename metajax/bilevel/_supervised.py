"""One level alone: plain training of a loss, as a Learner."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metajax.types import Info, Key, Learner, LossFn, Params, stream


class SupervisedState(NamedTuple):
    """Weights in training."""

    step: jax.Array
    key: Key
    params: Params
    optimizer: Any


def supervised(init: Callable[[Key], Params], loss: LossFn, optimizer: optax.GradientTransformation) -> Learner:
    """Descends ``loss``; what is found by a search is trained alone by it.

    Args:
        init: ``(key) -> params``.
        loss: ``(params, batch, key) -> (loss, info)``.
        optimizer: for the weights.

    Example:
        >>> square = lambda params, batch, key: (jnp.mean((params - batch) ** 2), {})
        >>> made = supervised(lambda key: jnp.zeros(()), square, optax.sgd(0.5))
        >>> state, info = made.update(made.init(jax.random.key(0)), jnp.ones(3))
        >>> float(state.params), float(info["loss"])
        (1.0, 1.0)
    """

    def start(key: Key) -> SupervisedState:
        params = init(stream(key, "init"))
        return SupervisedState(jnp.zeros((), jnp.int32), key, params, optimizer.init(params))

    def update(state: SupervisedState, batch: Any) -> tuple[SupervisedState, Info]:
        now = jax.random.fold_in(state.key, state.step)
        (value, info), grads = jax.value_and_grad(loss, has_aux=True)(state.params, batch, now)
        updates, kept = optimizer.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        return SupervisedState(state.step + 1, state.key, params, kept), {"loss": value, **info}

    return Learner(start, update)
