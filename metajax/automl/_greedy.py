"""An ensemble from a library of models, selected greedily by what they predict for rows that they have not seen."""

import numpy as np

from metajax.automl._metrics import Metric

ROUNDS = 25
"""Models that are added, with repetition; a weight is a multiple of one over their number."""
MAX_ROWS = 20_000
"""Rows of which more would not change the selection."""
_CHUNK = 4_000_000  # numbers that are scored at a time, which bounds the memory


def select(outputs: np.ndarray, targets: np.ndarray, metric: Metric, rounds: int = ROUNDS) -> np.ndarray:
    """Selects an ensemble (Caruana et al. 2004): begin with the best model, and add whichever model helps most.

    The same model may be added again, which gives it more weight. Of all rounds the one with the best score counts, the first
    of equal ones. Equal scores of candidates are decided by the log-loss or the squared error.

    Args:
        outputs: f[models, rows, k], probabilities or values for rows that the model was not trained on.
        targets: [rows], class numbers or values.
        metric: What is maximized.
        rounds: Number of additions, at least 1.

    Returns:
        f64[models], weights that sum to 1; 0 for models with outputs that are not finite. If all have failed, the first
        has all the weight.

    Example:
        >>> from metajax.automl._metrics import metric
        >>> targets = np.array([0.0, 1.0, 2.0])
        >>> outputs = targets[None, :, None] + np.array([0.5, -0.5, 3.0])[:, None, None]
        >>> select(outputs, targets, metric("r2", 1, False), rounds=2)
        array([0.5, 0.5, 0. ])
    """
    outputs, targets = np.asarray(outputs, np.float64)[:, :MAX_ROWS], np.asarray(targets)[:MAX_ROWS]
    works = np.flatnonzero(np.isfinite(outputs).all(axis=(1, 2)))
    weights = np.zeros(len(outputs))
    if not len(works):
        weights[0] = 1.0
        return weights
    usable = outputs[works]
    total, picks, best, length = np.zeros(usable.shape[1:]), [], (-np.inf, -np.inf), 1
    for size in range(1, rounds + 1):
        scores = _scores(total, usable, size, targets, metric)
        pick = max(range(len(works)), key=scores.__getitem__)
        picks.append(pick)
        total += usable[pick]
        if scores[pick] > best:
            best, length = scores[pick], size
    weights[works] = np.bincount(picks[:length], minlength=len(works)) / length
    return weights


def _scores(
    total: np.ndarray, outputs: np.ndarray, size: int, targets: np.ndarray, metric: Metric
) -> list[tuple[float, float]]:
    """The score of the ensemble with each model added, and what decides between equal ones."""
    chunk, scores = max(1, _CHUNK // total.size), []
    for first in range(0, len(outputs), chunk):
        mean = (total + outputs[first : first + chunk]) / size
        rounded = np.round(metric.score(mean, targets), 12)  # of equal scores rounding must not decide
        scores += list(zip(rounded.tolist(), metric.tie(mean, targets).tolist()))
    return scores
