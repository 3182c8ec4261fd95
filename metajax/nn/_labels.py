"""Losses of integer labels that notice a label that is not one of the classes.

JAX says nothing of an index out of range: a negative one counts from the end, a one-hot row is all zeros. Here such a label
raises ``InputError`` where its value is known, and gives NaN inside of a compiled program, where it is not.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Shaped

from metajax._typing import AnyArray, checked
from metajax.types import InputError


def check_labels(labels: jax.Array | np.ndarray, classes: int, name: str = "labels") -> None:
    """Raises an error where labels are not classes.

    It looks at concrete arrays only: inside of ``jit`` and ``vmap`` the values are not checked.

    Args:
        labels: Integers of any shape, which should be 0 to ``classes - 1``.
        classes: Number of classes.
        name: Name of the argument, for the error.

    Raises:
        InputError: If the labels are not integers, or one of them is negative or at least ``classes``.

    Example:
        >>> check_labels(np.array([0, 2, 1]), 3)
        >>> check_labels(np.array([1, 2, 3]), 3)
        Traceback (most recent call last):
        metajax.types.InputError: labels must be integers from 0 to 2, got 3
    """
    if not jnp.issubdtype(labels.dtype, jnp.integer) and labels.dtype != bool:
        raise InputError(f"{name} must be integers from 0 to {classes - 1}, got dtype {labels.dtype}")
    if isinstance(labels, Tracer):
        return
    values = np.asarray(labels)
    out_of_range = values[(values < 0) | (values >= classes)]
    if out_of_range.size:
        raise InputError(f"{name} must be integers from 0 to {classes - 1}, got {out_of_range.flat[0]}")


@checked
def one_hot(
    labels: Shaped[AnyArray, "*batch"], classes: int, dtype: jnp.dtype | type | None = None
) -> Shaped[Array, "*batch {classes}"]:
    """Returns one-hot rows of labels, and a row of NaN where a label is not a class.

    Args:
        labels: Integers, 0 to ``classes - 1``.
        classes: Number of classes.
        dtype: Type of the result; JAX's default float if none is given, so float64 where x64 is on.

    Returns:
        One-hot rows along a new last axis.

    Raises:
        InputError: If the labels are concrete and not all classes.

    Example:
        >>> one_hot(jnp.array([1, 0]), 2).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    check_labels(labels, classes)
    rows = jax.nn.one_hot(labels, classes, dtype=dtype)
    return jnp.where(_is_class(labels, classes)[..., None], rows, jnp.nan)


@checked
def label_cross_entropy(
    logits: Float[AnyArray, "*batch classes"], labels: Shaped[AnyArray, "*batch"]
) -> Float[Array, "*batch"]:
    """Returns the softmax cross-entropy of logits with labels, and NaN where a label is not a class.

    Args:
        logits: Scores of each class.
        labels: Integers, 0 to ``classes - 1``.

    Returns:
        The loss of each example.

    Raises:
        InputError: If the labels are concrete and not all classes.

    Example:
        >>> round(float(label_cross_entropy(jnp.zeros((1, 4)), jnp.array([3]))[0]), 3)
        1.386
    """
    classes = logits.shape[-1]
    check_labels(labels, classes)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], axis=-1)[..., 0]
    return jnp.where(_is_class(labels, classes), -chosen, jnp.nan)


def _is_class(labels: jax.Array | np.ndarray, classes: int) -> Any:
    """Whether each label is one of the classes."""
    return (labels >= 0) & (labels < classes)
