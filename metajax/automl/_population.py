"""A population of configurations trained in groups, each group at once in one compiled program.

All models walk through the same shuffled rows in micro-batches of 64. A model with a larger batch accumulates gradients
over several of them, so no model computes rows it does not need. The models of a group stop at their own number of epochs,
and all are computed in the largest shape that one of them needs. Groups are sorted by both, so that little is wasted.
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
from metajax.automl._task import CURVE_POINTS, GROUP_SIZE, Data, TrainingResults
from metajax.types import generator, stream

MICRO_BATCH = BATCHES[0]


class PaddedSize(NamedTuple):
    """The rows and epochs that a program is compiled for; calls with fewer share it."""

    rows: int
    epochs: int


_UNPADDED = PaddedSize(0, 0)


class TrainState(NamedTuple):
    """The training state of a group; every leaf has a leading axis of models.

    Attributes:
        params: The parameters.
        gradient: Gradients accumulated over the micro-batches of a batch.
        mean: First moment of Adam.
        square: Second moment of Adam.
        updates: i32[models], number of updates so far.
    """

    params: Any
    gradient: Any
    mean: Any
    square: Any
    updates: jax.Array


class RowOrder(NamedTuple):
    """The order of the rows in each epoch, i32[epochs, rows], and the number of micro-batches of an epoch."""

    orders: jax.Array
    steps: jax.Array


def _loss(config, params, x, y, key, outputs):
    """Cross-entropy with label smoothing, or half the mean squared error."""
    out = network.apply(config, params, x, key)
    if jnp.issubdtype(y.dtype, jnp.integer):
        target = jax.nn.one_hot(y, outputs) * (1 - config.label_smoothing) + config.label_smoothing / outputs
        return -jnp.mean(jnp.sum(target * jax.nn.log_softmax(out), axis=-1))
    return 0.5 * jnp.mean(jnp.square(out[:, 0] - y))


def _micro_step(config, state, x, y, step, total, outputs, key):
    """One micro-batch of one model, and an AdamW update if its batch is complete; nothing after its last epoch.

    All models share the dropout key: random bits for each would cost as much as the matrix products.
    """
    grads = jax.grad(_loss, argnums=1)(config, state.params, x, y, key, outputs)
    parts = config.batch_size // MICRO_BATCH
    gradient = jax.tree.map(lambda a, g: a + g / parts.astype(jnp.float32), state.gradient, grads)
    is_complete = ((step + 1) % parts == 0) & (step < total)
    updates = state.updates + is_complete.astype(jnp.int32)
    progress = step.astype(jnp.float32) / total.astype(jnp.float32)
    warmup = jnp.minimum(1.0, progress / 0.05)
    rate = config.learning_rate * warmup * 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(progress, 1.0)))
    t = jnp.maximum(updates, 1).astype(jnp.float32)

    def update(w, g, m, v):
        choose = lambda new, old: jnp.where(is_complete, new, old)
        # The barrier makes XLA write these before it reads them again. Otherwise it reads the old ones, and copies them first.
        m, v, g = jax.lax.optimization_barrier(
            (choose(0.9 * m + 0.1 * g, m), choose(0.999 * v + 0.001 * g * g, v), choose(0.0 * g, g))
        )
        direction = (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
        decay = config.weight_decay * w if w.ndim > 1 else 0.0
        return choose(w - rate * (direction + decay), w), m, v, g

    leaves, tree = jax.tree.flatten(state.params)
    rest = (jax.tree.leaves(t) for t in (gradient, state.mean, state.square))
    updated = [update(*row) for row in zip(leaves, *rest)]
    params, mean, square, accumulated = (tree.unflatten(column) for column in zip(*updated))
    return TrainState(params, accumulated, mean, square, updates)


@functools.partial(jax.jit, static_argnums=(6,), donate_argnums=(1,))
def _train_epochs(configs, state, x, y, row_order, span, outputs, key):
    """Trains a group from one epoch to another. The span and the steps are traced, so one compilation serves all."""
    total = configs.epochs * row_order.steps

    def epoch(number, state):
        epoch_key, order = jax.random.fold_in(key, number), row_order.orders[number]

        def micro_batch(i, state):
            rows = jax.lax.dynamic_slice_in_dim(order, i * MICRO_BATCH, MICRO_BATCH)
            step, dropout_key = number * row_order.steps + i, jax.random.fold_in(epoch_key, i)
            # Each model has a copy of the rows: with shared rows, the first layer's gradient would be a product of
            # transposed slopes, which is slower.
            copies = jnp.broadcast_to(x[rows], (len(total), MICRO_BATCH, x.shape[1]))
            train = lambda c, s, x, t: _micro_step(c, s, x, y[rows], step, t, outputs, dropout_key)
            return jax.vmap(train)(configs, state, copies, total)

        return jax.lax.fori_loop(0, row_order.steps, micro_batch, state)

    return jax.lax.fori_loop(span[0], span[1], epoch, state)


def _shuffle(key: jax.Array, rows: int, epochs: int, pad_to: PaddedSize) -> RowOrder:
    """Shuffles the rows of each epoch on the host, where nothing is compiled for the number of rows."""
    rng = generator(key)
    steps = max(1, rows // MICRO_BATCH)
    padded_rows = max(1, pad_to.rows // MICRO_BATCH, steps) * MICRO_BATCH
    orders = np.zeros((max(epochs, pad_to.epochs, MAX_EPOCHS), padded_rows), np.int32)
    for number in range(epochs):
        permutation = np.resize(rng.permutation(rows), max(MICRO_BATCH, rows))
        orders[number, : steps * MICRO_BATCH] = permutation[: steps * MICRO_BATCH]
    return RowOrder(jnp.asarray(orders), jnp.asarray(steps, jnp.int32))


def _pad_rows(rows: jax.Array, pad_to: PaddedSize) -> jax.Array:
    """Appends rows that are never read."""
    n_more = max(0, pad_to.rows - len(rows))
    return jnp.asarray(np.pad(np.asarray(rows), [(0, n_more)] + [(0, 0)] * (rows.ndim - 1))) if n_more else rows


@functools.partial(jax.jit, static_argnums=(3,))
def _predict(configs, params, x, classification):
    """Log-probabilities or values of every model, f32[models, rows, outputs]."""
    out = jax.vmap(network.apply, in_axes=(0, 0, None))(configs, params, x)
    return jax.nn.log_softmax(out) if classification else out


def squared_error(outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean squared error of every model, f64[models]."""
    return np.asarray(np.mean(np.square(outputs[..., 0] - y), axis=-1, dtype=np.float64))


