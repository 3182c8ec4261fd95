"""Images as a task of the main job: the split, the standardization, and a cell that a SuperNet may decide beforehand."""

import dataclasses
import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax import fewshot, supernet
from metajax.automl import _metrics as metrics
from metajax.automl._image_model import ImageModel, network
from metajax.automl._image_space import DEFAULT, image_space
from metajax.automl._image_training import BATCH_SIZE, ImageSetting, train_images
from metajax.automl._prepare import N_FOLDS
from metajax.automl._splits import every_nth
from metajax.automl._task import EnsembleMember, Task
from metajax.automl._training import GROUP_SIZE, Data
from metajax.data import tabular
from metajax.data._pictures import Pictures
from metajax.run import Diverged, read_json, write_json
from metajax.types import InputError

SEARCH_IMAGES = 8_000
"""Most training images of a search."""
SUPERNET_STEPS = 400
"""Steps of the SuperNet that decides on a cell."""
SUPERNET_LEARNING_RATE = 0.1
"""Its learning rate at the first step."""


class ImageTask(NamedTuple):
    """A task of images.

    Attributes:
        task: The task.
        rows: Numbers of images that are learned from and of test images.
        shape: Height, width and channels.
        notes: Sentences on what was done to the images, for the report.
    """

    task: Task
    rows: tuple[int, int]
    shape: tuple[int, ...]
    notes: list[str]


def image_task(pictures: Pictures, seed: int, metric: str | None = None) -> ImageTask:
    """Makes a task of images.

    It holds a fifth out as a test, stratified by class, and standardizes by the channels of the training images. The metric is
    that of ``Config``.
    """
    names, x = pictures.classes, pictures.x
    maximized = metrics.metric(metric, len(names), True)
    rows = _split(pictures, seed)
    folds = rows.folds(seed)
    final = Data(*rows.standardized(np.concatenate([rows.train, rows.validation])), *rows.standardized(rows.test))
    space, stride = image_space(), 1 if max(x.shape[1:3]) <= 16 else 2
    task = Task(
        space=space,
        default=DEFAULT,
        search=folds[0],
        folds=folds,
        final=final,
        classification=True,
        metric=maximized,
        train=functools.partial(train_images, ImageSetting(space, len(names), stride, maximized)),
        build_model=functools.partial(_build_model, names, rows.mean, rows.deviation, stride, final.x[:512]),
        write_member=write_member,
        read_member=functools.partial(read_member, len(names), x.shape[3], stride),
        fixed_choices=functools.partial(_fixed_choices, folds[0], len(names), stride, seed),
        wave_size=GROUP_SIZE,
        default_trials=48,
        protocol_note=(
            "Batch norm uses the statistics of the batch in training and validation, and of 512 training images in the test."
        ),
    )
    notes, n_train = list(pictures.notes), len(rows.train)
    if n_train > SEARCH_IMAGES:
        notes.append(f"the search trains on {SEARCH_IMAGES:,} of {n_train:,} training images")
    return ImageTask(task, (n_train + len(rows.validation), len(rows.test)), x.shape[1:], notes)


class _SplitImages(NamedTuple):
    """Images, the rows of each part, and the moments of the channels of the training images.

    Attributes:
        pictures: The images and their classes.
        train, validation, test: i64[n], the rows of each part.
        mean, deviation: f32[channels], by which images are standardized.
    """

    pictures: Pictures
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    def standardized(self, rows: np.ndarray) -> tuple[jax.Array, jax.Array]:
        """Returns the standardized images of these rows, and their classes."""
        return jnp.asarray((self.pictures.x[rows] - self.mean) / self.deviation), jnp.asarray(self.pictures.y[rows])

    def folds(self, seed: int) -> list[Data]:
        """Returns the folds of the images of the search, of which there are at most ``SEARCH_IMAGES`` to train on."""
        n_search = min(len(self.train), SEARCH_IMAGES)
        rows = np.concatenate([self.train[:n_search], self.validation[: max(1, n_search // 3)]])
        x, y = map(np.asarray, self.standardized(np.random.default_rng(seed).permutation(rows)))
        return [
            Data(x[split.train], y[split.train], x[split.evaluation], y[split.evaluation])
            for split in every_nth(len(x), N_FOLDS)
        ]


def _split(pictures: Pictures, seed: int) -> _SplitImages:
    """Splits images into training, validation and test, stratified by class."""
    names = pictures.classes
    labels = np.array([names[i] for i in pictures.y], dtype=object)
    train, validation, test = tabular.split(tabular.Dataset(None, labels, "label", names, []), seed)
    mean, deviation = _channel_moments(pictures.x[train])
    return _SplitImages(pictures, train, validation, test, mean, deviation)


def _build_model(
    classes: list[str],
    mean: np.ndarray,
    deviation: np.ndarray,
    stride: int,
    images: Any,
    members: list[EnsembleMember],
    threshold: float = 0.5,
) -> ImageModel:
    """Builds the ensemble, with batch statistics of these standardized images; see ``BuildModelFn``."""
    configs, params, *numbers = map(list, zip(*members))
    temperatures, weights = map(np.array, numbers)
    model = ImageModel.fit(configs, params, temperatures, classes, mean, deviation, stride, images, weights)
    return dataclasses.replace(model, threshold=threshold)


def _fixed_choices(data: Data, n_classes: int, stride: int, seed: int, method: str, directory: Path) -> dict[str, Any]:
    """Returns the cell that a SuperNet decides on, if that is the method; see ``FixedChoicesFn``."""
    if method != "supernet":
        return {}
    file = directory / "supernet.json"
    if not file.is_file():
        write_json(file, by_supernet(data, n_classes, stride, seed))
    return read_json(file)


def write_member(params: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Returns the weights of a SuperNet as arrays by number; see ``WriteMemberFn``."""
    return {}, {str(number): np.asarray(leaf) for number, leaf in enumerate(jax.tree.leaves(params))}


def read_member(classes: int, channels: int, stride: int, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    """Returns the weights that ``write_member`` was given, for images of this many channels."""
    supernet_network = network(classes, channels, stride, single_path=True).network
    structure = jax.tree.structure(jax.eval_shape(supernet_network.init, jax.random.key(0)))
    return structure.unflatten([arrays[str(number)] for number in range(len(arrays))])


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
