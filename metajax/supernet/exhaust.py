"""The truth of a small space: every architecture trained side by side in one vmapped program."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax.nn import Functional
from metajax.space import Space
from metajax.types import InputError


class Table(NamedTuple):
    """Scores of architectures by seed, in the order of ``space.at``: float[architectures, seeds]."""

    accuracy: np.ndarray
    index: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        return self.accuracy.mean(axis=1)

    def rank(self, index: int) -> int:
        """1 is the best; architectures with the same mean share the better rank."""
        at = int(np.flatnonzero(self.index == index)[0])
        return 1 + int(np.sum(self.mean > self.mean[at]))


class Training(NamedTuple):
    """How each architecture is trained: Adam with cosine decay on shuffled epochs."""

    epochs: int = 15
    batch: int = 64
    rate: float = 5e-3


def trainer(
    network: Functional, training: Training, x: jax.Array, y: jax.Array, x_test: jax.Array, y_test: jax.Array
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """``(encoding, key) -> test accuracy`` of one architecture trained from scratch; can be vmapped."""
    per_epoch = len(x) // training.batch
    if per_epoch < 1:
        raise InputError(f"batch={training.batch} is larger than the {len(x)} training examples")
    steps = training.epochs * per_epoch
    optimizer = optax.adam(optax.cosine_decay_schedule(training.rate, steps))

    def loss(params, encoding, xb, yb):
        logits = network.apply(params, xb, encoding)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, yb))

    def run(encoding: jax.Array, key: jax.Array) -> jax.Array:
        init_key, order_key = jax.random.split(key)
        params = network.init(init_key)

        def epoch(carry, number):
            order = jax.random.permutation(jax.random.fold_in(order_key, number), len(x))
            rows = order[: per_epoch * training.batch].reshape(per_epoch, training.batch)

            def step(carry, chosen):
                params, opt_state = carry
                grads = jax.grad(loss)(params, encoding, x[chosen], y[chosen])
                updates, opt_state = optimizer.update(grads, opt_state, params)
                return (optax.apply_updates(params, updates), opt_state), None

            return jax.lax.scan(step, carry, rows)

        (params, _), _ = jax.lax.scan(epoch, (params, optimizer.init(params)), jnp.arange(training.epochs))
        predicted = jnp.argmax(network.apply(params, x_test, encoding), axis=-1).astype(y_test.dtype)
        return jnp.mean(predicted == y_test, dtype=jnp.float32)

    return run


def exhaust(
    space: Space,
    network: Functional,
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    training: Training | None = None,
    seeds: int = 1,
    key: jax.Array | None = None,
    index: Any = None,
    side_by_side: int = 25,
    progress: Callable[[int, int], None] | None = None,
) -> Table:
    """Trains every architecture of a small space, ``side_by_side`` at a time in one compiled program.

    Args:
        space: finite and small.
        network: ``init(key)`` and ``apply(params, x, encoding)``.
        train, test: ``(x, y)``.
        training: how; seeds differ in initialisation and order, architectures of one seed share both.
        seeds: trainings of each architecture.
        key: of the whole table.
        index: the architectures to train by their index in ``space.at``; all by default.
        side_by_side: how many are vmapped; fewer need less memory.
        progress: called with (trained, total).

    Raises:
        InputError: if the space has more than 100,000 configurations.
    """
    if index is None:
        if space.size > 100_000:
            raise InputError(f"exhaust: the space has {space.size} configurations; accepted are at most 100000")
        index = np.arange(int(space.size))
    index = np.atleast_1d(np.asarray(index))
    encodings = np.asarray(space.encode(space.at(index)))
    run = trainer(network, training or Training(), *map(jnp.asarray, (*train, *test)))
    many = jax.jit(jax.vmap(run, in_axes=(0, None)))
    keys = jax.random.split(jax.random.key(0) if key is None else key, seeds)
    size, total = min(side_by_side, len(index)), len(index) * seeds
    scores = np.zeros((len(index), seeds))
    done = 0
    for s in range(seeds):
        for start in range(0, len(index), size):
            part = encodings[start : start + size]
            filled = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
            scores[start : start + size, s] = np.asarray(many(filled, keys[s]))[: len(part)]
            done += len(part)
            if progress:
                progress(done, total)
    return Table(scores, index)
