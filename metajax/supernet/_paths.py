"""The inner loss of several paths that share weights."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax._typing import checked
from metajax.types import Info, Scalar


@checked
def mean_over_paths(
    path_loss: Callable[[jax.Array], tuple[Scalar, Info]],
    outputs: Callable[[jax.Array], Any] | None,
    encodings: Float[Array, "paths width"],
) -> tuple[Float[Array, ""], Info]:
    """Returns the mean of the paths' losses.

    Args:
        path_loss: A function ``(encoding) -> (loss, info)`` of one path.
        outputs: Not used; it is part of the contract ``OverPaths``.
        encodings: The paths, f32[paths, width].

    Returns:
        The mean loss, and the mean of the info.

    Example:
        >>> path_loss = lambda encoding: (encoding.sum(), {"accuracy": encoding[0]})
        >>> loss, info = mean_over_paths(path_loss, None, jnp.asarray([[1.0, 0.0], [0.0, 3.0]]))
        >>> float(loss), float(info["accuracy"])
        (2.0, 0.5)
    """
    if encodings.shape[0] == 1:
        return path_loss(encodings[0])
    losses, info = jax.lax.map(path_loss, encodings)
    return jnp.mean(losses), jax.tree.map(lambda x: jnp.mean(x, axis=0), info)


@checked
def distill_from_first(
    path_loss: Callable[[jax.Array], tuple[Scalar, Info]],
    outputs: Callable[[jax.Array], Any],
    encodings: Float[Array, "paths width"],
) -> tuple[Float[Array, ""], Info]:
    """Distills in place: the first path learns from the labels, the others from its outputs.

    The first path is to be the largest. The result is the mean of its loss and of the other paths' cross-entropies to its
    probabilities.

    Args:
        path_loss: A function ``(encoding) -> (loss, info)`` of one path.
        outputs: A function ``(encoding) -> logits f32[n, classes]`` of the network for the batch.
        encodings: The paths, f32[paths, width], the largest path first.

    Returns:
        The mean loss, and the info of the first path.

    References:
        Yu and Huang 2019, "Universally slimmable networks and improved training techniques", arXiv:1903.05134.

    Example:
        >>> logits = lambda encoding: jnp.log(encoding[None])  # the probabilities of one example
        >>> path_loss = lambda encoding: (-logits(encoding)[0, 0], {})
        >>> loss, _ = distill_from_first(path_loss, logits, jnp.asarray([[0.5, 0.5], [0.25, 0.75]]))
        >>> round(float(loss), 4)  # mean of 0.6931 and -(log 0.25 + log 0.75) / 2 = 0.8370
        0.7651
    """
    loss, info = path_loss(encodings[0])
    teacher = jax.lax.stop_gradient(jax.nn.softmax(outputs(encodings[0])))
    distance = lambda encoding: -jnp.mean(jnp.sum(teacher * jax.nn.log_softmax(outputs(encoding)), axis=-1))
    distances = jax.lax.map(distance, encodings[1:])
    return (loss + jnp.sum(distances)) / len(encodings), info
