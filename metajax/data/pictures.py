"""Labelled images of a user: a folder of folders, or an ``.npz``."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from metajax.data.folders import image_folder
from metajax.data.home import load_npz
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
    try:
        with np.load(path, allow_pickle=False) as file:
            x = next((file[name] for name in ("x", "X") if name in file), None)
    except (OSError, ValueError):
        return False
    return x is not None and x.ndim in (3, 4) and min(x.shape[1:3]) >= 4


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
        raise InputError(f"--data {path}: x has values that are not finite; replace them")
    counts = np.bincount(y, minlength=len(names))
    if len(names) < 2:
        raise InputError(f"--data {path}: has the one class {names[0]!r}; at least two are needed")
    rare = [name for name, count in zip(names, counts) if count < 3]
    if rare:
        raise InputError(f"--data {path}: the classes {rare[:5]} have fewer than 3 images; add some or remove them")
    notes = []
    if len(x) > _MOST:
        rows = np.sort(np.random.default_rng(0).permutation(len(x))[:_MOST])
        notes.append(f"{_MOST:,} of {len(x):,} images were drawn")
        x, y = x[rows], y[rows]
    x = x if x.ndim == 4 else x[..., None]
    top = 255.0 if x.dtype == np.uint8 or x.max() > 1.5 else 1.0
    x = x.astype(np.float32) / np.float32(top)
    block = -(-max(x.shape[1:3]) // _LARGEST)
    if block > 1:
        h, w = (side // block * block for side in x.shape[1:3])
        notes.append(f"images of {x.shape[1]} x {x.shape[2]} were made {h // block} x {w // block} by means of blocks")
        x = x[:, :h, :w].reshape(len(x), h // block, block, w // block, block, -1).mean(axis=(2, 4))
    return Pictures(x, y.astype(np.int32), names, notes)


def pixels(path: Path | str, size: int | None = None) -> np.ndarray:
    """Images to predict for, as ``pictures`` reads them, without labels: an ``.npz`` with x, or a folder of images."""
    from metajax.data.folders import SUFFIXES, read_image

    path = Path(path)
    if path.is_dir():
        files = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in SUFFIXES]
        if not files:
            raise InputError(f"{path}: holds no image; accepted are {', '.join(SUFFIXES)}")
        read = [read_image(file, size) for file in files]
        if len({image.shape[:2] for image in read}) > 1:
            raise InputError(f"{path}: images have different sizes; the model was trained on one")
        channels = max(image.shape[2] for image in read)
        return (
            np.stack([np.broadcast_to(image, (*image.shape[:2], channels)) for image in read]).astype(np.float32) / 255
        )
    x = load_npz(path, ("x",))["x"]
    x = x if x.ndim == 4 else x[..., None]
    return x.astype(np.float32) / np.float32(255.0 if x.dtype == np.uint8 or x.max() > 1.5 else 1.0)


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    with np.load(path, allow_pickle=False) as file:
        there = list(file)
    name = "x" if "x" in there else "X"
    if "y" not in there:
        raise InputError(f"{path}: needs the arrays x (images) and y (labels); it holds {there}")
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
