"""The compiled program that trains a few networks side by side, from one epoch to another.

All models of a tile walk through the same shuffled rows in micro-batches of 128. A model with a larger batch accumulates
gradients over several of them, so no model computes rows it does not need. After every epoch the evaluation rows judge each
model; the best parameters are kept, and a model that has not improved for long stops.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax._compiled import quick_options
from metajax.automl import _network as network
from metajax.automl._encoding import Table
from metajax.automl._space import BATCHES, SCHEDULES
from metajax.automl._train_state import CHUNK, EVAL_BLOCK, Limits, Rows, Span, TrainState

MICRO_BATCH = BATCHES[0]
_FIRST_MOMENT, _SECOND_MOMENT, _EPSILON = 0.9, 0.95, 1e-8  # These are the constants of Adam in RealMLP.
_SEED_STRIDE = 0x632BE5AB  # The seeds of two consecutive steps differ by this number.
_WARMUP_SHARE = 0.05
"""The share of the updates that the warmup of the schedules "constant" and "cosine" takes."""


def learning_rate(config: network.NetworkConfig, progress: Any) -> jax.Array:
    """Returns the learning rate at a share of the training.

    The schedule is constant, a half period of a cosine, or coslog4: four periods of a cosine in the logarithm of the time
    (Holzmüller et al. 2024). The first two have a linear warmup.
    """
    constant = jnp.ones_like(progress)
    cosine = 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(progress, 1.0)))
    coslog = 0.5 * (1 - jnp.cos(2 * jnp.pi * jnp.log2(1 + 15 * progress)))
    kind = config.schedule
    warmup = jnp.where(kind == SCHEDULES.index("coslog4"), 1.0, jnp.minimum(1.0, progress / _WARMUP_SHARE))
    shape = jnp.where(kind == 0, constant, jnp.where(kind == 1, cosine, coslog))
    return config.learning_rate * warmup * shape


def regularization(config: network.NetworkConfig, progress: Any) -> jax.Array:
    """Returns the factor of dropout and weight decay at a share of the training.

    It is 1 in the first half and falls to 0 by a cosine in the second, except with a constant learning rate.
    """
    falling = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(2 * progress - 1, 0.0, 1.0)))
    return jnp.where(config.schedule == SCHEDULES.index("constant"), 1.0, falling)


def _row_weights(config, rows: Rows, y, weights):
    """How much rows count for one model: as they are weighted, and as it weights their classes."""
    if not jnp.issubdtype(y.dtype, jnp.integer):
        return weights
    return weights * jnp.exp(config.class_weight * rows.class_balance[y])


def _loss(params, config, table, x, y, weights, outputs, bits, keep_rate):
    """The mean over members of the weighted cross-entropy with label smoothing, or of half the squared error."""
    logits = network.apply(config, params, table, x, (bits, keep_rate))
    if jnp.issubdtype(y.dtype, jnp.integer):
        target = jax.nn.one_hot(y, outputs) * (1 - config.label_smoothing) + config.label_smoothing / outputs
        losses = -jnp.sum(target * jax.nn.log_softmax(logits), axis=-1)
    else:
        losses = 0.5 * jnp.square(logits[..., 0] - y)
    return jnp.sum(network.member_weights(config, len(logits)) * jnp.mean(weights * losses, axis=1))


class Constants(NamedTuple):
    """What a model's updates need beside its configuration, f32[parameters] each.

    Attributes:
        rate: Factors of the learning rate.
        decay: 1 for weights that decay, else 0.
    """

    rate: jax.Array
    decay: jax.Array


def _constants(config, params) -> Constants:
    """The factors of ``network.rates`` for every parameter, in the order of ``_flatten``."""
    spread = lambda factors: _flatten(jax.tree.map(lambda leaf, f: jnp.broadcast_to(f, leaf.shape), params, factors))
    return Constants(*map(spread, network.rates(config, params)))


def _flatten(tree) -> jax.Array:
    """All leaves in one vector, so that an operation on it is compiled once and not once for each leaf."""
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])


def unflatten(vector, tree):
    """The inverse of ``_flatten``, in the structure of ``tree``."""
    leaves, structure = jax.tree.flatten(tree)
    ends = np.cumsum([leaf.size for leaf in leaves]).tolist()
    starts = [0, *ends[:-1]]
    arrays = [vector[a:b].reshape(leaf.shape) for a, b, leaf in zip(starts, ends, leaves)]
    return structure.unflatten(arrays)


class TileInputs(NamedTuple):
    """What the program of a tile reads and does not change.

    Attributes:
        configs: The configurations.
        template: Parameters of one model; their structure is read, and their values are not.
        table: The constants of the encoding.
        rows: The rows to train and to evaluate on.
        limits: When models stop.
        seed: u32 of dropout.
    """

    configs: network.NetworkConfig
    template: Any
    table: Table
    rows: Rows
    limits: Limits
    seed: Any


class _MicroBatch(NamedTuple):
    """A micro-batch, which all models of a tile share.

    Attributes:
        x: f32[MICRO_BATCH, inputs], its rows.
        y: Their targets.
        weights: f32[MICRO_BATCH], how much each row counts.
        bits: The random bits of dropout.
        step: The number of micro-batches before it.
    """

    x: jax.Array
    y: jax.Array
    weights: jax.Array
    bits: Any
    step: jax.Array


def _micro_step(config, constants, state, total, tile: TileInputs, batch: _MicroBatch, outputs):
    """One micro-batch of one model, which makes ``total`` of them, and an AdamW update if its batch is complete."""
    step, weights = batch.step, _row_weights(config, tile.rows, batch.y, batch.weights)
    progress = (step.astype(jnp.float32) + 0.5) / total.astype(jnp.float32)
    rate, regularized = learning_rate(config, progress), regularization(config, progress)
    keep_rate = 1.0 - config.dropout * regularized
    params = unflatten(state.params, tile.template)
    loss = (config, tile.table, batch.x, batch.y, weights, outputs, batch.bits, keep_rate)
    grads = _flatten(jax.grad(_loss)(params, *loss))
    parts = config.batch_size // MICRO_BATCH
    gradient = state.gradient + grads / parts.astype(jnp.float32)
    is_complete = (step + 1) % parts == 0
    updates = state.updates + is_complete.astype(jnp.int32)
    t = jnp.maximum(updates, 1).astype(jnp.float32)
    choose = lambda new, old: jnp.where(is_complete, new, old)
    m, v = _FIRST_MOMENT, _SECOND_MOMENT
    # The barrier makes XLA write these before it reads them again. Otherwise it reads the old ones, and copies them first.
    mean, square, cleared = jax.lax.optimization_barrier(
        (
            choose(m * state.mean + (1 - m) * gradient, state.mean),
            choose(v * state.square + (1 - v) * gradient * gradient, state.square),
            choose(0.0 * gradient, gradient),
        )
    )
    direction = constants.rate * (mean / (1 - m**t)) / (jnp.sqrt(square / (1 - v**t)) + _EPSILON)
    decay = config.weight_decay * regularized * constants.decay * state.params
    new = choose(state.params - rate * (direction + decay), state.params)
    return state._replace(params=new, gradient=cleared, mean=mean, square=square, updates=updates)


def _evaluate(config, params, table, rows: Rows, is_evaluated, old_outputs):
    """The outputs for the evaluation rows, the cost by which epochs are compared, and the score.

    The cost is the log-loss or the mean squared error. The score is the accuracy or the negative of that error.
    """
    classification = jnp.issubdtype(rows.y_eval.dtype, jnp.integer)

    def block(number, carry):
        outputs, cost, correct, total = carry
        x, y = rows.x_eval[number], rows.y_eval[number]
        weights = _row_weights(config, rows, y, rows.weights_eval[number])
        out = network.mean_output(config, network.apply(config, params, table, x), classification)
        if classification:
            cost += jnp.sum(-weights * jnp.take_along_axis(out, y[:, None], axis=1)[:, 0])
            correct += jnp.sum(jnp.where(jnp.argmax(out, axis=1) == y, weights, 0.0))
        else:
            cost += jnp.sum(weights * jnp.square(out[:, 0] - y))
        outputs = jax.lax.dynamic_update_index_in_dim(outputs, out, number, 0)
        return outputs, cost, correct, total + jnp.sum(weights)

    n_blocks = jnp.where(is_evaluated, len(rows.x_eval), 0)
    outputs, cost, correct, n = jax.lax.fori_loop(0, n_blocks, block, (old_outputs, 0.0, 0.0, 0.0))
    return outputs, cost / n, (correct if classification else -cost) / n


def _train_epochs(
    shape: network.Shape, outputs: int, state: TrainState, tile: TileInputs, span: Span
) -> tuple[TrainState, jax.Array, jax.Array]:
    """Trains a tile for a span of epochs, or until all of its models have stopped.

    Args:
        shape: The shape that all models are computed in.
        outputs: Number of classes, or 1.
        state: The training state.
        tile: What else the models need.
        span: The epochs.

    Returns:
        The state, and the cost and the score of each model after each epoch, f32[CHUNK, models].
    """
    configs, template, table, rows, limits, seed = tile
    total = configs.epochs * span.steps
    constants = jax.vmap(_constants, (0, None))(configs, template)

    def micro_batch(i, carry):
        state, number, order = carry
        index = jax.lax.dynamic_slice_in_dim(order, i * MICRO_BATCH, MICRO_BATCH)
        step = number * span.steps + i
        step_seed = seed + jnp.uint32(_SEED_STRIDE) * step.astype(jnp.uint32)
        bits = network.dropout_bits(step_seed, shape, MICRO_BATCH)
        batch = _MicroBatch(rows.x[index], rows.y[index], rows.weights[index], bits, step)
        train = lambda c, d, s, t: _micro_step(c, d, s, t, tile, batch, outputs)
        return jax.vmap(train)(configs, constants, state, total), number, order

    def epoch(carry):
        i, state, costs, scores = carry
        number = span.first + i
        state = jax.lax.fori_loop(0, span.steps, micro_batch, (state, number, span.orders[i]))[0]
        judge = lambda c, p, o: _evaluate(c, unflatten(p, template), table, rows, limits.selects_epoch, o)
        predicted, cost, score = jax.vmap(judge)(configs, state.params, state.best_outputs)
        cost = jnp.where(limits.selects_epoch, cost, -1.0 - number.astype(jnp.float32))
        state = _keep_best(state, predicted, cost, number + 1, limits)
        return i + 1, state, costs.at[i].set(cost), scores.at[i].set(score)

    goes_on = lambda carry: (carry[0] < span.epochs) & jnp.any(carry[1].is_active)
    empty = jnp.full((CHUNK, len(total)), jnp.nan)
    _, state, costs, scores = jax.lax.while_loop(goes_on, epoch, (0, state, empty, empty))
    return state, costs, scores


@functools.cache
def train_epochs(compiles_quickly: bool = False) -> Callable[..., tuple[TrainState, jax.Array, jax.Array]]:
    """Returns the compiled program that trains a tile; its arguments and results are those of ``_train_epochs``.

    Args:
        compiles_quickly: Compile in less time to a slower program, where little is trained by it.
    """
    options = quick_options() if compiles_quickly else {}
    return jax.jit(_train_epochs, static_argnums=(0, 1), donate_argnums=(2,), compiler_options=options or None)


def _keep_best(state: TrainState, predicted, cost, number, limits: Limits) -> TrainState:
    """Keeps the parameters of the models that improved, and stops those that did not for long. A diverged one has failed."""
    is_better = state.is_active & (cost < state.best_cost)
    choose = lambda new, old: jnp.where(is_better.reshape(-1, *[1] * (new.ndim - 1)), new, old)
    best_epoch = choose(jnp.broadcast_to(number, cost.shape), state.best_epoch)
    is_patient = (number - best_epoch < limits.patience) | ~limits.selects_epoch
    return state._replace(
        best=choose(state.params, state.best),
        best_outputs=choose(predicted, state.best_outputs),
        best_cost=jnp.where(jnp.isfinite(cost), choose(cost, state.best_cost), jnp.inf),
        best_epoch=best_epoch,
        is_active=state.is_active & (number < limits.last_epoch) & is_patient & jnp.isfinite(cost),
    )


@functools.partial(jax.jit, static_argnums=(0,))
def _predict_block(classification, config, params, table, x):
    """Log-probabilities or values f32[n, outputs] of one model."""
    return network.mean_output(config, network.apply(config, params, table, x), classification)


def predict(model: network.Model, x: np.ndarray, classification: bool) -> np.ndarray:
    """Returns log-probabilities or values f32[n, outputs] of one model for any number of rows, in blocks of one size."""
    x = np.asarray(x)
    padded = np.pad(x, [(0, -len(x) % EVAL_BLOCK), (0, 0)]).reshape(-1, EVAL_BLOCK, x.shape[1])
    arguments = (model.config, model.params, model.table)
    blocks = [np.zeros((0, model.params["offset"].shape[-1]), np.float32)]
    blocks += [np.asarray(_predict_block(classification, *arguments, block)) for block in padded]
    return np.concatenate(blocks)[: len(x)]
