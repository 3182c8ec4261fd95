"""Labeled images in folders, one for each class, and the few-shot datasets that come that way with their official splits:
mini-ImageNet, tieredImageNet and CIFAR-FS."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metajax._optional import optional
from metajax.data._classes import Classes, ClassSplit
from metajax.data._home import home
from metajax.data.schema._encodings import read_text
from metajax.types import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


def image_folder(
    path: Path | str, size: int | None = None, limit: int | None = None, only: Sequence[str] | None = None
) -> Classes:
    """Reads the images below ``path/<class>/``.

    Args:
        path: A folder with one folder of images for each class.
        size: Images are resized to ``size`` x ``size`` pixels; by default all must have one size already.
        limit: The maximum number of images of a class; the first by name are read.
        only: The names of the classes to read, in this order; by default all.

    Returns:
        The classes, with images uint8[n, height, width, 1 or 3].

    Raises:
        InputError: If there are no classes, a class has no image, an image is damaged, sizes differ, or Pillow is missing.

    Example:
        >>> classes = image_folder("flowers", size=64)  # doctest: +SKIP
        >>> classes.names  # doctest: +SKIP
        ('daisy', 'rose', 'tulip')
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such folder")
    names = sorted(p.name for p in path.iterdir() if p.is_dir()) if only is None else list(only)
    missing = [name for name in names if not (path / name).is_dir()]
    if missing:
        raise InputError(f"{path} lacks the folder {missing[0]!r} of the split ({len(missing)} are missing)")
    if not names:
        raise InputError(f"{path} must contain one folder of images for each class, but it has no folders")
    files = {name: [p for p in sorted((path / name).rglob("*")) if p.suffix.lower() in SUFFIXES] for name in names}
    empty_folders = [name for name, paths in files.items() if not paths]
    if empty_folders:
        raise InputError(
            f"{path / empty_folders[0]} must contain an image ending in {', '.join(SUFFIXES)}, but it has none"
        )
    return stack_images({name: paths[:limit] for name, paths in files.items()}, size)


def mini_imagenet(size: int = 84) -> ClassSplit:
    """Loads mini-ImageNet with the split of Ravi and Larochelle: 64, 16 and 20 classes of 600 images.

    The files are expected in ``mini-imagenet/`` below ``$METAJAX_DATA``: ``images/*.jpg`` and ``train.csv``, ``val.csv``,
    ``test.csv`` with the columns ``filename`` and ``label``. The license of ImageNet forbids downloading it here.

    Args:
        size: The side in pixels to which images are resized.

    Returns:
        The three parts, with images uint8[n, size, size, 3].

    Raises:
        InputError: If a file is missing or damaged.

    References:
        Vinyals et al., Matching networks for one shot learning, NeurIPS 2016, arXiv:1606.04080.
        Ravi and Larochelle, Optimization as a model for few-shot learning, ICLR 2017.

    Example:
        >>> parts = mini_imagenet()  # doctest: +SKIP
        >>> parts.train.x.shape  # doctest: +SKIP
        (38400, 84, 84, 3)
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
    """Loads tieredImageNet: 351, 97 and 160 classes, where no two parts share a parent in WordNet.

    The files are expected in ``tiered-imagenet/{train,val,test}/<class>/`` below ``$METAJAX_DATA``.

    Args:
        size: The side in pixels to which images are resized.
        limit: The maximum number of images of a class. There are about 1,300; all of them need 16 GB of memory.

    Returns:
        The three parts, with images uint8[n, size, size, 3].

    Raises:
        InputError: If a file is missing or damaged.

    References:
        Ren et al., Meta-learning for semi-supervised few-shot classification, ICLR 2018, arXiv:1803.00676.

    Example:
        >>> parts = tiered_imagenet(limit=100)  # doctest: +SKIP
        >>> len(parts.test.counts)  # doctest: +SKIP
        160
    """
    root = _root("tiered-imagenet", "train/, val/ and test/, each with one folder of images for each class")
    return ClassSplit(*(image_folder(root / part, size, limit) for part in ("train", "val", "test")))


def cifar_fs(size: int = 32) -> ClassSplit:
    """Loads CIFAR-FS: the classes of CIFAR-100 split into 64, 16 and 20, with 600 images each.

    The files are expected in ``cifar-fs/`` below ``$METAJAX_DATA``: ``data/<class>/*.png`` and
    ``splits/bertinetto/{train,val,test}.txt`` with one class a line, as in the archive of the authors.

    Args:
        size: The side in pixels to which images are resized.

    Returns:
        The three parts, with images uint8[n, size, size, 3].

    Raises:
        InputError: If a file is missing or damaged.

    References:
        Bertinetto et al., Meta-learning with differentiable closed-form solvers, ICLR 2019, arXiv:1805.08136.

    Example:
        >>> parts = cifar_fs()  # doctest: +SKIP
        >>> parts.train.x.shape  # doctest: +SKIP
        (38400, 32, 32, 3)
    """
    root = _root("cifar-fs", "data/<class>/*.png and splits/bertinetto/train.txt, val.txt, test.txt")
    parts = []
    for part in ("train", "val", "test"):
        file = root / "splits" / "bertinetto" / f"{part}.txt"
        parts.append(image_folder(root / "data", size, only=read_text(file).content.split()))
    return ClassSplit(*parts)


def _root(name: str, layout: str) -> Path:
    root = home() / name
    if not root.is_dir():
        raise InputError(f"{root} does not exist; put {name} there as {layout}")
    return root


def _csv(file: Path) -> list[dict[str, str]]:
    rows = list(csv.DictReader(read_text(file).content.splitlines()))
    if not rows or not {"filename", "label"} <= set(rows[0]):
        raise InputError(f"{file} must have the columns filename and label and at least one row")
    return rows


def stack_images(files: dict[str, list[Path]], size: int | None) -> Classes:
    """Reads the images of each class. All must have one size, unless ``size`` is given to resize them."""
    images: list[np.ndarray] = []
    shape: tuple[int, ...] | None = None
    first_file: Path | None = None
    for file in (file for paths in files.values() for file in paths):
        image = read_image(file, size)
        if shape is not None and image.shape[:2] != shape:
            raise InputError(
                f"{file} is {image.shape[0]} x {image.shape[1]}, but {first_file} is {shape[0]} x {shape[1]}; pass a "
                "size to resize all images to"
            )
        shape, first_file = image.shape[:2], first_file or file
        images.append(image)
    channels = max(image.shape[2] for image in images)
    widened = [np.broadcast_to(image, (*image.shape[:2], channels)) for image in images]
    counts = np.array([len(paths) for paths in files.values()])
    return Classes(np.stack(widened), counts, tuple(files))


def read_image(file: Path, size: int | None = None) -> np.ndarray:
    """Reads an image as uint8[height, width, channels]: one channel of a gray image, three of another."""
    image_module = optional("PIL.Image", "reading images")
    try:
        with image_module.open(file) as opened:
            image = opened.convert("L" if opened.mode in ("1", "L", "LA", "I", "I;16") else "RGB")
            if size is not None and image.size != (size, size):
                image = image.resize((size, size), image_module.Resampling.BILINEAR)
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{file} is not a readable image ({error})") from error
    return pixels[..., None] if pixels.ndim == 2 else pixels
