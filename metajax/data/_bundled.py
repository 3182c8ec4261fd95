"""Small real data that needs no download: the datasets that scikit-learn bundles."""

from typing import Any, NamedTuple

import numpy as np

from metajax._optional import optional
from metajax.types import InputError


class Images(NamedTuple):
    """Labeled images in three parts, each a pair ``(x, y)``.

    The images x are f32[n, height, width, channels], in [0, 1] or standardized as their reader says; the classes y are i32[n].

    Attributes:
        train: For fitting weights.
        validation: For choosing among models.
        test: For the final measurement only.
    """

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]

    def flat(self) -> "Images":
        """Returns the same parts with every image as one row of numbers.

        Example:
            >>> digits().flat().train[0].shape
            (898, 64)
        """
        return Images(*((x.reshape(len(x), -1), y) for x, y in self))


def digits(seed: int = 0, shares: tuple[float, float] = (0.5, 0.25)) -> Images:
    """Loads scikit-learn's 1,797 handwritten digits of 8 x 8 pixels in 10 classes, with pixels in [0, 1].

    Args:
        seed: The seed of the split.
        shares: The shares of training and validation; the rest is the test.

    Returns:
        The images in three parts.

    Raises:
        InputError: If the shares leave a part empty, or scikit-learn is not installed.

    Example:
        >>> parts = digits(seed=0)
        >>> [x.shape for x, _ in parts]
        [(898, 8, 8, 1), (449, 8, 8, 1), (450, 8, 8, 1)]
    """
    datasets = sklearn_datasets()
    x, y = datasets.load_digits(return_X_y=True)
    x = (np.asarray(x) / 16.0).astype(np.float32).reshape(-1, 8, 8, 1)
    order = np.random.default_rng(seed).permutation(len(x))
    ends = (np.cumsum(shares) * len(x)).astype(int)
    if not 0 < ends[0] < ends[1] < len(x):
        raise InputError(f"digits: shares must be positive and leave some images for the test, got {shares}")
    y = np.asarray(y, np.int32)
    train, validation, test = ((x[rows], y[rows]) for rows in np.split(order, ends))
    return Images(train, validation, test)


def sklearn_datasets() -> Any:
    """Imports ``sklearn.datasets``, or says how to install it."""
    return optional("sklearn.datasets", "a bundled dataset")
