"""Episodes: tasks drawn on the device by jitted samplers, reproducible by key."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.data import Classes, from_array
from metajax.types import InputError, stream


class Episode(NamedTuple):
    """One task, or many with a leading axis: what to learn from, and what to be judged on.

    In supervised learning each is ``(x, y)``; to the methods a task is a loss, and any pytree will do.
    """

    support: Any
    query: Any


Sampler = Callable[[jax.Array], Episode]
"""``key -> Episode`` of one task; can be jitted and vmapped."""


def tasks(sampler: Sampler, n: int) -> Sampler:
    """A sampler of ``n`` tasks side by side: leaves get a leading axis."""
    return lambda key: jax.vmap(sampler)(jax.random.split(key, n))


class _Store(NamedTuple):
    """Examples on the device, and how to read some: rotated classes follow the plain ones."""

    x: jax.Array
    starts: jax.Array
    counts: np.ndarray
    turns: int

    @property
    def classes(self) -> int:
        return len(self.counts) * self.turns

    def read(self, chosen: jax.Array, rows: jax.Array) -> jax.Array:
        """Examples ``rows`` [n, k] of the classes ``chosen`` [n]: bytes scaled to [0, 1], rotated where asked."""
        found = self.x[self.starts[chosen // self.turns][:, None] + rows]
        if self.turns > 1:
            found = jax.vmap(_rotate)(found, chosen % self.turns)
        return found.astype(jnp.float32) / 255.0 if self.x.dtype == jnp.uint8 else found


def _store(images: Any, rotations: bool, name: str) -> _Store:
    given = images if isinstance(images, Classes) else from_array(images, name=name)
    if rotations and (given.x.ndim != 4 or given.x.shape[1] != given.x.shape[2]):
        raise InputError(f"{name}: rotations need square images, these are of shape {given.x.shape[1:]}")
    starts = jnp.asarray(np.cumsum(given.counts) - given.counts, jnp.int32)
    return _Store(jnp.asarray(given.x), starts, np.asarray(given.counts), 4 if rotations else 1)


def classes(
    images: Any, ways: int, shots: int | Sequence[int], queries: int, rotations: bool = False, name: str = "images"
) -> Sampler:
    """N-way K-shot episodes from examples by class.

    Args:
        images: a ``data.Classes``, or an array [classes, examples, height, width [, channels]] or [classes, examples,
            features]; bytes are scaled to [0, 1].
        ways: classes in an episode.
        shots: support examples of each class; or one number for each way, for classes out of balance: the classes are
            drawn at random, so (1, 3, 5, 7, 9) gives each of five random classes one of these (Ochal et al. 2021,
            arXiv:2101.02523).
        queries: query examples of each class, disjoint from the support.
        rotations: rotations by 90° count as classes of their own (square images only).
        name: of ``images`` in errors.

    Returns:
        A sampler of episodes with x f32[n, ...] and y i32[n].

    Raises:
        InputError: if the classes or their examples are too few.

    Example:
        >>> sample = classes(np.zeros((8, 20, 28, 28)), ways=5, shots=(1, 2, 3, 4, 5), queries=2)
        >>> sample(jax.random.key(0)).support[0].shape
        (15, 28, 28, 1)
    """
    each = (shots,) * ways if isinstance(shots, int) else tuple(shots)
    store = _store(images, rotations, name)
    if len(each) != ways:
        raise InputError(f"{name}: shots={shots} has {len(each)} numbers for ways={ways}; accepted is one for each way")
    if ways < 2 or ways > store.classes:
        raise InputError(f"{name}: ways={ways}, but there are {store.classes} classes; accepted are 2 to that")
    least, most = int(store.counts.min()), int(store.counts.max())
    if min(each) < 1 or queries < 1 or max(each) + queries > least:
        raise InputError(f"{name}: shots={shots} and queries={queries} exceed the {least} examples of a class")
    drawn = max(each) + queries
    counts = jnp.asarray(store.counts, jnp.int32)
    # where each class's drawn examples go: its first `shots` to the support, the next `queries` to the query
    support = np.concatenate([way * drawn + np.arange(k) for way, k in enumerate(each)])
    query = np.concatenate([way * drawn + k + np.arange(queries) for way, k in enumerate(each)])

    def sampler(key: jax.Array) -> Episode:
        class_key, example_key = jax.random.split(key)
        chosen = jax.random.choice(class_key, store.classes, (ways,), replace=False).astype(jnp.int32)
        order = jax.random.uniform(example_key, (ways, most))
        order = jnp.where(jnp.arange(most) < counts[chosen // store.turns][:, None], order, -1.0)
        _, rows = jax.lax.top_k(order, drawn)
        flat = store.read(chosen, rows)
        flat = flat.reshape(-1, *flat.shape[2:])
        label = lambda places: jnp.asarray(places // drawn, jnp.int32)
        return Episode((flat[support], label(support)), (flat[query], label(query)))

    return sampler


def examples(images: Any, batch: int, rotations: bool = False, name: str = "images") -> Callable[[jax.Array], Any]:
    """A sampler of plain labeled batches over all classes, ``key -> (x, y)``, for conventional training.

    Args:
        images, rotations, name: as in ``classes``.
        batch: examples, drawn with replacement: first the class, then the example.
    """
    store = _store(images, rotations, name)
    counts = jnp.asarray(store.counts, jnp.int32)

    def sampler(key: jax.Array):
        class_key, example_key = jax.random.split(key)
        chosen = jax.random.randint(class_key, (batch,), 0, store.classes, jnp.int32)
        rows = jax.random.randint(example_key, (batch,), 0, counts[chosen // store.turns], jnp.int32)
        return store.read(chosen, rows[:, None])[:, 0], chosen

    return sampler


def with_support(sampler: Sampler) -> Sampler:
    """Query inputs become pairs ``(support x, query x)``: models made by ``nn.by_support`` then normalize by the
    support's statistics alone, so that a prediction does not depend on the other queries."""

    def sample(key: jax.Array) -> Episode:
        support, (x, y) = sampler(key)
        return Episode(support, ((support[0], x), y))

    return sample


