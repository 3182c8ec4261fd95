"""How far a test score may be from that on all rows that there could be: 95% intervals over the test rows.

They do not hold the randomness of training. They are no claim about another dataset.
"""

from collections.abc import Callable

import numpy as np

DRAWS = 2_000
_CELLS = 4_000_000  # row numbers drawn at a time
_Z = 1.959964


def accuracy(right: np.ndarray) -> tuple[float, float]:
    """Returns Wilson's interval (1927) of the share of true values; its ends stay within 0 and 1, also where no row is wrong.

    Args:
        right: bool[rows].

    Example:
        >>> low, high = accuracy(np.ones(100, bool))
        >>> round(low, 3), high
        (0.963, 1.0)
    """
    n, share = len(right), float(np.mean(right))
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))


def r2(truth: np.ndarray, predicted: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Returns the percentile bootstrap interval of R²: rows are drawn again, each with its truth and its prediction.

    R² is no share of rows, so no binomial formula applies: its error and the variance that it is compared with both vary with
    the rows that are drawn.

    Args:
        truth: f[rows].
        predicted: f[rows].
        seed: of the draws.

    Example:
        >>> x = np.linspace(-1, 1, 200)
        >>> low, high = r2(x, x + 0.1 * np.sin(50 * x))
        >>> low < 0.985 < high < 1
        True
    """
    truth, predicted = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    return _between(_bootstrap(_moments(truth, predicted), _r2_of, seed))


def difference(
    truth: np.ndarray, first: np.ndarray, second: np.ndarray, classification: bool, seed: int = 0
) -> tuple[float, float]:
    """Returns the paired bootstrap interval of the first model's score less the second's: both are judged on the same drawn
    rows. Where it holds 0, the rows do not show a difference.

    Args:
        truth: [rows], labels or values.
        first: [rows], labels or values that the first model predicts.
        second: [rows], those of the second.
        classification: compare accuracies; otherwise R².
        seed: of the draws.
    """
    if classification:
        columns = (np.asarray(first == truth, np.float64) - np.asarray(second == truth, np.float64))[:, None]
        return _between(_bootstrap(columns, lambda mean: mean[:, 0], seed))
    truth = np.asarray(truth, np.float64)
    columns = np.concatenate([_moments(truth, first), _moments(truth, second)], axis=1)
    return _between(_bootstrap(columns, lambda mean: _r2_of(mean[:, :3]) - _r2_of(mean[:, 3:]), seed))


def _moments(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Of every row what R² is made of, f64[rows, 3]; centered, so that the variance is not lost in rounding."""
    centered = truth - truth.mean()
    return np.stack([(truth - predicted) ** 2, centered, centered**2], axis=1)


def _r2_of(mean: np.ndarray) -> np.ndarray:
    return 1 - mean[:, 0] / np.maximum(mean[:, 2] - mean[:, 1] ** 2, 1e-300)


def _bootstrap(columns: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], seed: int) -> np.ndarray:
    """The statistic of the columns' means over rows that are drawn with replacement, f64[DRAWS]."""
    rng, n = np.random.default_rng(seed), len(columns)
    chunk = max(1, min(DRAWS, _CELLS // n))
    means = [columns[rng.integers(n, size=(min(chunk, DRAWS - at), n))].mean(axis=1) for at in range(0, DRAWS, chunk)]
    return statistic(np.concatenate(means))


def _between(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
