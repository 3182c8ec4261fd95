"""Losses of integer labels that notice a label which is none of the classes.

Indexing with a label out of range is silent in JAX: a negative one counts from the end, a one-hot row is all zeros. Here such a
label raises ``InputError`` where its value is known, and gives NaN inside of a compiled program, where it is not.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from metajax.types import InputError


def check_labels(labels: jax.Array | np.ndarray, classes: int, name: str = "labels") -> None:
    """Raises where labels are no classes. Looks at concrete arrays only: inside of ``jit`` and ``vmap`` nothing is checked.

    Args:
        labels: i32[...], which should be 0 to ``classes - 1``.
        classes: number of classes.
        name: of the argument, for the error.

    Raises:
        InputError: if the labels are no integers, or one of them is negative or at least ``classes``.

    Example:
        >>> check_labels(np.array([0, 2, 1]), 3)
        >>> check_labels(np.array([1, 2, 3]), 3)
        Traceback (most recent call last):
        metajax.types.InputError: labels: 3 is not a class; accepted are the integers 0 to 2
    """
    if not jnp.issubdtype(labels.dtype, jnp.integer) and labels.dtype != bool:
        raise InputError(f"{name}: are {labels.dtype}; accepted are the integers 0 to {classes - 1}")
    if isinstance(labels, Tracer):
        return
    values = np.asarray(labels)
    wrong = values[(values < 0) | (values >= classes)]
    if wrong.size:
        raise InputError(f"{name}: {wrong.flat[0]} is not a class; accepted are the integers 0 to {classes - 1}")


def one_hot(labels: jax.Array, classes: int, dtype: jnp.dtype | type | None = None) -> jax.Array:
    """One-hot rows [..., classes] of labels i32[...]; a row of NaN where a label is no class.

    Args:
        labels: i32[...], 0 to ``classes - 1``.
        classes: number of classes.
        dtype: of the result; JAX's default float if none is given, so float64 where x64 is on.

    Raises:
        InputError: if the labels are concrete and not all classes.

    Example:
        >>> one_hot(jnp.array([1, 0]), 2).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    check_labels(labels, classes)
    rows = jax.nn.one_hot(labels, classes, dtype=dtype)
    return jnp.where(_is_class(labels, classes)[..., None], rows, jnp.nan)


def label_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Softmax cross-entropy f32[n] of logits f32[n, classes] with labels i32[n]; NaN where a label is no class.

    Args:
        logits: f32[n, classes].
        labels: i32[n], 0 to ``classes - 1``.

    Raises:
        InputError: if the labels are concrete and not all classes.

    Example:
        >>> round(float(label_cross_entropy(jnp.zeros((1, 4)), jnp.array([3]))[0]), 3)
        1.386
    """
    classes = logits.shape[-1]
    check_labels(labels, classes)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], axis=-1)[..., 0]
    return jnp.where(_is_class(labels, classes), -chosen, jnp.nan)


def _is_class(labels: jax.Array, classes: int) -> jax.Array:
    return (labels >= 0) & (labels < classes)
