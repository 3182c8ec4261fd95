"""Images as a task: cells of convolutions and their training, one network after the other by one compiled program."""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax import fewshot, supernet
from metajax.automl import _calibrate as calibrate
from metajax.automl._image_model import ImageModel, network
from metajax.automl._prepare import resplit
from metajax.automl._task import CURVE_POINTS, GROUP_SIZE, Data, Task, TrainingResults
from metajax.data import flip_and_crop, tabular
from metajax.data._pictures import Pictures
from metajax.run import Diverged, read_json, write_json
from metajax.space import Categorical, Float, Integer, Space
from metajax.types import InputError, stream

BATCH, CHUNK, SEARCH_IMAGES, SUPERNET_STEPS, MOST_SHIFT = 64, 256, 8_000, 400, 3
SUPERNET_RATE = 0.1


def image_space() -> Space:
    """An operation for each edge of a cell of four nodes, and its training: over 10^9 configurations.

    Example:
        >>> image_space().log10_size > 9
        True
    """
    return Space(
        {
            **supernet.spaces.cell_space(4).domains,
            "learning_rate": Float(1e-2, 1.0, log=True, grid=21),
            "weight_decay": Float(1e-5, 1e-2, log=True, grid=13),
            "label_smoothing": Float(0.0, 0.2, grid=5),
            "shift": Integer(0, MOST_SHIFT),
            "mirror": Categorical((False, True)),
            "epochs": Integer(4, 16, log=True),
        }
    )


DEFAULT = {
    **{f"edge_{i}_{j}": "conv3x3" if j == i + 1 else "skip" for j in range(1, 4) for i in range(j)},
    "learning_rate": 0.1,
    "weight_decay": 1e-4,
    "label_smoothing": 0.0,
    "shift": 0,
    "mirror": False,
    "epochs": 12,
}
"""A residual network: convolutions along the cell, skips beside them."""


class Coded(NamedTuple):
    """A configuration as arrays."""

    encoding: jax.Array
    learning_rate: jax.Array
    weight_decay: jax.Array
    label_smoothing: jax.Array
    shift: jax.Array
    mirror: jax.Array


class _Programs(NamedTuple):
    """Compiled for a shape of images: a span of training steps, and what a network says of images."""

    span: Callable[..., Any]
    say: Callable[..., jax.Array]
    init: Callable[[jax.Array], Any]


