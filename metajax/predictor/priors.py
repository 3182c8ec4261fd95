"""Transfer from other datasets: their trials as the prior of a Gaussian process on a new dataset."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float32, Float64

from metajax._typing import checked
from metajax.predictor._transfer import transfer
from metajax.predictor.targets import ranks
from metajax.types import InputError

__all__ = ["TransferPrior", "average_prior", "meta_prior", "normal_scores", "scaled_by_rank", "transfer"]

Rows = ArrayLike | Sequence[Any]
"""A matrix: an array or a list of rows."""


class TransferPrior(NamedTuple):
    """What K other datasets say about n configurations on a new dataset, before any training on it.

    Attributes:
        mean: f32[n], or f32[m, n] for m new datasets: the expected scores.
        factors: f32[n, K]; ``factors @ factors.T / K`` is the covariance of the configurations.

    Example:
        >>> from metajax.predictor import priors
        >>> prior = priors.average_prior([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
        >>> prior.columns([2]).tolist()  # mean and two factors of the third configuration
        [[2.5, -0.5, 0.5]]
    """

    mean: np.ndarray
    factors: np.ndarray

    def columns(self, rows: Any, of: int | None = None) -> Float32[np.ndarray, "rows columns"]:
        """The columns that the spec ``transfer`` reads in front of the encoding.

        Args:
            rows: Indices or a slice of configurations.
            of: Index of the new dataset, if there are several.

        Returns:
            f32[rows, 1 + K].
        """
        mean = self.mean if of is None else self.mean[of]
        return np.concatenate([mean[rows, None], self.factors[rows]], axis=1).astype(np.float32)


@checked
def normal_scores(values: Rows, maximize: bool = True) -> Float64[np.ndarray, "datasets configurations"]:
    """Converts metrics to normal scores, which are comparable between datasets.

    The ranks within each row become quantiles of the normal distribution, whatever the units and outliers of the metric.

    Args:
        values: f[datasets, configurations], the metrics; finite.
        maximize: Whether a larger metric is better.

    Returns:
        f64[datasets, configurations], larger better.

    Raises:
        InputError: If values are not finite, or not a matrix.

    Example:
        >>> from metajax.predictor import priors
        >>> priors.normal_scores([[0.1, 0.9, 0.5]], maximize=False).round(2).tolist()
        [[0.97, -0.97, 0.0]]
    """
    metric = np.asarray(values, np.float64) * (1 if maximize else -1)
    if metric.ndim != 2 or not np.isfinite(metric).all():
        raise InputError(
            f"normal_scores: values must be finite, of shape [datasets, configurations], got shape {metric.shape}"
        )
    return _normal((np.apply_along_axis(ranks, 1, metric) - 0.5) / metric.shape[1])


def _normal(share: np.ndarray) -> np.ndarray:
    """Quantiles of the normal distribution."""
    from scipy.special import ndtri  # importing it takes as long as importing this package

    return ndtri(share)


def average_prior(scores: Rows) -> TransferPrior:
    """The prior whose mean is the mean over datasets, and whose covariance is how the datasets differ from it.

    This is the empirical prior of HyperBO.

    Args:
        scores: f[K, n], comparable between datasets, such as ``normal_scores``.

    Returns:
        The prior.

    References:
        Wang et al., Pre-trained Gaussian processes for Bayesian optimization, 2021, arXiv:2109.08215.

    Example:
        >>> from metajax.predictor import priors
        >>> priors.average_prior([[0.0, 1.0], [2.0, 1.0]]).mean.tolist()
        [1.0, 1.0]
    """
    table = np.asarray(scores, np.float64)
    mean = table.mean(axis=0)
    return TransferPrior(mean.astype(np.float32), (table - mean).T.astype(np.float32))


_BANDWIDTHS, _PENALTIES = (0.5, 1.0, 2.0, 4.0), (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def meta_prior(
    scores: Rows,
    meta: Rows,
    new: Rows,
    family: Rows | None = None,
    folds: int = 8,
    seed: int = 0,
) -> TransferPrior:
    """The prior whose mean is predicted from meta-features, by kernel ridge regression for all configurations at once.

    The covariance is that of the errors on datasets that are held out; bandwidth and penalty are chosen there, too.

    Args:
        scores: f[K, n], comparable between datasets, such as ``normal_scores``.
        meta: f[K, c], meta-features of these datasets, NaN where unknown. They are scaled by their ranks.
        new: f[m, c], meta-features of the new datasets.
        family: int[K]; datasets of one family are held out together, and every family has the same weight. By default every
            dataset is a family.
        folds: Number of folds; at most the number of families.
        seed: Seed of the folds.

    Returns:
        The prior, with a mean for each new dataset.

    Raises:
        InputError: If shapes do not fit, or there are fewer families than folds.

    Example:
        >>> from metajax.predictor import priors
        >>> meta = np.linspace(0.0, 1.0, 24)[:, None]
        >>> scores = np.concatenate([meta, 1 - meta], axis=1)  # large meta-features favor the first configuration
        >>> prior = priors.meta_prior(scores, meta, [[0.1], [0.9]])
        >>> [int(mean.argmax()) for mean in prior.mean]
        [1, 0]
    """
    scores, meta, new = (np.asarray(a, np.float64) for a in (scores, meta, new))
    family = np.arange(len(scores)) if family is None else np.unique(np.asarray(family), return_inverse=True)[1].ravel()
    if not len(scores) == len(meta) == len(family) or meta.shape[1:] != new.shape[1:]:
        shapes = f"scores {scores.shape}, meta {meta.shape}, new {new.shape}, family {family.shape}"
        raise InputError(
            "meta_prior: scores must have the shape [datasets, configurations], meta and new [datasets, meta-features] and "
            f"family [datasets], got {shapes}"
        )
    families = int(family.max()) + 1
    if families < folds:
        raise InputError(f"meta_prior: folds must be at most the number of families ({families}), got {folds}")
    fold = (np.random.default_rng(seed).permutation(families) % folds)[family]
    weight = 1.0 / np.bincount(family)[family]
    past_ranks, new_ranks = (scaled_by_rank(meta, features) for features in (meta, new))
    best: tuple[float, float, float, np.ndarray] | None = None
    for bandwidth in _BANDWIDTHS:
        for penalty in _PENALTIES:
            errors = np.zeros_like(scores)
            for k in range(folds):
                is_training, is_held_out = fold != k, fold == k
                errors[is_held_out] = scores[is_held_out] - _smooth(
                    past_ranks[is_training], scores[is_training], past_ranks[is_held_out], bandwidth, penalty
                )
            loss = float(np.average((errors**2).mean(axis=1), weights=weight))
            if best is None or loss < best[0]:
                best = (loss, bandwidth, penalty, errors)
    assert best is not None
    _, bandwidth, penalty, errors = best
    mean = _smooth(past_ranks, scores, new_ranks, bandwidth, penalty)
    return TransferPrior(mean.astype(np.float32), errors.T.astype(np.float32))


def _smooth(
    past_ranks: np.ndarray, scores: np.ndarray, new_ranks: np.ndarray, bandwidth: float, penalty: float
) -> np.ndarray:
    """Kernel ridge regression of the scores on the meta-features."""
    center = scores.mean(axis=0)
    gram, cross = (_laplace(a, past_ranks, bandwidth) for a in (past_ranks, new_ranks))
    return center + cross @ np.linalg.solve(gram + penalty * np.eye(len(gram)), scores - center)


def _laplace(a: np.ndarray, b: np.ndarray, bandwidth: float) -> np.ndarray:
    """The exponential kernel of the root mean squared distance."""
    square = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.exp(-np.sqrt(np.maximum(square, 0.0) / a.shape[1]) / bandwidth)


@checked
def scaled_by_rank(reference: Rows, features: Rows) -> Float64[np.ndarray, "rows columns"]:
    """Scales columns to normal quantiles of the reference values, so that units do not matter.

    Args:
        reference: f[K, c], the values that define the quantiles; not finite where unknown.
        features: f[m, c], the values to scale.

    Returns:
        f64[m, c]; 0, the middle, where a value is not finite.

    Example:
        >>> from metajax.predictor import priors
        >>> priors.scaled_by_rank([[1.0], [10.0], [1000.0]], [[10.0], [np.nan], [1e9]]).round(2).ravel().tolist()
        [0.0, 0.0, 0.97]
    """
    reference, features = np.asarray(reference, np.float64), np.asarray(features, np.float64)
    scaled = np.zeros_like(features)
    for j in range(features.shape[1]):
        column = np.sort(reference[np.isfinite(reference[:, j]), j])
        if not len(column):
            continue
        rank = np.searchsorted(column, features[:, j], "left") + np.searchsorted(column, features[:, j], "right")
        share = np.clip(rank / (2 * len(column)), 0.5 / len(column), 1 - 0.5 / len(column))
        scaled[:, j] = np.where(np.isfinite(features[:, j]), _normal(share), 0.0)
    return scaled
