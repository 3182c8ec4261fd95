"""How far a test score may be from the score on all rows that there could be: 95% intervals over the test rows.

The intervals do not include the randomness of training, and they are no claim about another dataset.
"""

from collections.abc import Callable

import numpy as np

from metajax.automl._metrics import Metric

DRAWS = 2_000
"""Number of bootstrap samples."""
_DRAWS_OF_METRIC = 500
"""The number of bootstrap samples of a metric without a formula, which is computed anew for every sample."""
_MAX_INDICES = 4_000_000
"""The maximum number of row indices that are drawn at a time. It bounds the memory."""
_Z = 1.959964  # The 97.5% quantile of the normal distribution.


def accuracy(is_correct: np.ndarray) -> tuple[float, float]:
    """Returns Wilson's interval (1927) of the share of true values.

    Its ends stay within 0 and 1, and it has a width where no row is wrong.

    Args:
        is_correct: bool[rows], whether each prediction is right.

    Returns:
        The lower and the upper end.

    Example:
        >>> low, high = accuracy(np.ones(100, bool))
        >>> round(low, 3), high
        (0.963, 1.0)
    """
    n, share = len(is_correct), float(np.mean(is_correct))
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def r2(truth: np.ndarray, predicted: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Returns the percentile bootstrap interval of R²: rows are drawn with replacement, each with its truth and prediction.

    R² is not a share of rows, so no binomial formula applies: the error and the variance that it is divided by both vary with
    the rows that are drawn.

    Args:
        truth: f[rows], the values.
        predicted: f[rows], what the model predicts for them.
        seed: Seed of the draws.

    Returns:
        The lower and the upper end.

    Example:
        >>> x = np.linspace(-1, 1, 200)
        >>> low, high = r2(x, x + 0.1 * np.sin(50 * x))
        >>> low < 0.985 < high < 1
        True
    """
    truth, predicted = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    return _percentiles(_bootstrap(_moments(truth, predicted), _r2_of, seed))


def difference(
    truth: np.ndarray, first: np.ndarray, second: np.ndarray, classification: bool, seed: int = 0
) -> tuple[float, float]:
    """Returns the paired bootstrap interval of the first model's score minus the second's.

    Both models are evaluated on the same drawn rows. Where the interval contains 0, the rows do not show a difference.

    Args:
        truth: [rows], labels or values.
        first: [rows], labels or values that the first model predicts.
        second: [rows], those of the second.
        classification: Compare accuracies; otherwise R².
        seed: Seed of the draws.

    Returns:
        The lower and the upper end.
    """
    if classification:
        columns = (np.asarray(first == truth, np.float64) - np.asarray(second == truth, np.float64))[:, None]
        return _percentiles(_bootstrap(columns, lambda mean: mean[:, 0], seed))
    truth = np.asarray(truth, np.float64)
    columns = np.concatenate([_moments(truth, first), _moments(truth, second)], axis=1)
    return _percentiles(_bootstrap(columns, lambda mean: _r2_of(mean[:, :3]) - _r2_of(mean[:, 3:]), seed))


def of_metric(
    metric: Metric, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None, seed: int = 0
) -> tuple[float, float]:
    """Returns the 95% interval of a metric over the rows: Wilson's of an accuracy, otherwise a bootstrap.

    Args:
        metric: The metric.
        outputs: f[rows, k], probabilities or values.
        targets: [rows], class numbers or values.
        weights: f64[rows], how much each row counts, or ``None``.
        seed: Seed of the draws.

    Returns:
        The lower and the upper end.
    """
    if metric.name == "accuracy" and weights is None:
        return accuracy(np.argmax(outputs, axis=1) == targets)
    if metric.name == "r2" and weights is None:
        return r2(targets, outputs[:, 0], seed)
    return _percentiles(_redraw(metric, outputs[None], targets, weights, seed)[:, 0])


def difference_of_metric(
    metric: Metric,
    first: np.ndarray,
    second: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """Returns the paired bootstrap interval of the first model's metric minus the second's.

    Args:
        metric: The metric.
        first: f[rows, k], what the first model predicts.
        second: f[rows, k], what the second predicts.
        targets: [rows], class numbers or values.
        weights: f64[rows], how much each row counts, or ``None``.
        seed: Seed of the draws.

    Returns:
        The lower and the upper end.
    """
    if metric.name == "accuracy" and weights is None:
        return difference(targets, np.argmax(first, axis=1), np.argmax(second, axis=1), True, seed)
    if metric.name == "r2" and weights is None:
        return difference(targets, first[:, 0], second[:, 0], False, seed)
    scores = _redraw(metric, np.stack([first, second]), targets, weights, seed)
    return _percentiles(scores[:, 0] - scores[:, 1])


def _redraw(
    metric: Metric, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None, seed: int
) -> np.ndarray:
    """The metric of models f64[draws, models] on rows that are drawn with replacement."""
    rng, n = np.random.default_rng(seed), len(targets)
    draws = (rng.integers(n, size=n) for _ in range(_DRAWS_OF_METRIC))
    weights_of = lambda rows: None if weights is None else weights[rows]
    return np.stack([metric.score(outputs[:, rows], targets[rows], weights_of(rows)) for rows in draws])


def _moments(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The terms of R² for every row, f64[rows, 3]: the squared error, and the centered value and its square.

    The values are centered so that the variance is not lost in rounding.
    """
    centered = truth - truth.mean()
    return np.stack([(truth - predicted) ** 2, centered, centered**2], axis=1)


def _r2_of(mean: np.ndarray) -> np.ndarray:
    """R² from the means of ``_moments``."""
    return 1 - mean[:, 0] / np.maximum(mean[:, 2] - mean[:, 1] ** 2, 1e-300)


def _bootstrap(columns: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], seed: int) -> np.ndarray:
    """The statistic of the columns' means over rows that are drawn with replacement, f64[DRAWS]."""
    rng, n = np.random.default_rng(seed), len(columns)
    chunk = max(1, min(DRAWS, _MAX_INDICES // n))
    means = [columns[rng.integers(n, size=(min(chunk, DRAWS - at), n))].mean(axis=1) for at in range(0, DRAWS, chunk)]
    return statistic(np.concatenate(means))


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    """The ends of the central 95%."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
