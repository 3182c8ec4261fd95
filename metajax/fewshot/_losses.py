"""Losses of a task: a model's apply function -> ``(params, (x, y), key) -> (loss, info)``."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from metajax import nn
from metajax.types import Info, LossFn, Scalar


def scored(logits: jax.Array, y: jax.Array) -> tuple[Scalar, Info]:
    """Mean softmax cross-entropy of logits f32[n, classes] with labels i32[n], and ``accuracy``.

    A label that is none of the classes makes the loss NaN inside of a compiled program.

    Raises:
        InputError: if the labels are concrete and not all of 0 to ``classes - 1``.
    """
    losses = nn.label_cross_entropy(logits, y)
    hit = jnp.argmax(logits, axis=-1).astype(y.dtype) == y
    return jnp.mean(losses), {"accuracy": jnp.mean(hit, dtype=logits.dtype)}


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
