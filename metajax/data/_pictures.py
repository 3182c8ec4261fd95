"""Labeled images of a user: a folder of folders, or an ``.npz``."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from metajax.data._folders import SUFFIXES, image_folder, stack_images
from metajax.data._home import array_shapes, load_npz
from metajax.types import InputError

_LARGEST, _MOST = 32, 50_000


class Pictures(NamedTuple):
    """Images f32[n, height, width, channels] in [0, 1], their class numbers i32[n], the classes' names, and what was done."""

    x: np.ndarray
    y: np.ndarray
    classes: list[str]
    notes: list[str]


def holds_images(path: Path) -> bool:
    """Is this a folder, or an ``.npz`` whose x has a height and a width?"""
    if path.is_dir():
        return True
    if path.suffix.lower() != ".npz" or not path.is_file():
        return False
    shapes = array_shapes(path)
    shape = shapes.get("x", shapes.get("X", ()))
    return len(shape) in (3, 4) and min(shape[1:3]) >= 4


def pictures(path: Path | str, size: int | None = None) -> Pictures:
    """Images by class.

    Args:
        path: a folder with one folder of images for each class, or an ``.npz`` of x [n, height, width] or
            [n, height, width, channels] and labels y [n].
        size: side in pixels to which images are resized (folders); by default all must be of one size, and those above 32
            pixels are made smaller by means of whole blocks.

    Raises:
        InputError: if there is nothing to read, sizes differ, values are not finite, there are fewer than two classes, or a
            class has fewer than 3 images.
    """
    path = Path(path)
    if path.is_dir():
        found = image_folder(path, size)
        x, y = found.x, np.repeat(np.arange(len(found.counts)), found.counts)
        names = list(found.names)
    else:
        x, y, names = _arrays(path)
    if not np.isfinite(x).all():
        raise InputError(f"{path}: x has values that are not finite; replace them")
    counts = np.bincount(y, minlength=len(names))
    if len(names) < 2:
        raise InputError(f"{path}: has the one class {names[0]!r}; at least two are needed")
    rare = [name for name, count in zip(names, counts) if count < 3]
    if rare:
        raise InputError(f"{path}: the classes {rare[:5]} have fewer than 3 images; add some or remove them")
    notes = []
    if len(x) > _MOST:
        rows = np.sort(np.random.default_rng(0).permutation(len(x))[:_MOST])
        notes.append(f"{_MOST:,} of {len(x):,} images were drawn")
        x, y = x[rows], y[rows]
    large = x.shape[1:3]
    x = _scaled(x)
    if x.shape[1:3] != large:
        notes.append(f"images of {large[0]} x {large[1]} were made {x.shape[1]} x {x.shape[2]} by means of blocks")
    return Pictures(x, y.astype(np.int32), names, notes)


def _scaled(x: np.ndarray) -> np.ndarray:
    """f32[n, height, width, channels] in [0, 1], no side above 32."""
    x = x if x.ndim == 4 else x[..., None]
    x = x.astype(np.float32) / np.float32(255.0 if x.dtype == np.uint8 or x.max() > 1.5 else 1.0)
    block = -(-max(x.shape[1:3]) // _LARGEST)
    if block == 1:
        return x
    h, w = (side // block for side in x.shape[1:3])
    return x[:, : h * block, : w * block].reshape(len(x), h, block, w, block, -1).mean(axis=(2, 4))


def pixels(path: Path | str, size: int | None = None) -> np.ndarray:
    """Images to predict for, as ``pictures`` reads them, without labels: an ``.npz`` with x, or a folder of images."""
    path = Path(path)
    if not path.is_dir():
        return _scaled(load_npz(path, ("x",))["x"])
    files = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in SUFFIXES]
    if not files:
        raise InputError(f"{path}: holds no image; accepted are {', '.join(SUFFIXES)}")
    return _scaled(stack_images({"": files}, size).x)


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    there = array_shapes(path)
    name = "x" if "x" in there else "X"
    if "y" not in there:
        raise InputError(f"{path}: needs the arrays x (images) and y (labels); it holds {list(there)}")
    arrays = load_npz(path, (name, "y"))
    x, y = arrays[name], arrays["y"]
    if y.shape != (len(x),):
        raise InputError(f"{path}: needs one label for each image; got shapes {x.shape} and {y.shape}")
    if x.ndim == 4 and x.shape[3] > 4:
        raise InputError(
            f"{path}: x has shape {x.shape}; accepted is [n, height, width, channels] with at most 4 channels"
        )
    labels, codes = np.unique(y, return_inverse=True)
    return x, codes, [str(label) for label in labels]
