"""Weights by which rare classes count more in training."""

from typing import Any

import numpy as np

from metajax.automl._training import Data

CHOICE = "class_weight"
"""The choice of the space that says how much more: 0 is not at all, 1 is so much that all classes count alike."""


def log_balance(y: np.ndarray, classes: int) -> np.ndarray:
    """Returns the logarithm of the weights f64[classes] with which all classes that occur count alike: n / (k n_c).

    Args:
        y: i64[n], the class numbers of the training rows.
        classes: Number of classes, those that do not occur included.
    """
    counts = np.bincount(y, minlength=classes)
    return np.where(counts > 0, np.log(len(y) / (max(1, np.count_nonzero(counts)) * np.maximum(counts, 1))), 0.0)


def weighted(data: Data, config: dict[str, Any], classes: int) -> Data:
    """Returns the rows with the weights that a configuration asks for, times their own.

    Args:
        data: The rows; targets are class numbers if the configuration weights classes.
        config: The configuration.
        classes: Number of classes.
    """
    exponent = config.get(CHOICE, 0.0)
    if not exponent:
        return data
    factors = np.exp(exponent * log_balance(np.asarray(data.y), classes))
    times = lambda weights, y: factors[np.asarray(y)] * (1.0 if weights is None else weights)
    return data._replace(weights=times(data.weights, data.y), weights_eval=times(data.weights_eval, data.y_eval))
