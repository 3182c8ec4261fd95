"""Episodes: tasks drawn on the device by jitted samplers, reproducible by key."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.types import InputError


class Episode(NamedTuple):
    """One task, or many with a leading axis: what to learn from, and what to be judged on. Each is ``(x, y)``."""

    support: tuple[jax.Array, jax.Array]
    query: tuple[jax.Array, jax.Array]


Sampler = Callable[[jax.Array], Episode]
"""``key -> Episode`` of one task; can be jitted and vmapped."""


def tasks(sampler: Sampler, n: int) -> Sampler:
    """A sampler of ``n`` tasks side by side: leaves get a leading axis."""
    return lambda key: jax.vmap(sampler)(jax.random.split(key, n))


def classes(images: Any, ways: int, shots: int, queries: int, rotations: bool = False, name: str = "images") -> Sampler:
    """N-way K-shot episodes from images by class.

    Args:
        images: uint8 or float [classes, examples, height, width] or [..., channels]; bytes are scaled to [0, 1].
        ways: classes in an episode.
        shots: support examples of each class.
        queries: query examples of each class, disjoint from the support.
        rotations: rotations by 90° count as classes of their own (square images only).

    Returns:
        A sampler of episodes with x f32[ways·k, height, width, channels] and y i32[ways·k].

    Raises:
        InputError: if the classes or their examples are too few.
    """
    images = np.asarray(images)
    if images.ndim == 4:
        images = images[..., None]
    if images.ndim != 5:
        raise InputError(f"{name}: shape {images.shape}; accepted: classes x examples x height x width [x channels]")
    number, examples, height, width, _ = images.shape
    turns = 4 if rotations else 1
    if ways > number * turns:
        raise InputError(f"{name}: ways={ways}, but there are {number * turns} classes")
    if shots < 1 or queries < 1 or shots + queries > examples:
        raise InputError(f"{name}: shots={shots} and queries={queries} exceed the {examples} examples of a class")
    if rotations and height != width:
        raise InputError(f"{name}: rotations need square images, these are {height} x {width}")
    store = jnp.asarray(images)

    def sampler(key: jax.Array) -> Episode:
        class_key, example_key = jax.random.split(key)
        chosen = jax.random.choice(class_key, number * turns, (ways,), replace=False)
        order = jax.vmap(lambda k: jax.random.permutation(k, examples)[: shots + queries])(
            jax.random.split(example_key, ways)
        )
        drawn = store[chosen[:, None] // turns, order]  # [ways, shots + queries, h, w, c]
        if rotations:
            drawn = jax.vmap(_rotate)(drawn, chosen % turns)
        if store.dtype == jnp.uint8:
            drawn = drawn.astype(jnp.float32) / 255.0
        labels = jnp.broadcast_to(jnp.arange(ways)[:, None], (ways, shots + queries))
        flat = lambda x: x.reshape(-1, *x.shape[2:])
        return Episode(
            (flat(drawn[:, :shots]), flat(labels[:, :shots])), (flat(drawn[:, shots:]), flat(labels[:, shots:]))
        )

    return sampler


def _rotate(images: jax.Array, turns: jax.Array) -> jax.Array:
    """[n, h, w, c] by ``turns`` times 90°; all four are cheap to make, and vmap keeps no branches anyway."""
    return jnp.stack([jnp.rot90(images, k, axes=(1, 2)) for k in range(4)])[turns]


def sinusoid(shots: int, queries: int) -> Sampler:
    """Sine waves of amplitude [0.1, 5] and phase [0, π] on x in [-5, 5] (Finn et al. 2017, section 5.1)."""

    def sampler(key: jax.Array) -> Episode:
        a, p, s = jax.random.split(key, 3)
        amplitude = jax.random.uniform(a, (), minval=0.1, maxval=5.0)
        phase = jax.random.uniform(p, (), maxval=jnp.pi)
        x = jax.random.uniform(s, (shots + queries, 1), minval=-5.0, maxval=5.0)
        y = amplitude * jnp.sin(x - phase)
        return Episode((x[:shots], y[:shots]), (x[shots:], y[shots:]))

    return sampler
