"""Labeled images of a user: a folder of folders, or an ``.npz`` file."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from metajax.data._folders import SUFFIXES, image_folder, stack_images
from metajax.data._home import array_shapes, load_npz
from metajax.types import InputError

_MAX_SIDE, _MAX_IMAGES = 32, 50_000


class Pictures(NamedTuple):
    """Labeled images.

    Attributes:
        x: f32[n, height, width, channels] in [0, 1].
        y: i32[n], the class of each image.
        classes: The names of the classes.
        notes: Notes on the reading, for the report.
    """

    x: np.ndarray
    y: np.ndarray
    classes: list[str]
    notes: list[str]


def holds_images(path: Path) -> bool:
    """Returns whether this is a folder, or an ``.npz`` whose x has a height and a width."""
    if path.is_dir():
        return True
    if path.suffix.lower() != ".npz" or not path.is_file():
        return False
    shapes = array_shapes(path)
    shape = shapes.get("x", shapes.get("X", ()))
    return len(shape) in (3, 4) and min(shape[1:3]) >= 4


def pictures(path: Path | str, size: int | None = None) -> Pictures:
    """Reads labeled images.

    Args:
        path: A folder with one folder of images for each class, or an ``.npz`` of x [n, height, width] or
            [n, height, width, channels] and labels y [n].
        size: The side in pixels to which the images of a folder are resized; by default all must have one size. Images above
            32 pixels are shrunk by averaging over whole blocks.

    Raises:
        InputError: If there is nothing to read, sizes differ, values are not finite, there are fewer than two classes, or a
            class has fewer than 3 images.
    """
    path = Path(path)
    if path.is_dir():
        folder = image_folder(path, size)
        x, y = folder.x, np.repeat(np.arange(len(folder.counts)), folder.counts)
        names = list(folder.names)
    else:
        x, y, names = _arrays(path)
    if not np.isfinite(x).all():
        raise InputError(f"{path}: x must have finite values only; replace the others")
    counts = np.bincount(y, minlength=len(names))
    if len(names) < 2:
        raise InputError(f"{path} must have at least two classes, but all images are of class {names[0]!r}")
    rare_classes = [name for name, count in zip(names, counts) if count < 3]
    if rare_classes:
        raise InputError(
            f"{path}: every class must have at least 3 images; add some to {rare_classes[:5]} or remove these classes"
        )
    notes = []
    if len(x) > _MAX_IMAGES:
        rows = np.sort(np.random.default_rng(0).permutation(len(x))[:_MAX_IMAGES])
        notes.append(f"{_MAX_IMAGES:,} of {len(x):,} images are used")
        x, y = x[rows], y[rows]
    large = x.shape[1:3]
    x = _scaled(x)
    if x.shape[1:3] != large:
        notes.append(
            f"images of {large[0]} x {large[1]} were shrunk to {x.shape[1]} x {x.shape[2]} by averaging over blocks"
        )
    return Pictures(x, y.astype(np.int32), names, notes)


def _scaled(x: np.ndarray) -> np.ndarray:
    """Returns f32[n, height, width, channels] in [0, 1] with no side above 32."""
    x = x if x.ndim == 4 else x[..., None]
    x = x.astype(np.float32) / np.float32(255.0 if x.dtype == np.uint8 or x.max() > 1.5 else 1.0)
    block = -(-max(x.shape[1:3]) // _MAX_SIDE)
    if block == 1:
        return x
    h, w = (side // block for side in x.shape[1:3])
    return x[:, : h * block, : w * block].reshape(len(x), h, block, w, block, -1).mean(axis=(2, 4))


def pixels(path: Path | str, size: int | None = None) -> np.ndarray:
    """Reads images without labels, to predict for them: an ``.npz`` with x, or a folder of images."""
    path = Path(path)
    if not path.is_dir():
        return _scaled(load_npz(path, ("x",))["x"])
    files = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in SUFFIXES]
    if not files:
        raise InputError(f"{path} must contain an image ending in {', '.join(SUFFIXES)}, but it has none")
    return _scaled(stack_images({"": files}, size).x)


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Reads the images, the classes and their names from an ``.npz``."""
    shapes = array_shapes(path)
    name = "x" if "x" in shapes else "X"
    if "y" not in shapes:
        raise InputError(f"{path} must have the arrays x (images) and y (labels), got {list(shapes)}")
    arrays = load_npz(path, (name, "y"))
    x, y = arrays[name], arrays["y"]
    if y.shape != (len(x),):
        raise InputError(
            f"{path} must have one label for each image, got x of shape {x.shape} and y of shape {y.shape}"
        )
    if x.ndim == 4 and x.shape[3] > 4:
        raise InputError(
            f"{path}: x must have the shape (n, height, width, channels) with at most 4 channels, got {x.shape}"
        )
    labels, codes = np.unique(y, return_inverse=True)
    return x, codes, [str(label) for label in labels]
