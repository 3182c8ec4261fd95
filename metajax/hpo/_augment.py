"""A differentiable augmentation policy: how far images are moved, turned and tinted is learned by gradient."""

import jax
import jax.numpy as jnp

from metajax.hpo._problem import Part
from metajax.types import InputError, Key

RANGES = {
    "shift_x": 0.5,
    "shift_y": 0.5,
    "rotate": jnp.pi / 2,
    "zoom": 0.7,
    "shear": 1.0,
    "brightness": 1.0,
    "contrast": 1.0,
    "noise": 1.0,
}
"""The most that each may do: shares of the image, radians, logarithms, and standard deviations of the pixels."""


def augmentation(flips: bool = True, start: float = 0.05) -> Part:
    """Each image is shifted, rotated, zoomed, sheared, brightened, given another contrast and noise, each by an amount
    uniform between minus and plus a learned width, and mirrored with a learned probability. Place ``inputs``.

    The widths have exact derivatives by reparametrization (Augerino, Benton et al. 2020, arXiv:2010.11882); the probability
    of a mirror image has that of a relaxed Bernoulli variable (Faster AutoAugment, Hataya et al. 2020, arXiv:1911.06987).
    All movements are one bilinear interpolation; what enters is zero. A width of zero is no augmentation.

    Args:
        flips: learn to mirror.
        start: of the widths, as a share of ``RANGES``; below 1. The probability of a flip begins at 1/2.

    Raises:
        InputError: if start is not between 0 and 1.
    """
    if not 0 < start < 1:
        raise InputError(f"augmentation: start={start}; accepted are shares between 0 and 1")
    logit = float(jnp.log(start / (1 - start)))

    def init(key: Key) -> dict[str, jax.Array]:
        widths = {name: jnp.asarray(logit) for name in RANGES}
        return {**widths, "flip": jnp.zeros(())} if flips else widths

    def apply(h: dict[str, jax.Array], x: jax.Array, key: Key) -> jax.Array:
        move_key, tint_key, noise_key, flip_key = jax.random.split(key, 4)
        width = {name: most * jax.nn.sigmoid(h[name]) for name, most in RANGES.items()}
        n = x.shape[0]
        amount = jax.random.uniform(move_key, (5, n), x.dtype, -1.0, 1.0)
        names = ("shift_x", "shift_y", "rotate", "zoom", "shear")
        dx, dy, angle, zoom, shear = (width[name] * amount[i] for i, name in enumerate(names))
        x = jax.vmap(_move)(x, dx, dy, angle, zoom, shear)
        tint = jax.random.uniform(tint_key, (2, n, 1, 1, 1), x.dtype, -1.0, 1.0)
        center = jnp.mean(x, axis=(1, 2, 3), keepdims=True)
        x = (x - center) * jnp.exp(width["contrast"] * tint[0]) + center + width["brightness"] * tint[1]
        x = x + width["noise"] * jax.random.normal(noise_key, x.shape, x.dtype)
        if not flips:
            return x
        logistic = jax.random.logistic(flip_key, (n, 1, 1, 1), x.dtype)
        soft = jax.nn.sigmoid(2.0 * (h["flip"] + logistic))
        hard = (soft > 0.5).astype(x.dtype) + soft - jax.lax.stop_gradient(soft)
        return hard * x[:, :, ::-1] + (1 - hard) * x

    return Part(init, apply)


def _move(image: jax.Array, dx, dy, angle, zoom, shear) -> jax.Array:
    """One image [height, width, channels] read where each of its pixels comes from."""
    height, width, _ = image.shape
    rows = jnp.linspace(-1.0, 1.0, height, dtype=image.dtype)
    columns = jnp.linspace(-1.0, 1.0, width, dtype=image.dtype)
    v, u = jnp.meshgrid(rows, columns, indexing="ij")
    u = u + shear * v
    cos, sin, scale = jnp.cos(angle), jnp.sin(angle), jnp.exp(zoom)
    across, down = scale * (cos * u - sin * v) + 2 * dx, scale * (sin * u + cos * v) + 2 * dy
    at = [(down + 1) * 0.5 * (height - 1), (across + 1) * 0.5 * (width - 1)]
    read = lambda plane: jax.scipy.ndimage.map_coordinates(plane, at, order=1, mode="constant")
    return jax.vmap(read, in_axes=2, out_axes=2)(image)


def strengths(h: dict[str, jax.Array]) -> dict[str, float]:
    """A learned policy in its own units: the widths, and the probability of a flip."""
    found = {name: float(most * jax.nn.sigmoid(h[name])) for name, most in RANGES.items()}
    return {**found, "flip": float(jax.nn.sigmoid(h["flip"]))} if "flip" in h else found
