"""A population of configurations trained in groups, each group at once in one compiled program.

All members walk through the same shuffled rows in micro-batches of 64; a member with a larger batch adds up gradients
over several of them, so no member computes rows it does not need. Members of one group stop at their own number of
epochs, and all are computed in the largest shape that one of them needs; groups are sorted by both, so that little is wasted.
"""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.automl import _calibrate as calibrate
from metajax.automl import _network as network
from metajax.automl._space import BATCHES, MAX_EPOCHS
from metajax.automl._task import CURVE, GROUP, Data, Outcome
from metajax.types import generator, stream

MICRO = BATCHES[0]


class Room(NamedTuple):
    """Rows and epochs that a program has room for: calls with fewer share it."""

    rows: int
    epochs: int


_NONE = Room(0, 0)


class Members(NamedTuple):
    """The training state of a group; every leaf has a leading axis of members."""

    params: Any
    gradient: Any
    mean: Any
    square: Any
    updates: jax.Array


def _loss(coded, params, x, y, key, outputs):
    out = network.apply(coded, params, x, key)
    if jnp.issubdtype(y.dtype, jnp.integer):
        target = jax.nn.one_hot(y, outputs) * (1 - coded.label_smoothing) + coded.label_smoothing / outputs
        return -jnp.mean(jnp.sum(target * jax.nn.log_softmax(out), axis=-1))
    return 0.5 * jnp.mean(jnp.square(out[:, 0] - y))


