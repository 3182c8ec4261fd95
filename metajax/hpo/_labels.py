"""Learned target labels, for the slot ``labels``."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from metajax._typing import AnyArray, checked
from metajax.hpo._training import Component


def label_smoothing(per_class: int | None = None) -> Component:
    r"""Learns which share ``sigmoid(h)`` of every target is spread evenly over the classes.

    For a target $y$ over $K$ classes,

    $$\tilde y = \bigl(1 - \sigma(h)\bigr)\, y + \frac{\sigma(h)}{K}$$

    Args:
        per_class: The number of classes, to learn one share for each of them; ``None`` learns one share for all.

    Returns:
        A component for the slot ``labels``. The share is 1.8% at the start.

    Deviations:
        The share of the paper is fixed at 0.1. Here it is learned, for all classes or for each.

    References:
        Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision", arXiv:1512.00567.

    Example:
        >>> smoothing = label_smoothing()
        >>> smoothing.apply(jnp.zeros(()), jnp.array([[1.0, 0.0]]), jnp.array([0])).tolist()  # a share of 1/2
        [[0.75, 0.25]]
    """

    @checked
    def apply(
        h: Float[AnyArray, "..."], targets: Float[AnyArray, "examples classes"], index: Integer[AnyArray, " examples"]
    ) -> Float[Array, "examples classes"]:
        targets = jnp.asarray(targets)
        share = jax.nn.sigmoid(h if per_class is None else targets @ h)
        share = jnp.broadcast_to(share, targets.shape[:1])[:, None]
        return targets * (1 - share) + share / targets.shape[-1]

    return Component(lambda key: jnp.full(() if per_class is None else per_class, -4.0), apply)


def label_correction(n: int, classes: int, trust: float = 4.0) -> Component:
    """Learns a distribution over the classes for each training example, which begins near its label.

    The target of example i is the softmax of ``h_i`` plus ``trust`` at the given class. Where half of the labels are wrong this
    finds the right ones as well as the wrong ones.

    Args:
        n: The number of training examples.
        classes: The number of classes.
        trust: The logit of the given label over the other classes at the start; larger values trust the labels more.

    Returns:
        A component for the slot ``labels``.

    Example:
        >>> correction = label_correction(n=10, classes=2)
        >>> target = correction.apply(correction.init(jax.random.key(0)), jnp.array([[1.0, 0.0]]), jnp.array([3]))
        >>> round(float(target[0, 0]), 2)  # the given class at the start
        0.98
    """

    @checked
    def apply(
        h: Float[AnyArray, "..."], targets: Float[AnyArray, "examples classes"], index: Integer[AnyArray, " examples"]
    ) -> Float[Array, "examples classes"]:
        return jax.nn.softmax(h[index] + trust * targets)

    return Component(lambda key: jnp.zeros((n, classes)), apply)
