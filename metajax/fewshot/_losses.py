"""Losses of a task, and how they are made from a model's apply function."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Float, Integer

from metajax import nn
from metajax._typing import AnyArray, checked
from metajax.types import Batch, Info, Key, LossFn, Params, Scalar


@checked
def classification_loss(
    logits: Float[AnyArray, "*batch classes"], labels: Integer[AnyArray, "*batch"]
) -> tuple[Scalar, Info]:
    """Returns the mean softmax cross-entropy, and the info with ``accuracy``.

    Args:
        logits: Scores of each class.
        labels: The class of each example, 0 to ``classes - 1``. A label that is not one of the classes makes the loss NaN
            inside of a compiled program.

    Returns:
        The loss f32[], and ``{"accuracy": f32[]}``.

    Raises:
        InputError: If the labels are concrete and not all of 0 to ``classes - 1``.

    Example:
        >>> loss, info = classification_loss(jnp.array([[2.0, 0.0], [1.0, 3.0]]), jnp.array([0, 1]))
        >>> round(float(loss), 4), float(info["accuracy"])
        (0.1269, 1.0)
    """
    losses = nn.label_cross_entropy(logits, labels)
    hit = jnp.argmax(logits, axis=-1).astype(labels.dtype) == labels
    return jnp.mean(losses), {"accuracy": jnp.mean(hit, dtype=logits.dtype)}


def cross_entropy(apply: nn.Apply) -> LossFn:
    """Makes the mean softmax cross-entropy with integer labels; its info reports ``accuracy``.

    Args:
        apply: ``(params, x) -> logits f32[n, classes]``.

    Returns:
        ``(params, (x, y), key) -> (loss, info)`` with labels ``y`` i32[n] of 0 to ``classes - 1``. A label that is not a class
        raises ``InputError`` where its value is known, and makes the loss NaN inside of a compiled program.

    Example:
        >>> loss_fn = cross_entropy(lambda params, x: x @ params)
        >>> x, y = jnp.eye(3), jnp.arange(3)
        >>> loss, info = loss_fn(5.0 * jnp.eye(3), (x, y), None)
        >>> round(float(loss), 3), float(info["accuracy"])
        (0.013, 1.0)
    """

    def loss_fn(params: Params, batch: Batch, key: Key) -> tuple[Scalar, Info]:
        return classification_loss(apply(params, batch[0]), batch[1])

    return loss_fn


def squared_error(apply: nn.Apply) -> LossFn:
    """Makes the mean squared error; its info reports ``mse``.

    Args:
        apply: ``(params, x) -> predictions``, of the shape of the targets.

    Returns:
        ``(params, (x, y), key) -> (loss, info)``.

    Example:
        >>> loss_fn = squared_error(lambda params, x: params * x)
        >>> x = jnp.array([1.0, 2.0])
        >>> float(loss_fn(jnp.array(3.0), (x, 2.0 * x), None)[0])
        2.5
    """

    def loss_fn(params: Params, batch: Any, key: Key) -> tuple[Scalar, Info]:
        x, y = batch
        error = jnp.mean(jnp.square(apply(params, x) - y))
        return error, {"mse": error}

    return loss_fn