def check(episode: Episode) -> None:
    """Looks at one classification episode.

    Raises:
        InputError: if support labels are not 0..N-1, each there at least once, or a query has another label.
    """
    (_, support), (_, query) = episode
    seen = np.unique(np.asarray(support))
    if not np.array_equal(seen, np.arange(len(seen))):
        raise InputError(f"support: labels are {seen[:10].tolist()}; accepted are 0 to N-1, each at least once")
    strange = np.setdiff1d(np.asarray(query), seen)
    if len(strange):
        raise InputError(f"query: label {strange[0]} is not among the support's 0 to {len(seen) - 1}")


def _rotate(images: jax.Array, turns: jax.Array) -> jax.Array:
    """[n, h, w, c] by ``turns`` times 90°; all four are cheap to make, and vmap keeps no branches anyway."""
    return jnp.stack([jnp.rot90(images, k, axes=(1, 2)) for k in range(4)])[turns]


def sinusoid(shots: int, queries: int, even: bool = False, frequency: tuple[float, float] | None = None) -> Sampler:
    """Sine waves of amplitude [0.1, 5] and phase [0, π] on x in [-5, 5].

    Args:
        shots: support points of a wave, at random places.
        queries: query points of a wave.
        even: queries lie on an even grid instead of at random places.
        frequency: range of the angular frequency of a wave. ``None`` makes every frequency 1.

    Raises:
        InputError: if ``frequency`` is not a range of positive numbers.

    References:
        Finn et al. 2017, arXiv:1703.03400, section 5.1 (frequency 1). Li et al. 2017 (Meta-SGD), arXiv:1707.09835,
        section 4.1 (``frequency=(0.8, 1.2)``, and an even grid of queries in the test).

    Example:
        >>> (x, y), _ = sinusoid(shots=5, queries=10, frequency=(0.8, 1.2))(jax.random.key(0))
        >>> x.shape, y.shape
        ((5, 1), (5, 1))
    """
    if frequency is not None and not 0 < frequency[0] <= frequency[1]:
        raise InputError(f"sinusoid: frequency={frequency}; accepted are two positive numbers, the smaller first")

    def sampler(key: jax.Array) -> Episode:
        a, p, s = jax.random.split(key, 3)
        amplitude = jax.random.uniform(a, (), minval=0.1, maxval=5.0)
        phase = jax.random.uniform(p, (), maxval=jnp.pi)
        x = jax.random.uniform(s, (shots + queries, 1), minval=-5.0, maxval=5.0)
        x = x.at[shots:, 0].set(jnp.linspace(-5.0, 5.0, queries)) if even else x
        angle = x
        if frequency is not None:
            low, high = frequency
            angle = x * jax.random.uniform(stream(key, "frequency"), (), minval=low, maxval=high)
        y = amplitude * jnp.sin(angle - phase)
        return Episode((x[:shots], y[:shots]), (x[shots:], y[shots:]))

    return sampler
