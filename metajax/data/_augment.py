"""Random transformations of image batches, inside compiled programs."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from metajax._typing import checked
from metajax.types import Key


@checked
def flip_and_crop(
    x: Float[Array, "n height width channels"],
    key: Key,
    pad: int = 4,
    shift: Int[Array, ""] | None = None,
    mirror: Bool[Array, ""] | bool = True,
) -> Float[Array, "n height width channels"]:
    """Mirrors each image with probability one half, then shifts it by up to ``pad`` pixels. New border pixels are zero.

    This is the standard augmentation of CIFAR (He et al. 2016, arXiv:1512.03385).

    Args:
        x: The images.
        key: A random key.
        pad: The largest shift in pixels, an integer >= 0. 4 is usual for 32 x 32 pixels.
        shift: The largest shift where it is known at run time only, at most ``pad``; by default ``pad``.
        mirror: Whether to mirror at all.

    Returns:
        Images of the same shape.

    Example:
        >>> flip_and_crop(jnp.ones((2, 8, 8, 3)), jax.random.key(0), 2).shape
        (2, 8, 8, 3)
    """
    number, height, width, channels = x.shape
    flip, move = jax.random.split(key)
    mirrored = jax.random.bernoulli(flip, 0.5, (number, 1, 1, 1)) & mirror
    x = jnp.where(mirrored, x[:, :, ::-1], x)
    if not pad:
        return x
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    largest = pad if shift is None else shift
    starts = pad - largest + jax.random.randint(move, (number, 2), 0, 2 * largest + 1)
    cut = lambda image, start: jax.lax.dynamic_slice(image, (start[0], start[1], 0), (height, width, channels))
    return jax.vmap(cut)(padded, starts)


@checked
def cut_out(
    x: Float[Array, "n height width channels"], key: Key, side: int = 16
) -> Float[Array, "n height width channels"]:
    """Sets a square of each image to zero, whose center is drawn uniformly.

    Args:
        x: The images.
        key: A random key.
        side: The side of the square in pixels. At the border only a part of the square lies inside. 16 is usual for 32 x 32
            pixels.

    Returns:
        Images of the same shape.

    References:
        DeVries and Taylor, Improved regularization of convolutional neural networks with Cutout, 2017, arXiv:1708.04552.

    Example:
        >>> # this square lies in a corner
        >>> float(cut_out(jnp.ones((1, 8, 8, 1)), jax.random.key(0), 4).sum())
        60.0
    """
    center = jax.random.uniform(key, (2, len(x), 1), x.dtype)
    outside = [
        jnp.abs(jnp.arange(0.5, n, dtype=x.dtype) - n * center[axis]) >= side / 2 for axis, n in enumerate(x.shape[1:3])
    ]
    return jnp.where((outside[0][:, :, None] | outside[1][:, None, :])[..., None], x, jnp.zeros_like(x))
