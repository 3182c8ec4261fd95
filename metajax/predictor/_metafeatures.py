"""Meta-features: a description of a dataset before anything is trained on it, for the context of the meta-learner."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import ArrayLike

from metajax._optional import optional
from metajax.types import InputError

_MAX_ROWS = 2000  # for what compares every row with every other
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
    if classification:
        classes, codes = np.unique(y.astype(str), return_inverse=True)
        share = np.bincount(codes.ravel()) / rows
        goal = np.eye(len(classes))[codes.ravel()]
    else:
        y = y.astype(np.float64)
        if not np.isfinite(y).all():
            raise InputError("metafeatures: y must be finite for regression; remove the rows where it is not")
        classes, share = np.zeros(1), np.ones(1)
        goal = ((y - y.mean()) / max(float(y.std()), 1e-12))[:, None]
        codes = np.digitize(y, np.unique(np.quantile(y, np.linspace(0, 1, 11)[1:-1])))
    x = np.where(np.isfinite(x), x, np.nan)
    missing = np.isnan(x)
    with np.errstate(all="ignore"):
        center = np.nan_to_num(np.nanmean(np.where(missing.all(axis=0), 0.0, x), axis=0))
        deviation = np.nan_to_num(np.nanstd(np.where(missing.all(axis=0), 0.0, x), axis=0))
    z = np.where(missing, 0.0, (x - center) / np.where(deviation > 0, deviation, 1.0))
    skewness, kurtosis = (z**3).mean(axis=0), (z**4).mean(axis=0) - 3.0
    some = np.random.default_rng(seed).permutation(rows)[:_MAX_ROWS]
    correlation = z[some].T @ z[some] / len(some)
    variances = np.linalg.svd(z[some], compute_uv=False) ** 2
    above = np.cumsum(variances) / max(variances.sum(), 1e-12)
    information = np.array([_information(z[:, j], codes.ravel()) for j in range(features)])
    landmarks = _landmarkers(z[some], goal[some], classification)
    off = np.abs(correlation[~np.eye(features, dtype=bool)])
    entropy = float(-(share * np.log(share)).sum() / np.log(len(share))) if len(share) > 1 else 0.0
    values = (
        np.log(rows),
        np.log(features),
        np.log(len(classes)),
        np.log(rows / features),
        missing.mean(),
        entropy,
        np.log(share.max() / share.min()),
        np.arcsinh(np.abs(center).mean()),
        np.arcsinh(deviation.mean()),
        np.arcsinh(skewness.mean()),
        np.arcsinh(kurtosis.mean()),
        np.arcsinh(np.abs(skewness).max()),
        np.arcsinh(kurtosis.max()),
        off.mean() if len(off) else 0.0,
        min(1.0, (1 + np.searchsorted(above, 0.9)) / min(len(some), features)),
        information.mean(),
        information.max(),
        *landmarks,
    )
    return {name: float(value) for name, value in zip(NAMES, values)}


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
    cut = max(1, 2 * len(z) // 3)
    inside, out = z[:cut], z[cut:]
    known, truth = goal[:cut], goal[cut:]
    mean = known.mean(axis=0)
    if z.shape[1] <= cut:
        weights = np.linalg.solve(inside.T @ inside + np.eye(z.shape[1]), inside.T @ (known - mean))
    else:
        weights = inside.T @ np.linalg.solve(inside @ inside.T + np.eye(cut), known - mean)
    square = (out**2).sum(axis=1)[:, None] + (inside**2).sum(axis=1)[None] - 2 * out @ inside.T
    nearest = known[square.argmin(axis=1)]
    if not classification:
        spread = max(float(((truth - truth.mean()) ** 2).mean()), 1e-12)
        r2 = lambda predicted: float(np.clip(1 - ((predicted - truth) ** 2).mean() / spread, -1.0, 1.0))
        return r2(out @ weights + mean), r2(nearest), 0.0
    label = truth.argmax(axis=1)
    right = lambda predicted: float((predicted.argmax(axis=1) == label).mean())
    number = known.sum(axis=0)
    centers = known.T @ inside / np.maximum(number, 1.0)[:, None]
    distance = (centers**2).sum(axis=1)[None] - 2 * out @ centers.T
    return right(out @ weights + mean), right(nearest), right(-np.where(number > 0, distance, np.inf))


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
