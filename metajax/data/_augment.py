"""Random transformations of image batches, inside compiled programs."""

import jax
import jax.numpy as jnp

from metajax.types import Key


def flip_and_crop(
    x: jax.Array, key: Key, pad: int = 4, shift: jax.Array | None = None, mirror: jax.Array | bool = True
) -> jax.Array:
    """Each image mirrored with probability one half, then shifted by up to ``pad`` pixels; what enters is zero.

    Args:
        x: f32[n, height, width, channels].
        pad: 4 for 32 x 32 pixels is the usual one.
        shift: i32[], the pixels to shift by where they are known at run time only; at most ``pad``, which is the default.
        mirror: bool[], whether to mirror at all.

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
    most = pad if shift is None else shift
    starts = pad - most + jax.random.randint(move, (number, 2), 0, 2 * most + 1)
    cut = lambda image, at: jax.lax.dynamic_slice(image, (at[0], at[1], 0), (height, width, channels))
    return jax.vmap(cut)(padded, starts)


def cut_out(x: jax.Array, key: Key, side: int = 16) -> jax.Array:
    """A square of each image set to zero, its center drawn evenly (Cutout, DeVries and Taylor 2017, arXiv:1708.04552).

    Args:
        x: f32[n, height, width, channels].
        side: of the square in pixels; at the border only a part of it lies inside. 16 for 32 x 32 is the usual one.

    Example:
        >>> float(cut_out(jnp.ones((1, 8, 8, 1)), jax.random.key(0), 16).sum()) < 64
        True
    """
    center = jax.random.uniform(key, (2, len(x), 1), x.dtype)
    away = [
        jnp.abs(jnp.arange(0.5, n, dtype=x.dtype) - n * center[axis]) >= side / 2 for axis, n in enumerate(x.shape[1:3])
    ]
    return jnp.where((away[0][:, :, None] | away[1][:, None, :])[..., None], x, jnp.zeros_like(x))
