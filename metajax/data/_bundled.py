"""Small real data that needs no download: scikit-learn's bundled sets."""

from typing import NamedTuple

import numpy as np

from metajax.types import InputError


class Images(NamedTuple):
    """Labeled images split at random: x f32[n, height, width, channels] in [0, 1], y i32[n]."""

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]

    def flat(self) -> "Images":
        """Every image as one row of numbers.

        Example:
            >>> digits().flat().train[0].shape
            (898, 64)
        """
        return Images(*((x.reshape(len(x), -1), y) for x, y in self))


def digits(seed: int = 0, shares: tuple[float, float] = (0.5, 0.25)) -> Images:
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, 10 classes.

    Args:
        seed: of the split.
        shares: of training and validation; the rest is the test.
    """
    datasets = sklearn_datasets()
    x, y = datasets.load_digits(return_X_y=True)
    x = (np.asarray(x) / 16.0).astype(np.float32).reshape(-1, 8, 8, 1)
    order = np.random.default_rng(seed).permutation(len(x))
    ends = (np.cumsum(shares) * len(x)).astype(int)
    if not 0 < ends[0] < ends[1] < len(x):
        raise InputError(f"digits: shares={shares} must be positive and leave some for the test")
    y = np.asarray(y, np.int32)
    train, validation, test = ((x[rows], y[rows]) for rows in np.split(order, ends))
    return Images(train, validation, test)


def sklearn_datasets():
    """``sklearn.datasets``, or a line that says how to get it."""
    try:
        from sklearn import datasets
    except ImportError:
        raise InputError("this needs scikit-learn: pip install 'metajax[tabular]'") from None
    return datasets
