"""The training of image classifiers, one after the other by one compiled program."""

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax.automl import _calibrate as calibrate
from metajax.automl._curves import CurveWatch, curve_watch
from metajax.automl._image_model import network
from metajax.automl._image_space import MAX_SHIFT, NODES
from metajax.automl._metrics import Metric
from metajax.automl._training import CURVE_POINTS, AllowsFn, Data, LearningCurves, TrainingResults
from metajax.data import flip_and_crop
from metajax.space import Space
from metajax.supernet.spaces import cell_space
from metajax.types import Key, stream

BATCH_SIZE = 64
"""Images of a batch in training."""
EVAL_BATCH_SIZE = 256
"""Images of a batch in evaluation, about; batch norm goes by the batch."""


class ImageConfig(NamedTuple):
    """A configuration as arrays; ``encoding`` is that of the cell, f32[width]."""

    encoding: jax.Array
    learning_rate: jax.Array
    weight_decay: jax.Array
    label_smoothing: jax.Array
    shift: jax.Array
    mirror: jax.Array


class _Programs(NamedTuple):
    """Compiled for a shape of images: initial weights and momentum, a span of training steps, and log-probabilities."""

    init: Callable[[Key], Any]
    span: Callable[..., Any]
    log_probabilities: Callable[..., jax.Array]


