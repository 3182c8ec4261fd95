"""Episodes: samplers of tasks that run on the device, inside of compiled programs, and are reproducible by key."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from metajax.data import Classes, from_array
from metajax.types import InputError, Key, stream


class Episode(NamedTuple):
    """One task, or many with a leading axis: what to learn from, and what to be judged on.

    In supervised learning each part is ``(x, y)``; to the methods a task is a loss, and any pytree will do.

    Attributes:
        support: The data that a method adapts to.
        query: The data of the loss after adaptation.
    """

    support: Any
    query: Any


Sampler = Callable[[Key], Episode]
"""``key -> Episode`` of one task; can be jitted and vmapped."""


def tasks(sampler: Sampler, n: int) -> Sampler:
    """Makes a sampler of several tasks side by side, for ``update``.

    Args:
        sampler: Sampler of one task.
        n: Number of tasks, >= 1.

    Returns:
        A sampler whose arrays have a leading axis of ``n``.

    Example:
        >>> jax.jit(tasks(sinusoid(shots=5, queries=10), 25))(jax.random.key(0)).support[0].shape
        (25, 5, 1)
    """
    return lambda key: jax.vmap(sampler)(jax.random.split(key, n))


class _Store(NamedTuple):
    """Examples by class, on the device.

    Attributes:
        x: All examples, class after class.
        starts: The index of the first example of each class.
        counts: Number of examples of each class.
        turns: Number of rotations that are classes of their own, 1 or 4; the rotations of a class follow each other.
    """

    x: jax.Array
    starts: jax.Array
    counts: np.ndarray
    turns: int

    @property
    def classes(self) -> int:
        """Number of classes, with rotations."""
        return len(self.counts) * self.turns

    def read(self, class_indices: jax.Array, rows: jax.Array) -> jax.Array:
        """Reads the examples ``rows`` [n, k] of the classes ``chosen`` [n]; bytes are scaled to [0, 1]."""
        x = self.x[self.starts[class_indices // self.turns][:, None] + rows]
        if self.turns > 1:
            x = jax.vmap(_rotate)(x, class_indices % self.turns)
        return x.astype(jnp.float32) / 255.0 if self.x.dtype == jnp.uint8 else x


def _store(images: Classes | ArrayLike, rotations: bool, name: str) -> _Store:
    """Moves examples to the device."""
    data = images if isinstance(images, Classes) else from_array(np.asarray(images), name=name)
    if rotations and (data.x.ndim != 4 or data.x.shape[1] != data.x.shape[2]):
        raise InputError(f"{name}: rotations need square images, these are of shape {data.x.shape[1:]}")
    starts = jnp.asarray(np.cumsum(data.counts) - data.counts, jnp.int32)
    return _Store(jnp.asarray(data.x), starts, np.asarray(data.counts), 4 if rotations else 1)


def classes(
    images: Classes | ArrayLike,
    ways: int,
    shots: int | Sequence[int],
    queries: int,
    rotations: bool = False,
    name: str = "images",
) -> Sampler:
    """Makes a sampler of N-way K-shot episodes from examples by class.

    Args:
        images: A ``data.Classes``, or an array [classes, examples, height, width [, channels]] or [classes, examples,
            features]; bytes are scaled to [0, 1].
        ways: N, the number of classes in an episode, >= 2.
        shots: K, the number of support examples of each class, >= 1; or one number for each way, for classes out of balance:
            the classes are drawn at random, so (1, 3, 5, 7, 9) gives each of five random classes one of these.
        queries: Number of query examples of each class, >= 1, disjoint from the support.
        rotations: Rotations by 90° count as classes of their own (square images only).
        name: Name of ``images`` in errors.

    Returns:
        A sampler of episodes with x f32[n, ...] and y i32[n].

    Raises:
        InputError: If the classes or their examples are too few.

    References:
        Vinyals et al. 2016, arXiv:1606.04080. Ochal et al. 2021, arXiv:2101.02523 (classes out of balance).

    Example:
        >>> sample = jax.jit(classes(np.zeros((8, 20, 28, 28)), ways=5, shots=(1, 2, 3, 4, 5), queries=2))
        >>> sample(jax.random.key(0)).support[0].shape
        (15, 28, 28, 1)
    """
    shots_by_way = (shots,) * ways if isinstance(shots, int) else tuple(shots)
    store = _store(images, rotations, name)
    if len(shots_by_way) != ways:
        raise InputError(
            f"{name}: shots={shots} must be one number, or one for each of ways={ways}, got {len(shots_by_way)} numbers"
        )
    if ways < 2 or ways > store.classes:
        raise InputError(f"{name}: ways={ways} must be between 2 and the number of classes, {store.classes}")
    smallest, largest = int(store.counts.min()), int(store.counts.max())
    if min(shots_by_way) < 1 or queries < 1 or max(shots_by_way) + queries > smallest:
        raise InputError(
            f"{name}: shots={shots} and queries={queries} must be >= 1 and together at most {smallest}, the size of the "
            "smallest class"
        )
    per_class = max(shots_by_way) + queries
    counts = jnp.asarray(store.counts, jnp.int32)
    # where each class's drawn examples go: its first `shots` to the support, the next `queries` to the query
    support = np.concatenate([way * per_class + np.arange(k) for way, k in enumerate(shots_by_way)])
    query = np.concatenate([way * per_class + k + np.arange(queries) for way, k in enumerate(shots_by_way)])

    def sampler(key: Key) -> Episode:
        class_key, example_key = jax.random.split(key)
        class_indices = jax.random.choice(class_key, store.classes, (ways,), replace=False).astype(jnp.int32)
        order = jax.random.uniform(example_key, (ways, largest))
        order = jnp.where(jnp.arange(largest) < counts[class_indices // store.turns][:, None], order, -1.0)
        _, rows = jax.lax.top_k(order, per_class)
        flat = store.read(class_indices, rows)
        flat = flat.reshape(-1, *flat.shape[2:])
        label = lambda indices: jnp.asarray(indices // per_class, jnp.int32)
        return Episode((flat[support], label(support)), (flat[query], label(query)))

    return sampler


def examples(
    images: Classes | ArrayLike, batch: int, rotations: bool = False, name: str = "images"
) -> Callable[[Key], tuple[jax.Array, jax.Array]]:
    """Makes a sampler of plain labeled batches over all classes, for conventional training.

    Args:
        images: Examples by class, as ``classes`` takes them.
        batch: Number of examples, >= 1, drawn with replacement: first the class, then the example.
        rotations: Rotations by 90° count as classes of their own (square images only).
        name: Name of ``images`` in errors.

    Returns:
        A sampler ``key -> (x f32[batch, ...], y i32[batch])``.

    Raises:
        InputError: If the images are not examples by class.

    Example:
        >>> x, y = jax.jit(examples(np.zeros((8, 20, 6)), batch=32))(jax.random.key(0))
        >>> x.shape, y.shape
        ((32, 6), (32,))
    """
    store = _store(images, rotations, name)
    counts = jnp.asarray(store.counts, jnp.int32)

    def sampler(key: Key) -> tuple[jax.Array, jax.Array]:
        class_key, example_key = jax.random.split(key)
        class_indices = jax.random.randint(class_key, (batch,), 0, store.classes, jnp.int32)
        rows = jax.random.randint(example_key, (batch,), 0, counts[class_indices // store.turns], jnp.int32)
        return store.read(class_indices, rows[:, None])[:, 0], class_indices

    return sampler


def with_support(sampler: Sampler) -> Sampler:
    """Makes a sampler whose query inputs are pairs ``(support x, query x)``.

    Models made by ``nn.by_support`` then normalize by the statistics of the support alone, so that a prediction does not
    depend on the other queries.

    Args:
        sampler: Sampler of one task with inputs and labels.

    Returns:
        The sampler of the same tasks with paired query inputs.

    Example:
        >>> episode = jax.jit(with_support(sinusoid(shots=5, queries=10)))(jax.random.key(0))
        >>> [part.shape for part in episode.query[0]]
        [(5, 1), (10, 1)]
    """

    def sample(key: Key) -> Episode:
        support, (x, y) = sampler(key)
        return Episode(support, ((support[0], x), y))

    return sample


def check(episode: Episode) -> None:
    """Checks the labels of one classification episode.

    Args:
        episode: An episode of one task with integer labels.

    Raises:
        InputError: If the support's labels are not 0 to N-1, each there at least once, or a query has another label.

    Example:
        >>> x, y = np.zeros((2, 1)), np.array([0, 1])
        >>> check(Episode((x, y), (x, y)))
        >>> check(Episode((x, y), (x, y + 1)))
        Traceback (most recent call last):
        metajax.types.InputError: query: labels must be 0 to 1, as in the support, got 2
    """
    (_, support), (_, query) = episode
    labels = np.unique(np.asarray(support))
    if not np.array_equal(labels, np.arange(len(labels))):
        raise InputError(f"support: labels must be 0 to N-1, each at least once, got {labels[:10].tolist()}")
    unknown = np.setdiff1d(np.asarray(query), labels)
    if len(unknown):
        raise InputError(f"query: labels must be 0 to {len(labels) - 1}, as in the support, got {unknown[0]}")


def _rotate(images: jax.Array, turns: jax.Array) -> jax.Array:
    """Rotates [n, h, w, c] by ``turns`` times 90°; all four are cheap to make, and vmap keeps no branches anyway."""
    return jnp.stack([jnp.rot90(images, k, axes=(1, 2)) for k in range(4)])[turns]


def sinusoid(shots: int, queries: int, even: bool = False, frequency: tuple[float, float] | None = None) -> Sampler:
    """Makes a sampler of sine waves of amplitude [0.1, 5] and phase [0, π] on x in [-5, 5].

    Args:
        shots: Number of support points of a wave, >= 1, at random positions.
        queries: Number of query points of a wave, >= 1.
        even: The queries lie on an even grid instead of at random positions.
        frequency: Range of the angular frequency of a wave, in (0, ∞). ``None`` makes every frequency 1.

    Returns:
        A sampler of episodes with x f32[n, 1] and y f32[n, 1].

    Raises:
        InputError: If ``frequency`` is not a range of positive numbers.

    References:
        Finn et al. 2017, arXiv:1703.03400, section 5.1 (frequency 1). Li et al. 2017 (Meta-SGD), arXiv:1707.09835,
        section 4.1 (``frequency=(0.8, 1.2)``, and an even grid of queries in the test).

    Example:
        >>> (x, y), _ = jax.jit(sinusoid(shots=5, queries=10, frequency=(0.8, 1.2)))(jax.random.key(0))
        >>> x.shape, y.shape
        ((5, 1), (5, 1))
    """
    if frequency is not None and not 0 < frequency[0] <= frequency[1]:
        raise InputError(f"sinusoid: frequency must be two positive numbers, the smaller one first, got {frequency}")

    def sampler(key: Key) -> Episode:
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
