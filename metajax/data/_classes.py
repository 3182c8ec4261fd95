"""Examples by class, and their split into training, validation and test classes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metajax.types import InputError


class Classes(NamedTuple):
    """Examples sorted by class.

    Attributes:
        x: [n, ...], all of one shape: images uint8[n, height, width, channels], or features f32[n, d].
        counts: int[classes], how many of them each class has, in order.
        names: of the classes.
    """

    x: np.ndarray
    counts: np.ndarray
    names: tuple[str, ...]

    def take(self, numbers: Sequence[int] | np.ndarray) -> "Classes":
        """Some classes, in the order of ``numbers``."""
        starts = np.cumsum(self.counts) - self.counts
        rows = [np.arange(starts[i], starts[i] + self.counts[i]) for i in numbers]
        return Classes(self.x[np.concatenate(rows)], self.counts[numbers], tuple(self.names[i] for i in numbers))


class ClassSplit(NamedTuple):
    """Training, validation and test, whose classes are disjoint."""

    train: Classes
    validation: Classes
    test: Classes


def from_array(x: np.ndarray, names: Sequence[str] | None = None, name: str = "images") -> Classes:
    """From an array [classes, examples, ...]; images without channels get one.

    Raises:
        InputError: on another shape, or where numbers are not finite.
    """
    x = np.asarray(x)
    if x.ndim not in (3, 4, 5) or 0 in x.shape:
        raise InputError(
            f"{name}: shape {x.shape}; accepted: classes x examples x height x width [x channels], or "
            "classes x examples x features"
        )
    if not (np.issubdtype(x.dtype, np.floating) or x.dtype == np.uint8):
        raise InputError(f"{name}: dtype {x.dtype}; accepted are uint8 and floats")
    if x.dtype != np.uint8 and not np.isfinite(x).all():
        raise InputError(f"{name}: holds values that are not finite")
    x = x[..., None] if x.ndim == 4 else x
    number, examples = x.shape[:2]
    names = tuple(map(str, range(number))) if names is None else tuple(names)
    return Classes(x.reshape(-1, *x.shape[2:]), np.full(number, examples), names)


def by_label(x: np.ndarray, y: np.ndarray, name: str = "y") -> Classes:
    """From examples [n, ...] and labels [n] of any kind.

    Raises:
        InputError: if the numbers of examples and labels differ.

    Example:
        >>> by_label(np.zeros((5, 8)), ["cat", "dog", "cat", "dog", "dog"]).counts.tolist()
        [2, 3]
    """
    x, y = np.asarray(x), np.asarray(y)
    if y.ndim != 1 or len(x) != len(y):
        raise InputError(f"{name}: {y.shape} labels for {len(x)} examples; accepted is one label for each example")
    names, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    x = x[..., None] if x.ndim == 3 else x
    return Classes(x[np.argsort(codes, kind="stable")], counts, tuple(map(str, names)))


def split_classes(
    classes: Classes, seed: int, sizes: tuple[int, int] | None = None, name: str = "--data"
) -> ClassSplit:
    """Classes shuffled by seed.

    Args:
        sizes: classes for training and validation, the rest for the test; by default 64%, 16% and 20%, at least one each.

    Raises:
        InputError: if there are too few classes.

    Example:
        >>> parts = split_classes(from_array(np.zeros((50, 20, 28, 28))), seed=0)
        >>> [len(part.counts) for part in parts]
        [32, 8, 10]
    """
    number = len(classes.counts)
    if sizes is None:
        validation, test = max(1, round(0.16 * number)), max(1, round(0.2 * number))
        sizes = (number - validation - test, validation)
    if min(sizes) < 1 or sum(sizes) >= number:
        raise InputError(
            f"{name}: {number} classes; {sizes[0]} for training and {sizes[1]} for validation leave none for the test"
        )
    order = np.random.default_rng(seed).permutation(number)
    return ClassSplit(*(classes.take(part) for part in np.split(order, np.cumsum(sizes))))
