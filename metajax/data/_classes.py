"""Examples by class, and their split into training, validation and test classes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from metajax.types import InputError


class Classes(NamedTuple):
    """Examples sorted by class.

    Attributes:
        x: Array[n, ...] of examples of one shape: images uint8[n, height, width, channels], or features f32[n, features].
        counts: Int[classes], the number of examples of each class, in the order of ``x``.
        names: The names of the classes.
    """

    x: np.ndarray
    counts: np.ndarray
    names: tuple[str, ...]

    def take(self, numbers: Sequence[int] | np.ndarray) -> "Classes":
        """Returns some of the classes.

        Args:
            numbers: The indices of the classes, in the order of the result.
        """
        starts = np.cumsum(self.counts) - self.counts
        rows = [np.arange(starts[i], starts[i] + self.counts[i]) for i in numbers]
        return Classes(self.x[np.concatenate(rows)], self.counts[numbers], tuple(self.names[i] for i in numbers))


class ClassSplit(NamedTuple):
    """Three parts whose classes are disjoint.

    Attributes:
        train: The classes for meta-training.
        validation: The classes for choosing among models.
        test: The classes for the final measurement only.
    """

    train: Classes
    validation: Classes
    test: Classes


def from_array(x: ArrayLike, names: Sequence[str] | None = None, name: str = "images") -> Classes:
    """Makes classes from one array with the same number of examples for every class.

    Args:
        x: Array[classes, examples, height, width [, channels]] of images or array[classes, examples, features], of uint8 or
            finite floats. Images without channels get one.
        names: The names of the classes; by default their indices.
        name: The name of the data in error messages.

    Returns:
        The classes in the order of the array.

    Raises:
        InputError: If the shape or type is another one, or a number is not finite.

    Example:
        >>> classes = from_array(np.zeros((5, 20, 28, 28), np.uint8))
        >>> classes.x.shape, classes.counts.tolist()
        ((100, 28, 28, 1), [20, 20, 20, 20, 20])
    """
    x = np.asarray(x)
    if x.ndim not in (3, 4, 5) or 0 in x.shape:
        raise InputError(
            f"{name} must have the shape (classes, examples, height, width[, channels]) or (classes, examples, "
            f"features), got {x.shape}"
        )
    if not (np.issubdtype(x.dtype, np.floating) or x.dtype == np.uint8):
        raise InputError(f"{name} must have dtype uint8 or a float, got {x.dtype}")
    if x.dtype != np.uint8 and not np.isfinite(x).all():
        raise InputError(f"{name} must have finite values only")
    x = x[..., None] if x.ndim == 4 else x
    number, examples = x.shape[:2]
    names = tuple(map(str, range(number))) if names is None else tuple(names)
    return Classes(x.reshape(-1, *x.shape[2:]), np.full(number, examples), names)


def by_label(x: ArrayLike, y: ArrayLike, name: str = "y") -> Classes:
    """Makes classes from examples and their labels.

    Args:
        x: Array[n, ...] of examples. Images [n, height, width] get a channel.
        y: Labels[n] of any kind that NumPy can sort.
        name: The name of the labels in error messages.

    Returns:
        The classes in the order of the sorted labels.

    Raises:
        InputError: If the numbers of examples and labels differ.

    Example:
        >>> by_label(np.zeros((5, 8)), ["cat", "dog", "cat", "dog", "dog"]).counts.tolist()
        [2, 3]
    """
    x, y = np.asarray(x), np.asarray(y)
    if y.ndim != 1 or len(x) != len(y):
        raise InputError(
            f"{name} must have one label for each example, got labels of shape {y.shape} for {len(x)} examples"
        )
    names, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    x = x[..., None] if x.ndim == 3 else x
    return Classes(x[np.argsort(codes, kind="stable")], counts, tuple(map(str, names)))


def split_classes(
    classes: Classes, seed: int, sizes: tuple[int, int] | None = None, name: str = "classes"
) -> ClassSplit:
    """Splits classes at random into training, validation and test.

    Args:
        classes: All classes.
        seed: The seed of the split.
        sizes: The numbers of classes for training and validation; the rest is the test. The default is 64%, 16% and 20%, and
            at least one class each.
        name: The name of the data in error messages.

    Returns:
        The three parts.

    Raises:
        InputError: If there are too few classes.

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
            f"{name} has {number} classes, so {sizes[0]} for training and {sizes[1]} for validation leave none for the "
            "test"
        )
    order = np.random.default_rng(seed).permutation(number)
    return ClassSplit(*(classes.take(part) for part in np.split(order, np.cumsum(sizes))))
