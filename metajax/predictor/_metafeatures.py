"""Meta-features: a description of a dataset before anything is trained on it, for the context of the meta-learner."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import ArrayLike

from metajax._optional import optional
from metajax.types import InputError

_MAX_ROWS = 2000  # of computations that compare every row with every other
NAMES = (
    "log_rows",
    "log_features",
    "log_classes",
    "rows_per_feature",
    "missing",
    "class_entropy",
    "imbalance",
    "mean_of_means",
    "mean_deviation",
    "mean_skewness",
    "mean_kurtosis",
    "largest_skewness",
    "largest_kurtosis",
    "mean_correlation",
    "components_for_90",
    "mean_information",
    "largest_information",
    "linear_landmarker",
    "neighbor_landmarker",
    "center_landmarker",
)


def metafeatures(
    x: ArrayLike | Sequence[Any], y: ArrayLike | Sequence[Any], classification: bool = True, seed: int = 0
) -> dict[str, float]:
    """Computes 20 meta-features of a dataset, on scales that do not grow with the data.

    They are: sizes; the share of missing values; class entropy (relative) and imbalance (the logarithm of the ratio of the most
    to the least frequent class); moments of the standardized columns; the mean absolute correlation, and the share of principal
    components for 90% of the variance; mutual information of columns (ten bins) with the target, in nats; and three
    landmarkers, the held-out accuracy, or R² clipped to [-1, 1], of a ridge regression, a nearest neighbor and the nearest
    class mean (zero for regression), on at most 2,000 rows. They take well below a second.

    Args:
        x: f[rows, features], NaN where missing; at least 4 rows.
        y: [rows]; classes of any kind, or numbers.
        classification: Whether y holds classes.
        seed: Seed of the held-out rows.

    Returns:
        Finite values by name.

    Raises:
        InputError: If there are fewer than 4 rows, shapes do not fit, or the target is not finite.

    References:
        Pfahringer, Bensusan and Giraud-Carrier, Meta-learning by landmarking various learning algorithms, 2000.

    Example:
        >>> from metajax import predictor
        >>> from sklearn.datasets import load_iris
        >>> features = predictor.metafeatures(*load_iris(return_X_y=True))
        >>> round(features["class_entropy"], 3), features["linear_landmarker"] > 0.7
        (1.0, True)
    """
    x, y = np.asarray(x, np.float64), np.asarray(y)
    if x.ndim != 2 or y.shape != (len(x),) or len(x) < 4 or x.shape[1] < 1:
        raise InputError(
            "metafeatures: x must have the shape [rows, features] and y the shape [rows], with at least 4 rows and 1 feature, "
            f"got x of shape {x.shape} and y of shape {y.shape}"
        )
    rows, features = x.shape
    target = _classes(y) if classification else _numbers(y)
    x = np.where(np.isfinite(x), x, np.nan)
    missing = np.isnan(x)
    with np.errstate(all="ignore"):
        center = np.nan_to_num(np.nanmean(np.where(missing.all(axis=0), 0.0, x), axis=0))
        deviation = np.nan_to_num(np.nanstd(np.where(missing.all(axis=0), 0.0, x), axis=0))
    z = np.where(missing, 0.0, (x - center) / np.where(deviation > 0, deviation, 1.0))
    subset = np.random.default_rng(seed).permutation(rows)[:_MAX_ROWS]
    values = (
        np.log(rows),
        np.log(features),
        np.log(len(target.shares)),
        np.log(rows / features),
        missing.mean(),
        _relative_entropy(target.shares),
        np.log(target.shares.max() / target.shares.min()),
        *_moments(center, deviation, z),
        *_dependence(z[subset]),
        *_informations(z, target.codes),
        *_landmarkers(z[subset], target.goal[subset], classification),
    )
    return {name: float(value) for name, value in zip(NAMES, values)}


class _Target(NamedTuple):
    """A target in the forms that meta-features read.

    Attributes:
        shares: f64[classes], the share of each class; one share of 1 for numbers.
        codes: i64[rows], the class numbers, or the tenth of its range of quantiles that each number is in.
        goal: f64[rows, outputs], what landmarkers predict: one-hot classes or standardized numbers.
    """

    shares: np.ndarray
    codes: np.ndarray
    goal: np.ndarray


def _classes(y: np.ndarray) -> _Target:
    """A target of classes of any kind."""
    classes, codes = np.unique(y.astype(str), return_inverse=True)
    codes = codes.ravel()
    return _Target(np.bincount(codes) / len(y), codes, np.eye(len(classes))[codes])


def _numbers(y: np.ndarray) -> _Target:
    """A target of finite numbers."""
    y = y.astype(np.float64)
    if not np.isfinite(y).all():
        raise InputError("metafeatures: y must be finite for regression; remove the rows where it is not")
    goal = ((y - y.mean()) / max(float(y.std()), 1e-12))[:, None]
    return _Target(np.ones(1), np.digitize(y, np.unique(np.quantile(y, np.linspace(0, 1, 11)[1:-1]))), goal)


def _relative_entropy(shares: np.ndarray) -> float:
    """The entropy of the classes as a share of the largest possible one; 0 for one class."""
    return float(-(shares * np.log(shares)).sum() / np.log(len(shares))) if len(shares) > 1 else 0.0


def _moments(center: np.ndarray, deviation: np.ndarray, z: np.ndarray) -> tuple[float, ...]:
    """Means of the moments of columns, and the largest skewness and kurtosis, on the scale of the inverse hyperbolic sine."""
    skewness, kurtosis = (z**3).mean(axis=0), (z**4).mean(axis=0) - 3.0
    return (
        np.arcsinh(np.abs(center).mean()),
        np.arcsinh(deviation.mean()),
        np.arcsinh(skewness.mean()),
        np.arcsinh(kurtosis.mean()),
        np.arcsinh(np.abs(skewness).max()),
        np.arcsinh(kurtosis.max()),
    )


def _dependence(z: np.ndarray) -> tuple[float, float]:
    """The mean absolute correlation of columns, and the share of principal components for 90% of the variance."""
    rows, features = z.shape
    # NumPy multiplies a matrix by its own transpose with another routine, which rounds differently; the prior that ships
    # with the package was fitted to the products of two copies.
    correlation = z.copy().T @ z / rows
    off_diagonal = np.abs(correlation[~np.eye(features, dtype=bool)])
    variances = np.linalg.svd(z, compute_uv=False) ** 2
    explained = np.cumsum(variances) / max(variances.sum(), 1e-12)
    components = min(1.0, (1 + np.searchsorted(explained, 0.9)) / min(rows, features))
    return off_diagonal.mean() if len(off_diagonal) else 0.0, components


def _informations(z: np.ndarray, codes: np.ndarray) -> tuple[float, float]:
    """The mean and the largest mutual information of a column with the target."""
    information = np.array([_information(column, codes) for column in z.T])
    return information.mean(), information.max()


def _information(column: np.ndarray, codes: np.ndarray) -> float:
    """Mutual information in nats of a target with a column, in ten bins of equal share."""
    bins = np.searchsorted(np.unique(np.quantile(column, np.linspace(0, 1, 11)[1:-1])), column, side="right")
    table = np.zeros((bins.max() + 1, codes.max() + 1))
    np.add.at(table, (bins, codes), 1.0 / len(column))
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True)
    occurs = table > 0
    return float((table[occurs] * np.log(table[occurs] / expected[occurs])).sum())


def _landmarkers(z: np.ndarray, goal: np.ndarray, classification: bool) -> tuple[float, float, float]:
    """Scores of ridge regression, nearest neighbor and nearest class mean on the last third of the rows."""
    n_train = max(1, 2 * len(z) // 3)
    train, test = z[:n_train], z[n_train:]
    train_goal, test_goal = goal[:n_train], goal[n_train:]
    mean = train_goal.mean(axis=0)
    if z.shape[1] <= n_train:
        weights = np.linalg.solve(train.T @ train + np.eye(z.shape[1]), train.T @ (train_goal - mean))
    else:
        weights = train.T @ np.linalg.solve(train @ train.T + np.eye(n_train), train_goal - mean)
    square = (test**2).sum(axis=1)[:, None] + (train**2).sum(axis=1)[None] - 2 * test @ train.T
    nearest = train_goal[square.argmin(axis=1)]
    if not classification:
        variance = max(float(((test_goal - test_goal.mean()) ** 2).mean()), 1e-12)
        r2 = lambda predicted: float(np.clip(1 - ((predicted - test_goal) ** 2).mean() / variance, -1.0, 1.0))
        return r2(test @ weights + mean), r2(nearest), 0.0
    label = test_goal.argmax(axis=1)
    accuracy = lambda predicted: float((predicted.argmax(axis=1) == label).mean())
    count = train_goal.sum(axis=0)
    centers = train_goal.T @ train / np.maximum(count, 1.0)[:, None]
    distance = (centers**2).sum(axis=1)[None] - 2 * test @ centers.T
    return accuracy(test @ weights + mean), accuracy(nearest), accuracy(-np.where(count > 0, distance, np.inf))


def pymfe_metafeatures(
    x: ArrayLike | Sequence[Any],
    y: ArrayLike | Sequence[Any],
    groups: tuple[str, ...] = ("general", "statistical", "info-theory"),
) -> dict[str, float]:
    """Computes meta-features by the package ``pymfe``: means over columns.

    Args:
        x: f[rows, features].
        y: [rows], classes.
        groups: The groups of meta-features of ``pymfe.mfe.MFE``.

    Returns:
        Values by name; those that are not finite are left out.

    Raises:
        InputError: If the package is not installed.

    Example:
        >>> values = pymfe_metafeatures([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0]], [0, 1, 0])  # doctest: +SKIP
        >>> values["nr_attr"]  # doctest: +SKIP
        2.0
    """
    MFE = optional("pymfe.mfe", "pymfe_metafeatures").MFE
    names, values = MFE(groups=list(groups), summary=["mean"]).fit(np.asarray(x), np.asarray(y)).extract()
    return {name: float(value) for name, value in zip(names, values) if np.isfinite(value)}
