"""A differentiable augmentation policy: how far images are moved, turned and tinted is learned by gradient."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax._typing import AnyArray, checked
from metajax.hpo._training import Component
from metajax.types import Hyper, InputError, Key

AUGMENTATION_RANGES = {
    "shift_x": 0.5,
    "shift_y": 0.5,
    "rotate": jnp.pi / 2,
    "zoom": 0.7,
    "shear": 1.0,
    "brightness": 1.0,
    "contrast": 1.0,
    "noise": 1.0,
}
"""The largest width of each change: shares of the image (shifts), radians (rotation), logarithms (zoom, contrast), a slope
(shear) and pixel values (brightness, noise)."""

MOVES = ("shift_x", "shift_y", "rotate", "zoom", "shear")


def augmentation(flips: bool = True, start: float = 0.05) -> Component:
    r"""Learns how strongly to augment images.

    The amount of a change $k$ of an image, with $A_k$ from ``AUGMENTATION_RANGES``, is

    $$a_k = A_k \, \sigma(h_k) \, u_k, \qquad u_k \sim U(-1, 1)$$

    Each image is shifted, rotated, zoomed, sheared, brightened and given another contrast, each by an amount that is uniform
    between minus and plus a learned width; Gaussian noise of a learned deviation is added; and the image is mirrored with a
    learned probability. The widths have exact derivatives by reparametrization (Augerino). The mirror image has that of a
    relaxed Bernoulli variable (Faster AutoAugment). All movements are one bilinear interpolation; what enters from outside is
    zero. A width of zero is no augmentation.

    Args:
        flips: Whether to learn to mirror.
        start: The widths at the start, as a share of ``AUGMENTATION_RANGES`` between 0 and 1 (exclusive). The probability of a
            flip begins at 1/2.

    Returns:
        A component for the slot ``inputs``. Images have the shape ``[n, height, width, channels]``. Its hyperparameters are
        logits; ``augmentation_strengths`` reads them.

    Raises:
        InputError: If ``start`` is not between 0 and 1.

    Deviations:
        Augerino learns the widths with the weights, by the training loss and a reward for wide distributions, and averages
        predictions over augmentations. Faster AutoAugment chooses among operations, and compares the distributions of images by
        a critic. Here the widths are learned through training by the loss of held-out images, and predictions are of images as
        they are.

    References:
        * Benton et al. 2020, "Learning invariances in neural networks" (Augerino), arXiv:2010.11882.
        * Hataya et al. 2020, "Faster AutoAugment: Learning augmentation strategies using backpropagation", arXiv:1911.06987.

    Example:
        >>> policy = augmentation()
        >>> images = jnp.ones((4, 8, 8, 3))
        >>> jax.jit(policy.apply)(policy.init(jax.random.key(0)), images, jax.random.key(1)).shape
        (4, 8, 8, 3)
    """
    if not 0 < start < 1:
        raise InputError(
            f"augmentation: start must be between 0 and 1 (exclusive), where widths have a derivative, got {start}; "
            "use a small share such as 0.01 to begin near no augmentation"
        )
    logit = float(jnp.log(start / (1 - start)))

    def init(key: Key) -> dict[str, jax.Array]:
        widths = {name: jnp.asarray(logit) for name in AUGMENTATION_RANGES}
        return {**widths, "flip": jnp.zeros(())} if flips else widths

    @checked
    def apply(
        h: Hyper, x: Float[AnyArray, "n height width channels"], key: Key
    ) -> Float[Array, "n height width channels"]:
        move_key, tint_key, noise_key, flip_key = jax.random.split(key, 4)
        width = {name: largest * jax.nn.sigmoid(h[name]) for name, largest in AUGMENTATION_RANGES.items()}
        draws = jax.random.uniform(move_key, (5, x.shape[0]), x.dtype, -1.0, 1.0)
        x = jax.vmap(_move)(jnp.asarray(x), *(width[name] * draws[i] for i, name in enumerate(MOVES)))
        x = _tint(x, width, tint_key)
        x = x + width["noise"] * jax.random.normal(noise_key, x.shape, x.dtype)
        return _flip(x, h["flip"], flip_key) if flips else x

    return Component(init, apply)


def _tint(x: jax.Array, width: dict[str, jax.Array], key: Key) -> jax.Array:
    """Changes the contrast of each image around its mean, and its brightness."""
    draws = jax.random.uniform(key, (2, x.shape[0], 1, 1, 1), x.dtype, -1.0, 1.0)
    center = jnp.mean(x, axis=(1, 2, 3), keepdims=True)
    return (x - center) * jnp.exp(width["contrast"] * draws[0]) + center + width["brightness"] * draws[1]


def _flip(x: jax.Array, logit: jax.Array, key: Key) -> jax.Array:
    """Mirrors each image or not; the derivative is that of the relaxed choice."""
    logistic = jax.random.logistic(key, (x.shape[0], 1, 1, 1), x.dtype)
    soft = jax.nn.sigmoid(2.0 * (logit + logistic))
    hard = (soft > 0.5).astype(x.dtype) + soft - jax.lax.stop_gradient(soft)
    return hard * x[:, :, ::-1] + (1 - hard) * x


def _move(
    image: jax.Array, dx: jax.Array, dy: jax.Array, angle: jax.Array, zoom: jax.Array, shear: jax.Array
) -> jax.Array:
    """One image of shape ``[height, width, channels]``, read where each of its pixels comes from."""
    height, width, _ = image.shape
    rows = jnp.linspace(-1.0, 1.0, height, dtype=image.dtype)
    columns = jnp.linspace(-1.0, 1.0, width, dtype=image.dtype)
    v, u = jnp.meshgrid(rows, columns, indexing="ij")
    u = u + shear * v
    cos, sin, scale = jnp.cos(angle), jnp.sin(angle), jnp.exp(zoom)
    across, down = scale * (cos * u - sin * v) + 2 * dx, scale * (sin * u + cos * v) + 2 * dy
    coordinates = [(down + 1) * 0.5 * (height - 1), (across + 1) * 0.5 * (width - 1)]
    read = lambda plane: jax.scipy.ndimage.map_coordinates(plane, coordinates, order=1, mode="constant")
    return jax.vmap(read, in_axes=2, out_axes=2)(image)


@checked
def augmentation_strengths(hyper: dict[str, Float[Array, ""]]) -> dict[str, float]:
    """Returns a learned augmentation policy in its own units.

    Args:
        hyper: The hyperparameters of an ``augmentation``.

    Returns:
        The width of each change, in the units of ``AUGMENTATION_RANGES``, and the probability of a flip if it is learned.

    Example:
        >>> policy = augmentation(start=0.1)
        >>> strengths = augmentation_strengths(policy.init(jax.random.key(0)))
        >>> round(strengths["shift_x"], 3), round(strengths["flip"], 3)  # a tenth of half the image
        (0.05, 0.5)
    """
    widths = {name: float(largest * jax.nn.sigmoid(hyper[name])) for name, largest in AUGMENTATION_RANGES.items()}
    return {**widths, "flip": float(jax.nn.sigmoid(hyper["flip"]))} if "flip" in hyper else widths
