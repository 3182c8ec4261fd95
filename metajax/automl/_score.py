"""The scores of many models on the same rows."""

import numpy as np


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Log-loss of every row, [..., rows], for probabilities [..., rows, classes] and class numbers [rows].

    Probabilities below 1e-12 count as 1e-12, so that no loss is infinite.
    """
    likelihood = probabilities[..., np.arange(len(labels)), np.asarray(labels, int)]
    return -np.log(np.maximum(likelihood, 1e-12))


def squared_error(outputs: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean squared error of every model, f64[models], for f[models, rows, 1], with weights f[rows] or without."""
    errors = np.square(outputs[..., 0] - y).astype(np.float64)
    return np.asarray(np.average(errors, axis=-1, weights=weights))


def score(outputs: np.ndarray, y: np.ndarray, classification: bool) -> np.ndarray:
    """Accuracy or R² of every model, f64[models], for f[models, rows, outputs]."""
    if classification:
        return np.asarray(np.mean(np.argmax(outputs, axis=-1) == y, axis=-1))
    return 1 - squared_error(outputs, y) / max(float(np.var(y)), 1e-12)
