"""Optimizers whose rates and decays are arrays that a gradient flows through: one value, a schedule, one for each layer or
for each parameter."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from metajax.types import InputError

Rate = Any
"""A scalar, a schedule ``step -> scalar``, or a pytree whose leaves stand for the parts of the parameters below them: a scalar
for a layer, an array for its every parameter."""


def schedule(values: jax.Array, steps: int) -> Callable[[jax.Array], jax.Array]:
    """Straight lines between values evenly spaced over the steps: one value is a constant, ``steps`` values are one for each.

    Args:
        values: f32[n], n from 1 to ``steps``.
        steps: of the inner loop; the last value holds afterwards.

    Raises:
        InputError: if there are more values than steps, or none.

    Example:
        >>> rate = schedule(jnp.array([0.4, 0.0]), steps=5)
        >>> [round(float(rate(t)), 2) for t in range(6)]
        [0.4, 0.3, 0.2, 0.1, 0.0, 0.0]
    """
    if values.ndim != 1 or not 1 <= len(values) <= steps:
        raise InputError(
            f"schedule: values has shape {values.shape}; accepted are 1 to steps={steps} values along one axis"
        )
    knots = jnp.linspace(0, steps - 1, len(values), dtype=values.dtype)
    return lambda step: jnp.interp(jnp.asarray(step, values.dtype), knots, values)


def sgd(rate: Rate, momentum: Any = 0.0, decay: Rate = 0.0) -> optax.GradientTransformation:
    """Gradient descent with heavy-ball momentum; ``decay`` times the weights is added to the gradient.

    Args:
        rate: a ``Rate``.
        momentum: scalar; the literal 0.0 leaves out its state.
        decay: a ``Rate``.

    Example:
        >>> params = {"a": jnp.ones(2), "b": jnp.ones(3)}
        >>> updates, _ = (made := sgd({"a": 0.1, "b": jnp.array([0.0, 1.0, 2.0])})).update(params, made.init(params), params)
        >>> [float(u) for u in updates["b"]]
        [-0.0, -1.0, -2.0]
    """
    parts = [decayed(decay), scaled(rate)]
    plain = isinstance(momentum, float) and momentum == 0.0
    return optax.chain(*parts) if plain else optax.chain(parts[0], optax.trace(momentum), parts[1])


def adam(rate: Rate, b1: Any = 0.9, b2: Any = 0.999, eps: float = 1e-8, decay: Rate = 0.0):
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101). Its square root is that of a number no smaller than 1e-8, so that
    its derivative is finite where a gradient is zero.

    Example:
        >>> made = adam(schedule(jnp.array([0.1, 0.0]), 10), decay=0.01)
        >>> bool(jnp.isfinite(made.update(jnp.zeros(2), made.init(jnp.ones(2)), jnp.ones(2))[0]).all())
        True
    """
    return optax.chain(optax.scale_by_adam(b1, b2, eps, eps_root=1e-8), decayed(decay), scaled(rate))


def scaled(rate: Rate) -> optax.GradientTransformation:
    """Updates times the negative rate."""
    return _with_rate(rate, lambda r, update, weight: -r * update)


def decayed(decay: Rate) -> optax.GradientTransformation:
    """Updates plus ``decay`` times the weights."""
    return _with_rate(decay, lambda r, update, weight: update + r * weight)


def _with_rate(rate: Rate, combine: Callable[[Any, jax.Array, Any], jax.Array]) -> optax.GradientTransformation:
    """``combine(rate, update, weight)`` for every parameter; the state counts the steps if the rate is a schedule."""
    timed = callable(rate)

    def init(params: Any) -> Any:
        return optax.ScaleByScheduleState(jnp.zeros((), jnp.int32)) if timed else optax.EmptyState()

    def update(updates: Any, state: Any, params: Any = None):
        now = rate(state.count) if timed else rate
        weights = updates if params is None else params
        whole = lambda r, u, w: jax.tree.map(lambda a, b: combine(jnp.asarray(r).astype(a.dtype), a, b), u, w)
        changed = jax.tree.map(whole, now, updates, weights)
        return changed, optax.ScaleByScheduleState(state.count + 1) if timed else state

    return optax.GradientTransformation(init, update)
