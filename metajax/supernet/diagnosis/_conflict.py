"""How the paths of a SuperNet pull at the weights that they share."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from metajax._typing import checked
from metajax.types import InputError, Params, Scalar


@checked
def gradient_conflict(
    loss: Callable[[Params, jax.Array], Scalar], params: Params, encodings: Float[Array, "paths width"]
) -> Float[Array, ""]:
    """Returns the mean cosine between the gradients of every two paths in the shared weights.

    1 is harmony; a negative number is conflict.

    Args:
        loss: A function ``(params, encoding) -> scalar``.
        params: The shared weights.
        encodings: The encodings of two paths or more, f32[paths, width].

    Returns:
        The mean cosine, f32[], within [-1, 1].

    Raises:
        InputError: If there are fewer than two paths.

    Example:
        >>> towards = lambda params, encoding: -params @ encoding
        >>> float(gradient_conflict(towards, jnp.zeros(2), jnp.asarray([[1.0, 0.0], [-1.0, 0.0]])))
        -1.0
    """
    if len(encodings) < 2:
        raise InputError(f"gradient_conflict: encodings must have at least 2 paths, got {len(encodings)}")
    grads = jax.lax.map(lambda e: ravel_pytree(jax.grad(loss)(params, e))[0], encodings)
    unit = grads / jnp.maximum(jnp.linalg.norm(grads, axis=1, keepdims=True), 1e-12)
    cosines, number = unit @ unit.T, len(encodings)
    return (jnp.sum(cosines) - jnp.trace(cosines)) / (number * (number - 1))