def score(outputs: np.ndarray, y: np.ndarray, classification: bool) -> np.ndarray:
    """Accuracy or R² of every model, f64[models]."""
    if classification:
        return np.asarray(np.mean(np.argmax(outputs, axis=-1) == y, axis=-1))
    return 1 - squared_error(outputs, y) / max(float(np.var(y)), 1e-12)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _init(configs, keys, outputs, shape):
    """The training state of a group before its first update."""
    params = jax.vmap(lambda c, k: network.init(c, stream(k, "init"), outputs))(configs, keys)
    params = network.crop(params, shape)
    zeros = lambda: jax.tree.map(jnp.zeros_like, params)
    return TrainState(params, zeros(), zeros(), zeros(), jnp.zeros(len(keys), jnp.int32))


class _Group(NamedTuple):
    """The result of a trained group.

    Attributes:
        params: Parameters of all models, with a leading axis.
        scores: f64[points, models], scores at the points of the learning curve.
        points: i64[points], the epochs of these points.
        outputs: f32[models, rows, outputs] at the end, log-probabilities or values.
    """

    params: Any
    scores: np.ndarray
    points: np.ndarray
    outputs: np.ndarray


def _train_group(configs, keys, shape, longest, data, x, y, row_order, n_outputs, dropout_key) -> _Group:
    """Trains one group to its longest number of epochs, and scores it at even shares of that."""
    state = _init(configs, keys, n_outputs, shape)
    y_eval = np.asarray(data.y_eval)
    classification = np.issubdtype(y_eval.dtype, np.integer)
    points = np.unique(np.round(np.linspace(0, longest, CURVE_POINTS + 1)[1:]).astype(int))
    scores, epoch, outputs = [], 0, np.zeros(0)
    for point in points:
        state = _train_epochs(configs, state, x, y, row_order, np.array([epoch, point]), n_outputs, dropout_key)
        outputs = np.asarray(_predict(configs, state.params, data.x_eval, classification))
        scores.append(score(outputs, y_eval, classification))
        epoch = point
    return _Group(state.params, np.stack(scores), points, outputs)