@functools.lru_cache(maxsize=8)
def _programs(classes: int, channels: int, stride: int) -> _Programs:
    """Returns the programs for images of this many channels."""
    model = network(classes, channels, stride, single_path=True).network
    optimizer = optax.trace(0.9, nesterov=True)

    def loss(params, config, x, y):
        out = model.apply(params, x, config.encoding)
        target = jax.nn.one_hot(y, classes) * (1 - config.label_smoothing) + config.label_smoothing / classes
        return -jnp.mean(jnp.sum(target * jax.nn.log_softmax(out), axis=-1))

    def step(number, carry, config, data, total, key):
        params, momentum = carry
        step_key = jax.random.fold_in(key, number)
        rows = jax.random.randint(stream(step_key, "rows"), (BATCH_SIZE,), 0, len(data.x))
        x = flip_and_crop(data.x[rows], stream(step_key, "augmentation"), MAX_SHIFT, config.shift, config.mirror)
        grads = jax.grad(loss)(params, config, x, data.y[rows])
        grads = jax.tree.map(lambda g, w: g + config.weight_decay * w, grads, params)
        progress = number.astype(jnp.float32) / total.astype(jnp.float32)
        rate = config.learning_rate * jnp.minimum(1.0, 20 * progress) * 0.5 * (1 + jnp.cos(jnp.pi * progress))
        updates, momentum = optimizer.update(grads, momentum)
        return jax.tree.map(lambda w, u: w - rate * u, params, updates), momentum

    def init(key):
        params = model.init(key)
        return params, optimizer.init(params)

    def span(carry, config, data, first, last, total, key):
        return jax.lax.fori_loop(first, last, lambda i, c: step(i, c, config, data, total, key), carry)

    def log_probabilities(params, config, x):
        """Batches are as large as each other and are each normalized by their own statistics."""
        n, batches = len(x), max(1, len(x) // EVAL_BATCH_SIZE)
        size = -(-n // batches)
        filled = jnp.take(x, jnp.arange(batches * size) % n, axis=0).reshape(batches, size, *x.shape[1:])
        out = jax.lax.map(lambda part: jax.nn.log_softmax(model.apply(params, part, config.encoding)), filled)
        return out.reshape(batches * size, -1)[:n]

    return _Programs(jax.jit(init), jax.jit(span, donate_argnums=0), jax.jit(log_probabilities))


class ImageSetting(NamedTuple):
    """What all trainings on the images of one task share.

    Attributes:
        space: ``image_space()``.
        classes: Number of classes.
        stride: Stride of the stem.
        metric: The metric of the scores.
    """

    space: Space
    classes: int
    stride: int
    metric: Metric


def train_images(
    setting: ImageSetting,
    encodings: np.ndarray,
    data: Data,
    key: Key,
    keep_params: bool = False,
    output_rows: int = 0,
    progress: Callable[[int], None] | None = None,
    stop: np.ndarray | None = None,
    allows: AllowsFn | None = None,
    past_curves: LearningCurves | None = None,
) -> TrainingResults:
    """Trains configurations one after the other; only the chosen operations of each are computed.

    Args:
        setting: What all trainings on these images share.
        encodings, data, key, keep_params, output_rows, progress, allows, past_curves: see ``TrainFn``.
        stop: Not read: every training keeps its last epoch.
    """
    n, (space, classes, stride, metric) = len(encodings), setting
    programs = _programs(classes, data.x.shape[-1], stride)
    nearest = space.decode_configs(encodings)
    configs, snapped = {k: np.asarray(v) for k, v in nearest.items()}, np.asarray(space.encode(nearest))
    score, loss, seconds = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n)
    curve, params = np.full((n, CURVE_POINTS), np.nan), [None] * n
    outputs = np.zeros((n, min(output_rows, len(data.x_eval)), classes), np.float32)
    slowest = 0.0
    watch = None if past_curves is None else curve_watch(past_curves.curve, np.ones(len(past_curves.curve), bool))
    for i in range(n):
        start = time.perf_counter()
        if allows is not None and not allows(slowest):
            seconds[i] = np.nan
            continue
        steps = int(configs["epochs"][i]) * max(8, len(data.x) // BATCH_SIZE)
        config, own_key = _to_image_config(configs, snapped, i), jax.random.fold_in(key, i)
        curve[i], log_probabilities, trained_params = _train_one(programs, config, data, steps, own_key, watch)
        if np.isfinite(log_probabilities).all():
            chances, y = np.exp(log_probabilities)[None], np.asarray(data.y_eval)
            score[i], loss[i] = metric.select(chances, y)[0], calibrate.calibrated_loss(chances, y)[0]
        outputs[i] = np.exp(log_probabilities[: outputs.shape[1]])
        if keep_params:
            params[i] = jax.tree.map(np.asarray, trained_params)
        seconds[i] = time.perf_counter() - start
        slowest = max(slowest, seconds[i])
        if progress:
            progress(i + 1)
    return TrainingResults(score, loss, curve, seconds, params, outputs, np.ones(n))


def _to_image_config(configs: Mapping[str, np.ndarray], encodings: np.ndarray, i: int) -> ImageConfig:
    """Converts a row of the configurations to arrays."""
    value = lambda name: jnp.asarray(configs[name][i])
    return ImageConfig(
        jnp.asarray(encodings[i, : cell_space(NODES).width]),
        value("learning_rate"),
        value("weight_decay"),
        value("label_smoothing"),
        value("shift"),
        value("mirror") == 1,
    )


def _train_one(
    programs: _Programs, config: ImageConfig, data: Data, steps: int, key: Key, watch: CurveWatch | None
) -> tuple[np.ndarray, np.ndarray, Any]:
    """Returns the learning curve f[CURVE_POINTS], the last log-probabilities of the evaluation rows, and the parameters."""
    carry, first = programs.init(stream(key, "init")), 0
    curve, log_probabilities, y = np.full(CURVE_POINTS, np.nan), np.zeros(0), np.asarray(data.y_eval)
    for point, last in enumerate(np.round(np.linspace(0, steps, CURVE_POINTS + 1)[1:]).astype(int)):
        span = jnp.asarray(first), jnp.asarray(last), jnp.asarray(steps)
        carry, first = programs.span(carry, config, data, *span, key), last
        log_probabilities = np.asarray(programs.log_probabilities(carry[0], config, data.x_eval))
        curve[point] = np.mean(np.argmax(log_probabilities, axis=1) == y)
        if watch is not None and watch.gives_up((point + 1) / CURVE_POINTS, curve[point]):
            break
    return curve, log_probabilities, carry[0]
