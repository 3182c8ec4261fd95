"""Any source of few-shot tasks by name or path, as classes for training, validation and test."""

from pathlib import Path

import numpy as np

from metajax.data._bundled import sklearn_datasets
from metajax.data._classes import Classes, ClassSplit, by_label, from_array, split_classes
from metajax.data._folders import cifar_fs, image_folder, mini_imagenet, tiered_imagenet
from metajax.data._home import load_npz
from metajax.data._omniglot import omniglot
from metajax.types import InputError

NAMES = ("omniglot", "mini-imagenet", "tiered-imagenet", "cifar-fs")


def class_split(data: str, seed: int = 0, size: int | None = None) -> ClassSplit:
    """Classes for training, validation and test.

    Args:
        data: one of ``NAMES``; ``sklearn:NAME`` for a classification dataset of scikit-learn (``digits``, ``wine``,
            ``olivetti_faces``, ...); an ``.npz`` with ``images`` [classes, examples, height, width [, channels]] or
            ``x`` [n, ...] and ``y`` [n]; or a folder of folders of images. Those with an official split keep it; if a
            folder has ``train``, ``val`` and ``test`` below it, that is its split.
        seed: of the split by class where there is no official one (64%, 16%, 20%).
        size: resize images to size x size; needed where a folder's images are of unequal size.

    Raises:
        InputError: if it is none of these or cannot be read.
    """
    if data == "omniglot":
        return omniglot(seed)
    official = {"mini-imagenet": mini_imagenet, "tiered-imagenet": tiered_imagenet, "cifar-fs": cifar_fs}
    if data in official:
        return official[data](size) if size else official[data]()
    if data.startswith("sklearn:"):
        return standardized(split_classes(sklearn_classes(data.removeprefix("sklearn:")), seed, name=f"--data {data}"))
    path = Path(data)
    if path.suffix.lower() == ".npz":
        parts = split_classes(class_npz(path), seed, name=f"--data {data}")
        return standardized(parts) if parts.train.x.ndim == 2 else parts
    if path.is_dir():
        if all((path / part).is_dir() for part in ("train", "val", "test")):
            return ClassSplit(*(image_folder(path / part, size) for part in ("train", "val", "test")))
        return split_classes(image_folder(path, size), seed, name=f"--data {data}")
    raise InputError(
        f"--data {data}: accepted are {', '.join(NAMES)}, sklearn:NAME, a path ending in .npz, and a folder of folders "
        "of images"
    )


def class_npz(path: Path) -> Classes:
    """Classes from an ``.npz``: ``images`` by class, or ``x`` and ``y``; nothing is unpickled."""
    try:
        return from_array(load_npz(path, ("images",))["images"], name=f"{path}: images")
    except InputError as error:
        if "lacks the arrays" not in str(error):
            raise
    try:
        found = load_npz(path, ("x", "y"))
    except InputError as error:
        raise InputError(f"{path}: needs images [classes, examples, height, width], or x and y; {error}") from None
    return by_label(found["x"], found["y"], f"{path}: y")


def sklearn_classes(name: str) -> Classes:
    """A classification dataset of scikit-learn by class: images where it has them, features elsewhere."""
    datasets = sklearn_datasets()
    load = getattr(datasets, f"load_{name}", None) or getattr(datasets, f"fetch_{name}", None)
    if load is None:
        known = sorted(n.split("_", 1)[1] for n in dir(datasets) if n.startswith(("load_", "fetch_")))
        raise InputError(f"--data sklearn:{name}: scikit-learn has no such dataset; it has {', '.join(known)}")
    try:
        bunch = load()
    except (OSError, TypeError) as error:
        raise InputError(f"--data sklearn:{name}: could not be loaded ({error})") from error
    target = np.asarray(getattr(bunch, "target", np.zeros(0)))
    x = np.asarray(bunch.images if hasattr(bunch, "images") else bunch.data, np.float32)
    whole = target.ndim == 1 and bool(len(target)) and bool(np.all(np.mod(target, 1) == 0))
    if not whole or not hasattr(bunch, "target_names"):
        raise InputError(f"--data sklearn:{name}: has no class labels")
    return by_label(x / x.max() if x.ndim > 2 else x, target)


def standardized(parts: ClassSplit) -> ClassSplit:
    """Features shifted and scaled by the mean and deviation of the training classes; images are left as they are."""
    if parts.train.x.ndim != 2:
        return parts
    mean, std = parts.train.x.mean(axis=0), parts.train.x.std(axis=0)
    scale = lambda part: part._replace(x=((part.x - mean) / np.where(std > 0, std, 1)).astype(np.float32))
    return ClassSplit(*map(scale, parts))