def train(
    configs: dict[str, Any],
    groups: np.ndarray,
    data: Data,
    n_outputs: int,
    key: jax.Array,
    keep_params: bool = False,
    output_rows: int = 0,
    group_size: int = GROUP_SIZE,
    progress: Callable[[int], None] | None = None,
    pad_to: PaddedSize = _UNPADDED,
) -> TrainingResults:
    """Trains every configuration. The key of a model depends on its position alone, not on the grouping.

    Args:
        configs: Struct of arrays of the space.
        groups: i64[inputs], the feature of the space that each input column belongs to.
        data: Rows to train and to evaluate on.
        n_outputs: Number of classes, or 1.
        key: Random key of the whole population.
        keep_params: Return the parameters.
        output_rows: Return what the models predict for this many of the evaluation rows.
        group_size: How many train side by side in one program; a score does not depend on it but for rounding.
        progress: Called with the number of models trained so far.
        pad_to: Rows and epochs that the programs are compiled for, so that other calls share them.
    """
    configs = {name: np.asarray(value) for name, value in configs.items()}
    n = len(configs["model"])
    epochs, shapes = configs["epochs"], network.shapes(configs)
    # The largest come first, so that a group that is not full is one of small models.
    order = np.lexsort((epochs, shapes))[::-1]
    row_order = _shuffle(stream(key, "rows"), len(data.x), int(epochs.max()), pad_to)
    x, y, dropout_key = _pad_rows(data.x, pad_to), _pad_rows(data.y, pad_to), stream(key, "dropout")
    results = _empty_results(n, data, output_rows, n_outputs)
    for first in range(0, n, group_size):
        started = time.perf_counter()
        rows = order[first : first + group_size]
        filled = np.concatenate([rows, np.repeat(rows[-1:], group_size - len(rows))])
        group_configs = network.to_network_configs({k: v[filled] for k, v in configs.items()}, groups)
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.asarray(filled))
        shape, longest = network.SHAPES[shapes[rows].max()], int(epochs[rows].max())
        group = _train_group(group_configs, keys, shape, longest, data, x, y, row_order, n_outputs, dropout_key)
        _store(results, rows, epochs, group, data, keep_params)
        results.seconds[rows] = (time.perf_counter() - started) / len(rows)
        if progress:
            progress(min(first + group_size, n))
    return results


def _empty_results(n: int, data: Data, output_rows: int, n_outputs: int) -> TrainingResults:
    """Results of models that are not trained yet."""
    return TrainingResults(
        score=np.full(n, np.nan),
        loss=np.full(n, np.nan),
        curve=np.full((n, CURVE_POINTS), np.nan),
        seconds=np.zeros(n),
        params=[{}] * n,
        outputs=np.zeros((n, min(output_rows, len(data.x_eval)), n_outputs), np.float32),
    )


def _store(
    results: TrainingResults, rows: np.ndarray, epochs: np.ndarray, group: _Group, data: Data, keep_params: bool
) -> None:
    """Writes the results of a group into those of the population; the score of a model that diverged stays NaN."""
    y_eval = np.asarray(data.y_eval)
    classification = np.issubdtype(y_eval.dtype, np.integer)
    last = group.outputs[: len(rows), : results.outputs.shape[1]]
    results.outputs[rows] = np.exp(last) if classification else last
    if classification:
        losses = calibrate.calibrated_loss(np.exp(group.outputs), y_eval)
    else:
        losses = squared_error(group.outputs, y_eval)
    for slot, row in enumerate(rows):
        own_points = np.searchsorted(group.points, np.linspace(0, epochs[row], CURVE_POINTS + 1)[1:])
        results.curve[row] = group.scores[np.minimum(own_points, len(group.points) - 1), slot]
        if np.isfinite(group.scores[-1, slot]) and np.isfinite(losses[slot]):
            results.score[row], results.loss[row] = group.scores[-1, slot], losses[slot]
        if keep_params:
            own = jax.tree.map(lambda leaf, slot=slot: np.asarray(leaf)[slot], group.params)
            results.params[row] = network.pad(own)
