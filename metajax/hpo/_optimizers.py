"""Optimizers whose learning rates and decays are arrays that a gradient flows through.

A rate is one value, a schedule, one value for each layer or one for each parameter.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from metajax._typing import checked
from metajax.types import InputError

Rate = Any
"""A scalar, a schedule ``step -> scalar``, or a pytree whose leaves stand for the parts of the parameters below them: a scalar
for a layer, an array for its every parameter."""


@checked
def interpolated_schedule(values: Float[Array, "..."], steps: int) -> Callable[[Any], jax.Array]:
    """Returns a schedule that interpolates linearly between values evenly spaced over the steps.

    One value is a constant, and ``steps`` values are one for each step. The schedule is differentiable in the values.

    Args:
        values: The values, of shape ``[n]`` with n from 1 to ``steps``.
        steps: The number of inner steps; the last value holds afterwards.

    Returns:
        A function ``step -> value``, for ``sgd`` and ``adam``.

    Raises:
        InputError: If there are more values than steps, none, or several axes.

    Example:
        >>> schedule = interpolated_schedule(jnp.array([0.4, 0.0]), steps=5)
        >>> [round(float(schedule(step)), 2) for step in range(6)]
        [0.4, 0.3, 0.2, 0.1, 0.0, 0.0]
    """
    if values.ndim != 1 or not 1 <= len(values) <= steps:
        raise InputError(
            f"interpolated_schedule: values must have one axis of 1 to steps={steps} values, got shape {values.shape}"
        )
    knots = jnp.linspace(0, steps - 1, len(values), dtype=values.dtype)
    return lambda step: jnp.interp(jnp.asarray(step, values.dtype), knots, values)


def sgd(
    learning_rate: Rate, momentum: float | jax.Array = 0.0, weight_decay: Rate = 0.0
) -> optax.GradientTransformation:
    """Gradient descent with heavy-ball momentum, differentiable in all of its hyperparameters.

    The update of a weight w with gradient g is ``v ← momentum · v + g + weight_decay · w``, ``w ← w - learning_rate · v``.

    Args:
        learning_rate: A scalar, a schedule ``step -> scalar``, or a pytree with a scalar for each layer or an array for each
            parameter.
        momentum: A scalar. The literal 0.0 leaves out its state.
        weight_decay: As ``learning_rate``.

    Returns:
        An optax transformation.

    Example:
        >>> params = {"a": jnp.ones(2), "b": jnp.ones(3)}
        >>> optimizer = sgd({"a": 0.1, "b": jnp.array([0.0, 1.0, 2.0])})  # one rate for a, one for each entry of b
        >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
        >>> updates["a"].tolist()[0] + 0.1 < 1e-6, updates["b"].tolist()
        (True, [-0.0, -1.0, -2.0])
    """
    decay, descend = add_decayed_weights(weight_decay), scale_by_learning_rate(learning_rate)
    is_plain = isinstance(momentum, float) and momentum == 0.0
    return optax.chain(decay, descend) if is_plain else optax.chain(decay, optax.trace(momentum), descend)


def adam(
    learning_rate: Rate,
    b1: float | jax.Array = 0.9,
    b2: float | jax.Array = 0.999,
    eps: float = 1e-8,
    weight_decay: Rate = 0.0,
) -> optax.GradientTransformation:
    """AdamW, differentiable in all of its hyperparameters.

    Its square root is that of a number no smaller than 1e-8, so that its derivative is finite where a gradient is zero.

    Args:
        learning_rate: A scalar, a schedule ``step -> scalar``, or a pytree with a scalar for each layer or an array for each
            parameter.
        b1: Decay of the first moment.
        b2: Decay of the second moment.
        eps: Added to the root of the second moment.
        weight_decay: As ``learning_rate``; decoupled from the moments.

    Returns:
        An optax transformation.

    References:
        Loshchilov and Hutter 2019, "Decoupled weight decay regularization", arXiv:1711.05101.

    Example:
        >>> def last_weight(rate):
        ...     optimizer, w = adam(rate, weight_decay=0.01), jnp.ones(())
        ...     updates, _ = optimizer.update(jnp.zeros(()), optimizer.init(w), w)  # the gradient is zero
        ...     return optax.apply_updates(w, updates)
        >>> round(float(jax.grad(last_weight)(0.1)), 4)  # finite: decay alone moves the weight
        -0.01
    """
    moments = optax.scale_by_adam(b1, b2, eps, eps_root=1e-8)  # pyright: ignore[reportArgumentType]
    return optax.chain(moments, add_decayed_weights(weight_decay), scale_by_learning_rate(learning_rate))


def scale_by_learning_rate(learning_rate: Rate) -> optax.GradientTransformation:
    """Multiplies updates by the negative learning rate."""
    return _with_rate(learning_rate, lambda rate, update, weight: -rate * update)


def add_decayed_weights(weight_decay: Rate) -> optax.GradientTransformation:
    """Adds ``weight_decay`` times the weights to the updates."""
    return _with_rate(weight_decay, lambda rate, update, weight: update + rate * weight)


def _with_rate(rate: Rate, combine: Callable[[Any, jax.Array, Any], jax.Array]) -> optax.GradientTransformation:
    """``combine(rate, update, weight)`` for every parameter; the state counts the steps if the rate is a schedule."""
    is_schedule = callable(rate)

    def init(params: Any) -> Any:
        return optax.ScaleByScheduleState(jnp.zeros((), jnp.int32)) if is_schedule else optax.EmptyState()

    def update(updates: Any, state: Any, params: Any = None):
        current_rate = rate(state.count) if is_schedule else rate
        weights = updates if params is None else params
        combine_leaves = lambda r, u, w: jax.tree.map(lambda a, b: combine(jnp.asarray(r).astype(a.dtype), a, b), u, w)
        new_updates = jax.tree.map(combine_leaves, current_rate, updates, weights)
        return new_updates, optax.ScaleByScheduleState(state.count + 1) if is_schedule else state

    return optax.GradientTransformation(init, update)
