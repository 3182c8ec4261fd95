"""Random transformations of image batches, inside compiled programs."""

import jax
import jax.numpy as jnp

from metajax.types import Key


def flip_and_crop(x: jax.Array, key: Key, pad: int = 4) -> jax.Array:
    """Each image mirrored with probability one half, then shifted by up to ``pad`` pixels; what enters is zero.

    Args:
        x: f32[n, height, width, channels].
        pad: 4 for 32 x 32 pixels is the usual one.

    Example:
        >>> flip_and_crop(jnp.ones((2, 8, 8, 3)), jax.random.key(0), 2).shape
        (2, 8, 8, 3)
    """
    number, height, width, channels = x.shape
    flip, shift = jax.random.split(key)
    mirrored = jax.random.bernoulli(flip, 0.5, (number, 1, 1, 1))
    x = jnp.where(mirrored, x[:, :, ::-1], x)
    if not pad:
        return x
    padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    starts = jax.random.randint(shift, (number, 2), 0, 2 * pad + 1)
    cut = lambda image, at: jax.lax.dynamic_slice(image, (at[0], at[1], 0), (height, width, channels))
    return jax.vmap(cut)(padded, starts)
