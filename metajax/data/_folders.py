"""Labeled images in folders, one for each class, and the few-shot sets that come that way: mini-ImageNet, tieredImageNet
and CIFAR-FS with their official splits."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metajax.data._classes import Classes, ClassSplit
from metajax.data._home import home
from metajax.types import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


def image_folder(
    path: Path | str, size: int | None = None, limit: int | None = None, only: Sequence[str] | None = None
) -> Classes:
    """Images below ``path/<class>/``, uint8[n, height, width, 1 or 3].

    Args:
        size: resize to size x size; by default all must be of one size already.
        limit: read at most so many images of a class, the first by name.
        only: the names of the classes to read, in this order.

    Raises:
        InputError: if there are no classes, a class has no image, an image is damaged, or sizes differ.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such folder")
    names = sorted(p.name for p in path.iterdir() if p.is_dir()) if only is None else list(only)
    missing = [name for name in names if not (path / name).is_dir()]
    if missing:
        raise InputError(f"{path}: has no folder {missing[0]!r}, which the split names ({len(missing)} are missing)")
    if not names:
        raise InputError(f"{path}: has no folders; accepted is one folder of images for each class")
    files = {name: [p for p in sorted((path / name).rglob("*")) if p.suffix.lower() in SUFFIXES] for name in names}
    empty = [name for name, found in files.items() if not found]
    if empty:
        raise InputError(f"{path / empty[0]}: holds no image; accepted are {', '.join(SUFFIXES)}")
    return stack_images({name: found[:limit] for name, found in files.items()}, size)


def mini_imagenet(size: int = 84) -> ClassSplit:
    """mini-ImageNet (Vinyals et al. 2016) with the split of Ravi and Larochelle (2017): 64, 16 and 20 classes of 600
    images.

    Read from ``mini-imagenet/`` below ``$METAJAX_DATA``: ``images/*.jpg`` and ``train.csv``, ``val.csv``, ``test.csv``
    with the columns ``filename`` and ``label``. ImageNet's licence forbids fetching it here.
    """
    root = _root("mini-imagenet", "images/ and train.csv, val.csv, test.csv (columns filename, label)")
    parts = []
    for part in ("train", "val", "test"):
        files: dict[str, list[Path]] = {}
        for row in _csv(root / f"{part}.csv"):
            files.setdefault(row["label"], []).append(root / "images" / row["filename"])
        parts.append(stack_images(files, size))
    return ClassSplit(*parts)


def tiered_imagenet(size: int = 84, limit: int | None = 600) -> ClassSplit:
    """tieredImageNet (Ren et al. 2018): 351, 97 and 160 classes whose parents in WordNet differ.

    Read from ``tiered-imagenet/{train,val,test}/<class>/`` below ``$METAJAX_DATA``.

    Args:
        limit: images of a class to keep (about 1,300 are there; all of them need 16 GB of memory).
    """
    root = _root("tiered-imagenet", "train/, val/ and test/, each with one folder of images for each class")
    return ClassSplit(*(image_folder(root / part, size, limit) for part in ("train", "val", "test")))


def cifar_fs(size: int = 32) -> ClassSplit:
    """CIFAR-FS (Bertinetto et al. 2019): CIFAR-100's classes split 64, 16 and 20, 600 images each.

    Read from ``cifar-fs/`` below ``$METAJAX_DATA``: ``data/<class>/*.png`` and ``splits/bertinetto/{train,val,test}.txt``
    with one class a line, as in the authors' archive.
    """
    root = _root("cifar-fs", "data/<class>/*.png and splits/bertinetto/train.txt, val.txt, test.txt")
    parts = []
    for part in ("train", "val", "test"):
        file = root / "splits" / "bertinetto" / f"{part}.txt"
        parts.append(image_folder(root / "data", size, only=_text(file).split()))
    return ClassSplit(*parts)


def _root(name: str, layout: str) -> Path:
    root = home() / name
    if not root.is_dir():
        raise InputError(f"{root}: not there; put {name} there as {layout}")
    return root


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error


def _csv(file: Path) -> list[dict[str, str]]:
    rows = list(csv.DictReader(_text(file).splitlines()))
    if not rows or not {"filename", "label"} <= set(rows[0]):
        raise InputError(f"{file}: needs the columns filename and label and at least one row")
    return rows


def stack_images(files: dict[str, list[Path]], size: int | None) -> Classes:
    """The images of each name, all of one shape.

    Raises:
        InputError: if sizes differ and none is given to resize to, or an image is damaged.
    """
    images: list[np.ndarray] = []
    shape: tuple[int, ...] | None = None
    first: Path | None = None
    for file in (file for found in files.values() for file in found):
        image = read_image(file, size)
        if shape is not None and image.shape[:2] != shape:
            raise InputError(
                f"{file}: is {image.shape[0]} x {image.shape[1]}, but {first} is {shape[0]} x {shape[1]}; give a size "
                "to resize all to"
            )
        shape, first = image.shape[:2], first or file
        images.append(image)
    channels = max(image.shape[2] for image in images)
    grown = [np.broadcast_to(image, (*image.shape[:2], channels)) for image in images]
    counts = np.array([len(found) for found in files.values()])
    return Classes(np.stack(grown), counts, tuple(files))


def read_image(file: Path, size: int | None = None) -> np.ndarray:
    """uint8[height, width, 1] of a grey image, [..., 3] of another.

    Raises:
        InputError: if it is missing or damaged, or if Pillow is not installed.
    """
    image_module: Any
    try:
        from PIL import Image as image_module
    except ImportError:
        raise InputError("images need Pillow: pip install 'metajax[image]'") from None
    try:
        with image_module.open(file) as opened:
            image = opened.convert("L" if opened.mode in ("1", "L", "LA", "I", "I;16") else "RGB")
            if size is not None and image.size != (size, size):
                image = image.resize((size, size), image_module.Resampling.BILINEAR)
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{file}: not a readable image ({error})") from error
    return pixels[..., None] if pixels.ndim == 2 else pixels
