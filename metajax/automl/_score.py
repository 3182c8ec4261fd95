"""The scores of many models on the same rows."""

import numpy as np


def squared_error(outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean squared error of every model, f64[models], for f[models, rows, 1]."""
    return np.asarray(np.mean(np.square(outputs[..., 0] - y), axis=-1, dtype=np.float64))


def score(outputs: np.ndarray, y: np.ndarray, classification: bool) -> np.ndarray:
    """Accuracy or R² of every model, f64[models], for f[models, rows, outputs]."""
    if classification:
        return np.asarray(np.mean(np.argmax(outputs, axis=-1) == y, axis=-1))
    return 1 - squared_error(outputs, y) / max(float(np.var(y)), 1e-12)
