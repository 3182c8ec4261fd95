"""Temperature scaling: probabilities are compared only after each model's sureness is corrected on held-out rows.

A network trained with label smoothing is right more often than its probabilities say, one trained long is right less often.
One number a model, the temperature T in softmax(z / T), repairs both without changing a label (Guo et al. 2017,
arXiv:1706.04599). Without it a log-loss ranks models by their calibration rather than by what they know.
"""

import numpy as np

ROWS = 2_000
"""Maximum number of rows that one temperature is fitted to; more would not change its second digit."""
_LIMIT = 16.0  # temperatures lie within 1 / _LIMIT and _LIMIT
_HALVINGS = 20  # of that interval, on a logarithmic scale


def temperature(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the temperature of each model that minimizes its log-loss.

    The log-loss is convex in 1/T, so the sign of its slope is bisected. One row more, of which every class is as likely, joins
    the rows: models without an error on them do not become infinitely sure.

    Args:
        probabilities: f[..., rows, classes].
        labels: i[rows]; of more than ``ROWS`` rows the first are used.

    Returns:
        f64[...]; 1 for a model with outputs that are not finite.

    Example:
        >>> said = np.array([[0.6, 0.4]] * 9 + [[0.4, 0.6]])  # right nine times of ten, sure of .6
        >>> bool(0.1 < temperature(said, np.zeros(10, int)) < 0.5)
        True
    """
    labels = np.asarray(labels)[:ROWS]
    logits = _logits(probabilities[..., : len(labels), :])
    finite = np.asarray(np.isfinite(logits).all(axis=(-2, -1)))
    logits = np.where(finite[..., None, None], logits, 0.0)
    share = 1.0 / (len(labels) + 1)
    goal = (1 - share) * _chosen(logits, labels).mean(axis=-1) + share * logits.mean(axis=(-2, -1))
    low, high = (np.full(goal.shape, sign * np.log(_LIMIT)) for sign in (-1.0, 1.0))
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        slope = (scale(logits, np.exp(-middle)) * logits).sum(axis=-1).mean(axis=-1) - goal
        low, high = np.where(slope > 0, low, middle), np.where(slope > 0, middle, high)
    return np.where(finite, np.exp(-0.5 * (low + high)), 1.0)


def scale(logits: np.ndarray, temperatures: np.ndarray) -> np.ndarray:
    """Returns probabilities f64[..., rows, classes] of logits at the temperature f64[...] of each model."""
    scaled = logits / np.asarray(temperatures)[..., None, None]
    weights = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def cross_fitted(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns calibrated probabilities; the temperature of a row was fitted to rows of other folds (of one fold, to the other
    half of its rows), so a comparison of losses does not see the rows that it judges twice.

    Args:
        probabilities: f[folds, models, rows, classes] on the held-out rows of each fold.
        labels: i[folds, rows].
    """
    folds, _, rows, _ = probabilities.shape
    if folds == 1:  # two halves; every second row, for the rows of a split are in random order
        first, second = np.arange(0, rows, 2), np.arange(1, rows, 2)
        if not len(second):
            return np.asarray(probabilities, np.float64)
        parts = [(0, first, [(0, second)]), (0, second, [(0, first)])]
    else:
        every = np.arange(rows)
        parts = [(f, every, [(g, every) for g in range(folds) if g != f]) for f in range(folds)]
    calibrated = np.zeros(probabilities.shape, np.float64)
    for fold, inside, others in parts:
        share = -(-ROWS // len(others))  # of each fold as many
        learned = np.concatenate([probabilities[f][:, r[:share]] for f, r in others], axis=1)
        found = temperature(learned, np.concatenate([labels[f][r[:share]] for f, r in others]))
        calibrated[fold][:, inside] = scale(_logits(probabilities[fold][:, inside]), found)
    return calibrated


def loss(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the log-loss f64[models] of f[models, rows, classes] after a cross-fitted calibration; NaN where outputs are not
    finite."""
    calibrated = cross_fitted(probabilities[None], np.asarray(labels)[None])[0]
    return -np.log(np.maximum(_chosen(calibrated, labels), 1e-12)).mean(axis=-1)


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.asarray(probabilities, np.float64), np.finfo(np.float32).tiny))


def _chosen(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The value of each row's label: [..., rows]."""
    return values[..., np.arange(len(labels)), np.asarray(labels, int)]
