"""Temperature scaling: probabilities are compared only after each model's confidence is corrected on held-out rows.

A network trained with label smoothing is right more often than its probabilities say, one trained long is right less often.
One number a model, the temperature T in softmax(z / T), repairs both without changing a label (Guo et al. 2017,
arXiv:1706.04599). Without it a log-loss ranks models by their calibration rather than by what they have learned.
"""

import numpy as np

from metajax.automl._score import log_losses

MAX_ROWS = 2_000
"""Maximum number of rows that one temperature is fitted to; more would not change its second digit."""
_MAX_TEMPERATURE = 16.0
"""Temperatures lie between the inverse of this number and this number."""
_BISECTIONS = 20
"""The number of bisections of the interval of temperatures, on a logarithmic scale."""


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Returns the temperature of each model that minimizes its log-loss.

    The log-loss is convex in 1/T, so the sign of its slope is bisected. One pseudo-row, for which every class is equally
    likely, joins the rows, so that a model without an error on them does not become infinitely confident.

    Args:
        probabilities: f[..., rows, classes].
        labels: i[rows], class numbers. Only the first ``MAX_ROWS`` rows are used.
        weights: f[rows], how much each row counts; ``None`` where all count alike.

    Returns:
        f64[...]; 1 for a model with outputs that are not finite.

    Example:
        >>> predicted = np.array([[0.6, 0.4]] * 9 + [[0.4, 0.6]])  # right nine times of ten, at a confidence of 0.6
        >>> bool(0.1 < fit_temperature(predicted, np.zeros(10, int)) < 0.5)
        True
    """
    labels = np.asarray(labels)[:MAX_ROWS]
    mean = lambda values: values.mean(axis=-1)
    if weights is not None:
        shares = np.asarray(weights, np.float64)[:MAX_ROWS]
        shares = shares / max(shares.sum(), 1e-300)
        mean = lambda values: values @ shares
    values = logits(probabilities[..., : len(labels), :])
    is_finite = np.asarray(np.isfinite(values).all(axis=(-2, -1)))
    values = np.where(is_finite[..., None, None], values, 0.0)
    pseudo_weight = 1.0 / (len(labels) + 1)
    observed = mean(_of_labels(values, labels))
    target_mean = (1 - pseudo_weight) * observed + pseudo_weight * mean(values.mean(axis=-1))
    low, high = (np.full(target_mean.shape, sign * np.log(_MAX_TEMPERATURE)) for sign in (-1.0, 1.0))
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        slope = mean((apply_temperature(values, np.exp(-middle)) * values).sum(axis=-1)) - target_mean
        low, high = np.where(slope > 0, low, middle), np.where(slope > 0, middle, high)
    return np.where(is_finite, np.exp(-0.5 * (low + high)), 1.0)


def apply_temperature(logits: np.ndarray, temperatures: np.ndarray) -> np.ndarray:
    """Returns probabilities f64[..., rows, classes] of logits at the temperature f64[...] of each model."""
    scaled = logits / np.asarray(temperatures)[..., None, None]
    weights = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def cross_calibrate(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Returns calibrated probabilities, each row with a temperature that was fitted to other rows.

    These are the rows of the other folds or, with one fold, the other half of its rows. So a comparison of losses does not
    use the rows that it judges twice.

    Args:
        probabilities: f[folds, models, rows, classes] on the held-out rows of each fold.
        labels: i[folds, rows].
        weights: f[folds, rows], how much each row counts, or ``None``.

    Returns:
        f64[folds, models, rows, classes].
    """
    folds, _, rows, _ = probabilities.shape
    if folds == 1:  # Two halves of every second row: the rows of a split are in random order.
        first, second = np.arange(0, rows, 2), np.arange(1, rows, 2)
        if not len(second):
            return np.asarray(probabilities, np.float64)
        parts = [(0, first, [(0, second)]), (0, second, [(0, first)])]
    else:
        all_rows = np.arange(rows)
        parts = [(fold, all_rows, [(g, all_rows) for g in range(folds) if g != fold]) for fold in range(folds)]
    calibrated = np.zeros(probabilities.shape, np.float64)
    for fold, rows_of, fitting_rows in parts:
        share = -(-MAX_ROWS // len(fitting_rows))  # as many rows of each of the other folds
        fitted_to = np.concatenate([probabilities[f][:, index[:share]] for f, index in fitting_rows], axis=1)
        labels_of, weights_of = (
            None if values is None else np.concatenate([values[f][index[:share]] for f, index in fitting_rows])
            for values in (labels, weights)
        )
        temperatures = fit_temperature(fitted_to, np.asarray(labels_of), weights_of)
        calibrated[fold][:, rows_of] = apply_temperature(logits(probabilities[fold][:, rows_of]), temperatures)
    return calibrated


def calibrated_loss(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Returns the log-loss f64[models] of f[models, rows, classes] after ``cross_calibrate``, with weights f[rows] or without;
    NaN where outputs are not finite."""
    of_rows = None if weights is None else np.asarray(weights)[None]
    calibrated = cross_calibrate(probabilities[None], np.asarray(labels)[None], of_rows)[0]
    return np.average(log_losses(calibrated, labels), axis=-1, weights=weights)


def logits(probabilities: np.ndarray) -> np.ndarray:
    """Returns the logarithms of probabilities, with a floor that keeps them finite."""
    return np.log(np.maximum(np.asarray(probabilities, np.float64), np.finfo(np.float32).tiny))


def _of_labels(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The value of each row's label: [..., rows]."""
    return values[..., np.arange(len(labels)), np.asarray(labels, int)]
