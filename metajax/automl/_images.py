"""Images as a task of the main job: the split, the standardization, and a cell that a SuperNet may decide beforehand."""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from metajax import fewshot, supernet
from metajax.automl import _metrics as metrics
from metajax.automl._image_model import ImageModel, network
from metajax.automl._image_space import DEFAULT, image_space
from metajax.automl._image_training import BATCH_SIZE, train_images
from metajax.automl._prepare import resplit
from metajax.automl._task import GROUP_SIZE, Data, Task
from metajax.data import tabular
from metajax.data._pictures import Pictures
from metajax.run import Diverged, read_json, write_json
from metajax.types import InputError

SEARCH_IMAGES = 8_000
"""Most training images of a search; the final training sees all."""
SUPERNET_STEPS = 400
"""Steps of the SuperNet that decides on a cell."""
SUPERNET_LEARNING_RATE = 0.1
"""Its learning rate at the first step."""


class ImageTask(NamedTuple):
    """A task of images.

    Attributes:
        task: The task.
        rows: Numbers of training, validation and test images.
        shape: Height, width and channels.
        notes: Sentences on what was done to the images, for the report.
    """

    task: Task
    rows: tuple[int, int, int]
    shape: tuple[int, ...]
    notes: list[str]


def image_task(pictures: Pictures, seed: int, metric: str | None = None) -> ImageTask:
    """Makes a task of images.

    It splits them 60/20/20, stratified by class, and standardizes by the channels of the training images. The metric is that of
    ``Config``.
    """
    names = pictures.classes
    maximized = metrics.metric(metric, len(names), True)
    labels = np.array([names[i] for i in pictures.y], dtype=object)
    parts = tabular.split(tabular.Dataset(None, labels, "label", names, []), seed)
    x = pictures.x
    mean, deviation = _channel_moments(x[parts[0]])
    standardized = lambda rows: (jnp.asarray((x[rows] - mean) / deviation), jnp.asarray(pictures.y[rows]))
    train_rows, validation, test = parts
    notes = list(pictures.notes)
    if len(train_rows) > SEARCH_IMAGES:
        notes.append(f"the search trains on {SEARCH_IMAGES:,} of {len(train_rows):,} training images")
    search = Data(*standardized(train_rows[:SEARCH_IMAGES]), *standardized(validation[: SEARCH_IMAGES // 2]))
    final = Data(*standardized(np.concatenate([train_rows, validation])), *standardized(test))
    space, stride = image_space(), 1 if max(x.shape[1:3]) <= 16 else 2

    def build_model(configs: list[dict[str, Any]], params: list[Any], temperatures: np.ndarray) -> ImageModel:
        return ImageModel.fit(configs, params, temperatures, names, mean, deviation, stride, final.x[:512])

    def fixed_choices(method: str, directory: Path) -> dict[str, Any]:
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
        maximized,
        functools.partial(train_images, space, len(names), stride, maximized),
        build_model,
        None,
        fixed_choices,
        GROUP_SIZE,
        48,
        "Batch norm uses the statistics of the batch in training and validation, and of 512 training images in the test.",
    )
    return ImageTask(task, (len(train_rows), len(validation), len(test)), x.shape[1:], notes)


def _channel_moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and standard deviation of every channel; a constant channel has the deviation 1."""
    channels = x.reshape(-1, x.shape[-1]).astype(np.float64)
    deviation = np.where(channels.std(axis=0) > 0, channels.std(axis=0), 1.0)
    return np.asarray(channels.mean(axis=0), np.float32), np.asarray(deviation, np.float32)


def by_supernet(data: Data, classes: int, stride: int, seed: int) -> dict[str, Any]:
    """Returns the cell that DrNAS (Chen et al. 2021, arXiv:2006.10355) decides on, from a SuperNet that is trained once."""
    net = network(classes, data.x.shape[-1], stride)
    parts = (data.x, data.y), (data.x_eval, data.y_eval)
    try:
        outcome = supernet.run(
            "drnas",
            net.space,
            net.network,
            fewshot.cross_entropy,
            parts,
            steps=SUPERNET_STEPS,
            learning_rate=SUPERNET_LEARNING_RATE,
            batch_size=BATCH_SIZE,
            seed=seed,
        )
    except Diverged:
        raise InputError("method='supernet': the SuperNet diverged on these images; use method='metalearner'") from None
    return outcome.config