@functools.lru_cache(maxsize=8)
def _programs(classes: int, channels: int, stride: int) -> _Programs:
    made = network(classes, channels, stride, single_path=True).network
    optimizer = optax.trace(0.9, nesterov=True)

    def loss(params, coded, x, y):
        out = made.apply(params, x, coded.encoding)
        goal = jax.nn.one_hot(y, classes) * (1 - coded.label_smoothing) + coded.label_smoothing / classes
        return -jnp.mean(jnp.sum(goal * jax.nn.log_softmax(out), axis=-1))

    def step(number, carry, coded, data, total, key):
        params, momentum = carry
        now = jax.random.fold_in(key, number)
        rows = jax.random.randint(stream(now, "rows"), (BATCH,), 0, len(data.x))
        x = flip_and_crop(data.x[rows], stream(now, "augmentation"), MOST_SHIFT, coded.shift, coded.mirror)
        grads = jax.grad(loss)(params, coded, x, data.y[rows])
        grads = jax.tree.map(lambda g, w: g + coded.weight_decay * w, grads, params)
        progress = number.astype(jnp.float32) / total.astype(jnp.float32)
        rate = coded.learning_rate * jnp.minimum(1.0, 20 * progress) * 0.5 * (1 + jnp.cos(jnp.pi * progress))
        updates, momentum = optimizer.update(grads, momentum)
        return jax.tree.map(lambda w, u: w - rate * u, params, updates), momentum

    def span(carry, coded, data, first, last, total, key):
        return jax.lax.fori_loop(first, last, lambda i, c: step(i, c, coded, data, total, key), carry)

    def say(params, coded, x):
        """Log-probabilities, in chunks that are each normalized by their own statistics."""
        n, chunks = len(x), max(1, len(x) // CHUNK)
        size = -(-n // chunks)
        filled = jnp.take(x, jnp.arange(chunks * size) % n, axis=0).reshape(chunks, size, *x.shape[1:])
        out = jax.lax.map(lambda part: jax.nn.log_softmax(made.apply(params, part, coded.encoding)), filled)
        return out.reshape(chunks * size, -1)[:n]

    def init(key):
        params = made.init(key)
        return params, optimizer.init(params)

    return _Programs(jax.jit(span, donate_argnums=0), jax.jit(say), jax.jit(init))


def train(
    space: Space,
    classes: int,
    stride: int,
    encodings: np.ndarray,
    data: Data,
    key: jax.Array,
    keep_params: bool = False,
    output_rows: int = 0,
    progress: Any = None,
) -> TrainingResults:
    """Trains configurations one after the other; only the chosen operations of each are computed."""
    n, arch = len(encodings), supernet.spaces.cell_space(4).width
    programs = _programs(classes, data.x.shape[-1], stride)
    nearest = space.decode_configs(encodings)
    configs, snapped = {k: np.asarray(v) for k, v in nearest.items()}, np.asarray(space.encode(nearest))
    score, loss, seconds = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n)
    curve, params = np.full((n, CURVE_POINTS), np.nan), [None] * n
    said = np.zeros((n, min(output_rows, len(data.x_eval)), classes), np.float32)
    y = np.asarray(data.y_eval)
    for i in range(n):
        began = time.perf_counter()
        number = lambda name, i=i: jnp.asarray(configs[name][i])
        coded = Coded(
            jnp.asarray(snapped[i, :arch]),
            number("learning_rate"),
            number("weight_decay"),
            number("label_smoothing"),
            number("shift"),
            number("mirror") == 1,
        )
        own = jax.random.fold_in(key, i)
        total = int(configs["epochs"][i]) * max(8, len(data.x) // BATCH)
        carry, at, out = programs.init(stream(own, "init")), 0, None
        for point, mark in enumerate(np.round(np.linspace(0, total, CURVE_POINTS + 1)[1:]).astype(int)):
            carry = programs.span(carry, coded, data, jnp.asarray(at), jnp.asarray(mark), jnp.asarray(total), own)
            at = mark
            out = np.asarray(programs.say(carry[0], coded, data.x_eval))
            curve[i, point] = np.mean(np.argmax(out, axis=1) == y)
        assert out is not None
        if np.isfinite(out).all():
            score[i], loss[i] = curve[i, -1], calibrate.calibrated_loss(np.exp(out)[None], y)[0]
        said[i] = np.exp(out[: said.shape[1]])
        if keep_params:
            params[i] = jax.tree.map(np.asarray, carry[0])
        seconds[i] = time.perf_counter() - began
        if progress:
            progress(i + 1)
    return TrainingResults(score, loss, curve, seconds, params, said)


class ImageTask(NamedTuple):
    """A task of images, and how many there are of which size."""

    task: Task
    rows: tuple[int, int, int]
    shape: tuple[int, ...]
    notes: list[str]


def image_task(pictures: Pictures, seed: int) -> ImageTask:
    """Splits 60/20/20 (classes spread evenly) and standardizes by the training images' channels."""
    names = pictures.classes
    labels = np.array([names[i] for i in pictures.y], dtype=object)
    parts = tabular.split(tabular.Dataset(None, labels, "label", names, []), seed)
    x = pictures.x
    channels = x[parts[0]].reshape(-1, x.shape[-1]).astype(np.float64)
    mean = np.asarray(channels.mean(axis=0), np.float32)
    deviation = np.asarray(np.where(channels.std(axis=0) > 0, channels.std(axis=0), 1.0), np.float32)
    take = lambda rows: (jnp.asarray((x[rows] - mean) / deviation), jnp.asarray(pictures.y[rows]))
    train_rows, validation, test = parts
    notes = list(pictures.notes)
    if len(train_rows) > SEARCH_IMAGES:
        notes.append(f"the search trains on {SEARCH_IMAGES:,} of {len(train_rows):,} training images")
    search = Data(*take(train_rows[:SEARCH_IMAGES]), *take(validation[: SEARCH_IMAGES // 2]))
    final = Data(*take(np.concatenate([train_rows, validation])), *take(test))
    space, stride = image_space(), 1 if max(x.shape[1:3]) <= 16 else 2

    def model(configs: list[dict[str, Any]], params: list[Any], temperatures: np.ndarray) -> ImageModel:
        return ImageModel.fit(configs, params, temperatures, names, mean, deviation, stride, final.x[:512])

    def fixed(method: str, directory: Path) -> dict[str, Any]:
        if method != "supernet":
            return {}
        file = directory / "supernet.json"
        if not file.is_file():
            write_json(file, by_supernet(search, len(names), stride, seed))
        return read_json(file)

    task = Task(
        space,
        DEFAULT,
        search,
        resplit(search),
        final,
        True,
        functools.partial(train, space, len(names), stride),
        model,
        None,
        fixed,
        GROUP_SIZE,
        48,
        "Batch norm uses the statistics of the batch in training and validation, and of 512 training images in the test.",
    )
    return ImageTask(task, (len(train_rows), len(validation), len(test)), x.shape[1:], notes)


def by_supernet(data: Data, classes: int, stride: int, seed: int) -> dict[str, Any]:
    """Returns the cell that DrNAS (Chen et al. 2021, arXiv:2006.10355) decides on, from a SuperNet that is trained once."""
    made = network(classes, data.x.shape[-1], stride)
    parts = (data.x, data.y), (data.x_eval, data.y_eval)
    try:
        outcome = supernet.run(
            "drnas",
            made.space,
            made.network,
            fewshot.cross_entropy,
            parts,
            steps=SUPERNET_STEPS,
            learning_rate=SUPERNET_RATE,
            batch_size=BATCH,
            seed=seed,
        )
    except Diverged:
        raise InputError("method='supernet': the SuperNet diverged on these images; use method='metalearner'") from None
    return outcome.config
