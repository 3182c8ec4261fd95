"""Losses of a task: a model's apply function -> ``(params, (x, y), key) -> (loss, info)``."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from metajax.types import Info, LossFn, Scalar


def scored(logits: jax.Array, y: jax.Array) -> tuple[Scalar, Info]:
    """Mean softmax cross-entropy of logits f32[n, classes] with labels i32[n], and ``accuracy``."""
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=-1)
    hit = jnp.argmax(logits, axis=-1).astype(y.dtype) == y
    return -jnp.mean(chosen), {"accuracy": jnp.mean(hit, dtype=logits.dtype)}


def cross_entropy(apply: Callable[..., Any]) -> LossFn:
    """Mean softmax cross-entropy with integer labels; reports ``accuracy``."""
    return lambda params, batch, key: scored(apply(params, batch[0]), batch[1])


def squared_error(apply: Callable[..., Any]) -> LossFn:
    """Mean squared error; reports ``mse``."""

    def loss(params, batch, key):
        x, y = batch
        error = jnp.mean(jnp.square(apply(params, x) - y))
        return error, {"mse": error}

    return loss