def _micro_step(coded, members, x, y, number, total, outputs, key):
    """One micro-batch of one member, and an AdamW update if its batch is full; nothing after its last epoch.

    The dropout key is shared by all members: drawing bits for each would cost as much as the matrix products.
    """
    grads = jax.grad(_loss, argnums=1)(coded, members.params, x, y, key, outputs)
    parts = coded.batch_size // MICRO
    gradient = jax.tree.map(lambda a, g: a + g / parts.astype(jnp.float32), members.gradient, grads)
    full = ((number + 1) % parts == 0) & (number < total)
    updates = members.updates + full.astype(jnp.int32)
    progress = number.astype(jnp.float32) / total.astype(jnp.float32)
    warm = jnp.minimum(1.0, progress / 0.05)
    rate = coded.learning_rate * warm * 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(progress, 1.0)))
    t = jnp.maximum(updates, 1).astype(jnp.float32)

    def update(w, g, m, v):
        choose = lambda new, old: jnp.where(full, new, old)
        # written before they are read again: otherwise XLA reads the old ones, and copies them to keep them
        m, v, g = jax.lax.optimization_barrier(
            (choose(0.9 * m + 0.1 * g, m), choose(0.999 * v + 0.001 * g * g, v), choose(0.0 * g, g))
        )
        step = (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
        decay = coded.weight_decay * w if w.ndim > 1 else 0.0
        return choose(w - rate * (step + decay), w), m, v, g

    leaves, tree = jax.tree.flatten(members.params)
    rest = (jax.tree.leaves(t) for t in (gradient, members.mean, members.square))
    new = [update(*row) for row in zip(leaves, *rest)]
    params, mean, square, kept = (tree.unflatten(column) for column in zip(*new))
    return Members(params, kept, mean, square, updates)


@functools.partial(jax.jit, static_argnums=(6,), donate_argnums=(1,))
def _epochs(coded, members, x, y, walk, span, outputs, key):
    """Trains a group from one epoch to another; span and steps are dynamic, so one compilation serves all."""
    total = coded.epochs * walk.steps

    def epoch(number, members):
        epoch_key, order = jax.random.fold_in(key, number), walk.orders[number]

        def micro(i, members):
            rows = jax.lax.dynamic_slice_in_dim(order, i * MICRO, MICRO)
            at, drop = number * walk.steps + i, jax.random.fold_in(epoch_key, i)
            # a copy of the rows for each: of shared ones, the first layer's gradient is a product of transposed slopes
            seen = jnp.broadcast_to(x[rows], (len(total), MICRO, x.shape[1]))
            step = lambda c, m, x, t: _micro_step(c, m, x, y[rows], at, t, outputs, drop)
            return jax.vmap(step)(coded, members, seen, total)

        return jax.lax.fori_loop(0, walk.steps, micro, members)

    return jax.lax.fori_loop(span[0], span[1], epoch, members)


class Walk(NamedTuple):
    """The way through the rows: their order in each epoch, i32[epochs, rows], and how many micro-batches an epoch has."""

    orders: jax.Array
    steps: jax.Array


def _walk(key: jax.Array, rows: int, epochs: int, room: Room) -> Walk:
    """Shuffled on the host, where nothing has to be compiled for the number of rows."""
    rng = generator(key)
    steps = max(1, rows // MICRO)
    orders = np.zeros((max(epochs, room.epochs, MAX_EPOCHS), max(1, room.rows // MICRO, steps) * MICRO), np.int32)
    for number in range(epochs):
        orders[number, : steps * MICRO] = np.resize(rng.permutation(rows), max(MICRO, rows))[: steps * MICRO]
    return Walk(jnp.asarray(orders), jnp.asarray(steps, jnp.int32))


def _roomy(rows: jax.Array, room: Room) -> jax.Array:
    """Rows to learn from, followed by rows that nobody reads."""
    more = max(0, room.rows - len(rows))
    return jnp.asarray(np.pad(np.asarray(rows), [(0, more)] + [(0, 0)] * (rows.ndim - 1))) if more else rows


@functools.partial(jax.jit, static_argnums=(3,))
def _say(coded, params, x, classification):
    """What every member says of rows: log-probabilities or values, f32[members, rows, outputs]."""
    out = jax.vmap(network.apply, in_axes=(0, 0, None))(coded, params, x)
    return jax.nn.log_softmax(out) if classification else out


def _errors(said: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Squared error of every member, f64[members]."""
    return np.asarray(np.mean(np.square(said[..., 0] - y), axis=-1, dtype=np.float64))


def _score(said: np.ndarray, y: np.ndarray, classification: bool) -> np.ndarray:
    """Accuracy or R² of every member, f64[members]."""
    if classification:
        return np.asarray(np.mean(np.argmax(said, axis=-1) == y, axis=-1))
    return 1 - _errors(said, y) / max(float(np.var(y)), 1e-12)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _begin(coded, keys, outputs, shape):
    params = jax.vmap(lambda c, k: network.init(c, stream(k, "init"), outputs))(coded, keys)
    params = network.cut(params, shape)
    zero = lambda: jax.tree.map(jnp.zeros_like, params)
    return Members(params, zero(), zero(), zero(), jnp.zeros(len(keys), jnp.int32))


def train(
    configs: dict[str, Any],
    groups: np.ndarray,
    data: Data,
    outputs: int,
    key: jax.Array,
    keep: bool = False,
    outputs_of: int = 0,
    group: int = GROUP,
    progress: Callable[[int], None] | None = None,
    room: Room = _NONE,
) -> Outcome:
    """Trains every configuration; the key of a member depends on its place alone, not on the grouping.

    Args:
        configs: struct of arrays of the space.
        groups: the feature of the space that each input column belongs to.
        data: rows.
        outputs: classes, or 1.
        key: of the whole population.
        keep: return the parameters.
        outputs_of: return what the models say of the first so many judging rows.
        group: how many train side by side in one program; a score does not depend on it but for rounding.
        progress: called with the number of members done.
        room: for other calls that are to share the programs of this one.
    """
    configs = {name: np.asarray(value) for name, value in configs.items()}
    n = len(configs["model"])
    epochs, shapes = configs["epochs"], network.shapes(configs)
    order = np.lexsort((epochs, shapes))[::-1]  # the largest first, so that a group that is not full is of small ones
    walk = _walk(stream(key, "rows"), len(data.x), int(epochs.max()), room)
    x, y, dropping = _roomy(data.x, room), _roomy(data.y, room), stream(key, "dropout")
    score, loss, seconds = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n)
    curve, params = np.full((n, CURVE), np.nan), [{}] * n
    told = np.zeros((n, min(outputs_of, len(data.x_judge)), outputs), np.float32)
    y_judge = np.asarray(data.y_judge)
    classification = np.issubdtype(y_judge.dtype, np.integer)
    for first in range(0, n, group):
        began = time.perf_counter()
        rows = order[first : first + group]
        filled = np.concatenate([rows, np.repeat(rows[-1:], group - len(rows))])
        coded = network.code({k: v[filled] for k, v in configs.items()}, groups)
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.asarray(filled))
        members = _begin(coded, keys, outputs, network.SHAPES[shapes[rows].max()])
        longest = int(epochs[rows].max())
        marks = np.unique(np.round(np.linspace(0, longest, CURVE + 1)[1:]).astype(int))
        points, at, said = [], 0, np.zeros(0)
        for mark in marks:
            members = _epochs(coded, members, x, y, walk, np.array([at, mark]), outputs, dropping)
            said = np.asarray(_say(coded, members.params, data.x_judge, classification))
            points.append(_score(said, y_judge, classification))
            at = mark
        last = said[: len(rows), : told.shape[1]]
        told[rows] = np.exp(last) if classification else last
        losses = calibrate.loss(np.exp(said), y_judge) if classification else _errors(said, y_judge)
        scores = np.stack(points)
        for slot, row in enumerate(rows):
            wanted = np.searchsorted(marks, np.linspace(0, epochs[row], CURVE + 1)[1:])
            curve[row] = scores[np.minimum(wanted, len(marks) - 1), slot]
            good = np.isfinite(scores[-1, slot]) and np.isfinite(losses[slot])
            score[row], loss[row] = (scores[-1, slot], losses[slot]) if good else (np.nan, np.nan)
            if keep:
                params[row] = network.fill(jax.tree.map(lambda v, slot=slot: np.asarray(v)[slot], members.params))
        seconds[rows] = (time.perf_counter() - began) / len(rows)
        if progress:
            progress(min(first + group, n))
    return Outcome(score, loss, curve, seconds, params, told)
