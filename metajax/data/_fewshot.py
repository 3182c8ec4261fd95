"""Sources of few-shot tasks by name or path: classes for training, validation and test."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from metajax.data._bundled import sklearn_datasets
from metajax.data._classes import Classes, ClassSplit, by_label, from_array, split_classes
from metajax.data._folders import cifar_fs, image_folder, mini_imagenet, tiered_imagenet
from metajax.data._home import load_npz
from metajax.data._omniglot import omniglot
from metajax.types import InputError


class Loader(Protocol):
    """A function that loads the classes of a dataset."""

    def __call__(self, *, seed: int, size: int | None) -> ClassSplit | Classes:
        """Loads the dataset.

        Args:
            seed: The seed of a split by class, where the dataset has no official one.
            size: The side in pixels to which images are to be resized; ``None`` keeps their own.

        Returns:
            The three parts of an official split, or all classes. The latter are split by ``class_split`` at random: 64% of the
            classes for training, 16% for validation and 20% for the test.
        """
        ...


L = TypeVar("L", bound=Loader)
_LOADERS: dict[str, Loader] = {}


def register(name: str) -> Callable[[L], L]:
    """Registers a dataset under a name that ``class_split`` and the few-shot experiments accept.

    Args:
        name: The name. It must not be taken, and must not look like a path or like ``sklearn:NAME``.

    Returns:
        A decorator for the function that loads the dataset. It returns the function unchanged.

    Raises:
        InputError: If the name is empty, taken, or not a plain word.

    Example:
        >>> from metajax import data
        >>> @data.register("stripes")
        ... def stripes(*, seed, size):
        ...     images = np.random.default_rng(0).random((10, 20, 8, 8))  # classes, examples, height, width
        ...     return data.from_array(images)
        >>> [len(part.counts) for part in data.class_split("stripes")]
        [6, 2, 2]
    """
    if not name or not name.replace("-", "").replace("_", "").isalnum():
        raise InputError(f"name={name!r}: must have letters, digits, '-' and '_' only")
    if name in _LOADERS:
        raise InputError(f"name={name!r}: is already registered; choose a name other than {sorted(_LOADERS)}")

    def keep(loader: L) -> L:
        _LOADERS[name] = loader
        return loader

    return keep


@register("omniglot")
def _omniglot(*, seed: int, size: int | None) -> ClassSplit:
    return omniglot(seed)


@register("mini-imagenet")
def _mini_imagenet(*, seed: int, size: int | None) -> ClassSplit:
    return mini_imagenet(size or 84)


@register("tiered-imagenet")
def _tiered_imagenet(*, seed: int, size: int | None) -> ClassSplit:
    return tiered_imagenet(size or 84)


@register("cifar-fs")
def _cifar_fs(*, seed: int, size: int | None) -> ClassSplit:
    return cifar_fs(size or 32)


def class_split(data: str, seed: int = 0, size: int | None = None) -> ClassSplit:
    """Returns the classes of a dataset for training, validation and test.

    Args:
        data: The dataset:

            * a registered name: ``omniglot``, ``mini-imagenet``, ``tiered-imagenet``, ``cifar-fs``, and those of ``register``;
            * ``sklearn:NAME`` for a classification dataset of scikit-learn (``digits``, ``wine``, ``olivetti_faces``, ...);
            * an ``.npz`` file with ``images`` [classes, examples, height, width [, channels]], or ``x`` [n, ...] and ``y`` [n];
            * a folder with one folder of images for each class. If it has ``train``, ``val`` and ``test`` below it, that is
              the split.
        seed: The seed of the split by class where there is no official one (64%, 16% and 20% of the classes).
        size: Images are resized to ``size`` x ``size`` pixels. It is needed where a folder has images of unequal size.

    Returns:
        The three parts, whose classes are disjoint. Features (not images) that are split here are standardized by the mean and
        deviation of the training classes.

    Raises:
        InputError: If the dataset is not one of these or cannot be read.

    Example:
        >>> parts = class_split("sklearn:digits")
        >>> [part.names for part in parts]
        [('4', '6', '2', '7', '3', '5'), ('9', '0'), ('8', '1')]
    """
    name = f"data={data!r}"
    path = Path(data)
    if data in _LOADERS:
        classes = _LOADERS[data](seed=seed, size=size)
        if isinstance(classes, ClassSplit):
            return classes
    elif data.startswith("sklearn:"):
        classes = sklearn_classes(data.removeprefix("sklearn:"))
    elif path.suffix.lower() == ".npz":
        classes = class_npz(path)
    elif path.is_dir():
        if all((path / part).is_dir() for part in ("train", "val", "test")):
            return ClassSplit(*(image_folder(path / part, size) for part in ("train", "val", "test")))
        classes = image_folder(path, size)
    else:
        raise InputError(
            f"{name}: must be one of {', '.join(_LOADERS)}, sklearn:NAME, a path ending in .npz, or a folder of folders "
            "of images"
        )
    return standardized(split_classes(classes, seed, name=name))


def class_npz(path: Path) -> Classes:
    """Reads classes from an ``.npz``: ``images`` by class, or ``x`` and ``y``. Nothing is unpickled."""
    try:
        return from_array(load_npz(path, ("images",))["images"], name=f"{path}: images")
    except InputError as error:
        if "lacks the arrays" not in str(error):
            raise
    try:
        arrays = load_npz(path, ("x", "y"))
    except InputError as error:
        raise InputError(
            f"{path} must have the array images [classes, examples, height, width], or x and y; {error}"
        ) from None
    return by_label(arrays["x"], arrays["y"], f"{path}: y")


def sklearn_classes(name: str) -> Classes:
    """Loads a classification dataset of scikit-learn by class: images where it has them, features elsewhere."""
    argument, datasets = f"data='sklearn:{name}'", sklearn_datasets()
    load = getattr(datasets, f"load_{name}", None) or getattr(datasets, f"fetch_{name}", None)
    if load is None:
        known = sorted(n.split("_", 1)[1] for n in dir(datasets) if n.startswith(("load_", "fetch_")))
        raise InputError(f"{argument}: must name a dataset of scikit-learn, one of {', '.join(known)}")
    try:
        bunch = load()
    except (OSError, TypeError) as error:
        raise InputError(f"{argument}: could not be loaded ({error})") from error
    target = np.asarray(getattr(bunch, "target", np.zeros(0)))
    x = np.asarray(bunch.images if hasattr(bunch, "images") else bunch.data, np.float32)
    is_whole = target.ndim == 1 and bool(len(target)) and bool(np.all(np.mod(target, 1) == 0))
    if not is_whole or not hasattr(bunch, "target_names"):
        raise InputError(f"{argument}: must be a classification dataset, such as sklearn:digits")
    return by_label(x / x.max() if x.ndim > 2 else x, target)


def standardized(parts: ClassSplit) -> ClassSplit:
    """Shifts and scales features by the mean and deviation of the training classes. Images are left as they are."""
    if parts.train.x.ndim != 2:
        return parts
    mean, std = parts.train.x.mean(axis=0), parts.train.x.std(axis=0)
    scale = lambda part: part._replace(x=((part.x - mean) / np.where(std > 0, std, 1)).astype(np.float32))
    return ClassSplit(*map(scale, parts))
