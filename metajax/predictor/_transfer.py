"""What other datasets say of configurations, as the prior of a Gaussian process on a new one."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax.predictor._specs import DENSE, Spec, descend, matern
from metajax.predictor.targets import ranks
from metajax.types import InputError


class Prior(NamedTuple):
    """How a new dataset may score n configurations, before any training on it, from K other datasets.

    Attributes:
        mean: f32[n] (or [m, n] for m new datasets).
        factors: f32[n, K]; their products, divided by K, are the covariance of two configurations.
    """

    mean: np.ndarray
    factors: np.ndarray

    def columns(self, rows: Any, of: int | None = None) -> np.ndarray:
        """f32[rows, 1 + K]: what ``transfer`` reads of these configurations (of one new dataset, if there are several)."""
        mean = self.mean if of is None else self.mean[of]
        return np.concatenate([mean[rows, None], self.factors[rows]], axis=1).astype(np.float32)


def normal_scores(values: Any, maximize: bool = True) -> np.ndarray:
    """Each row's ranks as quantiles of the normal distribution, larger better: comparable between datasets, whatever the
    units and outliers of their metric.

    Example:
        >>> normal_scores([[0.1, 0.9, 0.5]], maximize=False).round(2).tolist()
        [[0.97, -0.97, 0.0]]
    """
    values = np.asarray(values, np.float64) * (1 if maximize else -1)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise InputError(
            f"normal_scores: values of shape {values.shape}; accepted are finite ones, datasets x configurations"
        )
    return _normal((np.apply_along_axis(ranks, 1, values) - 0.5) / values.shape[1])


def _normal(share: np.ndarray) -> np.ndarray:
    """Quantiles of the normal distribution."""
    from scipy.special import ndtri  # as long to import as the whole of this package

    return ndtri(share)


def average_prior(scores: Any) -> Prior:
    """The mean over datasets, and how they differ from it (the empirical prior of HyperBO, Wang et al. 2021,
    arXiv:2109.08215), from f[K, n] scores that are comparable between datasets, such as ``normal_scores``."""
    scores = np.asarray(scores, np.float64)
    mean = scores.mean(axis=0)
    return Prior(mean.astype(np.float32), (scores - mean).T.astype(np.float32))


_BANDWIDTHS, _RIDGES = (0.5, 1.0, 2.0, 4.0), (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def meta_prior(scores: Any, meta: Any, new: Any, family: Any = None, folds: int = 8, seed: int = 0) -> Prior:
    """The mean is predicted from meta-features by kernel ridge regression (all configurations at once), the covariance is
    that of its errors on datasets held out: bandwidth and ridge are chosen there too.

    Args:
        scores: f[K, n], comparable between datasets.
        meta: f[K, c] of those datasets, NaN where unknown; scaled here by their ranks.
        new: f[m, c] of the new ones.
        family: int[K]; datasets of one family are held out together, and a family weighs as much as another.
        folds: of the held-out predictions.
        seed: of the folds.

    Raises:
        InputError: if shapes do not fit, or there are fewer families than folds.
    """
    scores, meta, new = (np.asarray(a, np.float64) for a in (scores, meta, new))
    family = np.arange(len(scores)) if family is None else np.unique(np.asarray(family), return_inverse=True)[1].ravel()
    if not len(scores) == len(meta) == len(family) or meta.shape[1:] != new.shape[1:]:
        given = f"scores {scores.shape}, meta {meta.shape}, new {new.shape}, family {family.shape}"
        raise InputError(
            f"meta_prior: {given}; accepted are datasets x configurations, and datasets x meta-features twice"
        )
    families = int(family.max()) + 1
    if families < folds:
        raise InputError(f"meta_prior: {families} families cannot make {folds} folds")
    fold = (np.random.default_rng(seed).permutation(families) % folds)[family]
    weight = 1.0 / np.bincount(family)[family]
    known, asked = (by_rank(meta, some) for some in (meta, new))
    best: tuple[float, float, float, np.ndarray] | None = None
    for bandwidth in _BANDWIDTHS:
        for ridge in _RIDGES:
            errors = np.zeros_like(scores)
            for k in range(folds):
                inside, out = fold != k, fold == k
                errors[out] = scores[out] - _smooth(known[inside], scores[inside], known[out], bandwidth, ridge)
            loss = float(np.average((errors**2).mean(axis=1), weights=weight))
            if best is None or loss < best[0]:
                best = (loss, bandwidth, ridge, errors)
    assert best is not None
    _, bandwidth, ridge, errors = best
    mean = _smooth(known, scores, asked, bandwidth, ridge)
    return Prior(mean.astype(np.float32), errors.T.astype(np.float32))


def _smooth(known: np.ndarray, scores: np.ndarray, asked: np.ndarray, bandwidth: float, ridge: float) -> np.ndarray:
    center = scores.mean(axis=0)
    gram, cross = (_laplace(a, known, bandwidth) for a in (known, asked))
    return center + cross @ np.linalg.solve(gram + ridge * np.eye(len(gram)), scores - center)


def _laplace(a: np.ndarray, b: np.ndarray, bandwidth: float) -> np.ndarray:
    square = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.exp(-np.sqrt(np.maximum(square, 0.0) / a.shape[1]) / bandwidth)


def by_rank(known: np.ndarray, some: np.ndarray) -> np.ndarray:
    """Columns as normal quantiles of the known ones; what is not known lies in the middle."""
    scaled = np.zeros_like(some)
    for j in range(some.shape[1]):
        column = np.sort(known[np.isfinite(known[:, j]), j])
        if not len(column):
            continue
        place = np.searchsorted(column, some[:, j], "left") + np.searchsorted(column, some[:, j], "right")
        share = np.clip(place / (2 * len(column)), 0.5 / len(column), 1 - 0.5 / len(column))
        scaled[:, j] = np.where(np.isfinite(some[:, j]), _normal(share), 0.0)
    return scaled


# logarithms of the hyperparameters before anything is seen, and the deviations of their normal priors: the scale of the
# target, the weight of the factors, of the residual and its length, and the noise, the latter three relative to the scale
_START = {"scale": 0.0, "factors": 0.0, "residual": -1.4, "length": 0.0, "noise": -3.5}
_WIDTH = {"scale": 1.0, "factors": 0.7, "residual": 0.7, "length": 1.0, "noise": 1.0}


def transfer(sources: int, steps: int = 40, rate: float = 0.1) -> Spec:
    """A Gaussian process for a new dataset whose prior is what other datasets say.

    Its mean is ``scale · prior mean``, its covariance the prior's own, and a Matérn residual for what no other dataset has
    shown; a constant is free. Scale, weights, length and noise are learned from the trainings of the new dataset by gradient
    of the marginal likelihood; with none of them it is the prior.

    Args:
        sources: K, how many datasets; the model's first 1 + K columns are ``Prior.columns``, the others the encoding.
        steps, rate: of Adam on the hyperparameters; going on from an earlier fit takes a quarter of the steps.

    Example:
        >>> prior = average_prior([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
        >>> spec, x = transfer(2), jnp.concatenate([prior.columns(slice(None)), jnp.eye(3, dtype=jnp.float32)], axis=1)
        >>> fitted = spec.fit(jax.random.key(0), x, jnp.zeros(3), jnp.zeros(3), jnp.arange(6))
        >>> int(jnp.argmax(spec.apply(fitted, x)[0]))
        2
    """

    def covariance(log, x, z):
        common = jnp.exp(log["factors"]) ** 2 / sources * x[:, 1 : 1 + sources] @ z[:, 1 : 1 + sources].T
        common = common + 0.25 * x[:, :1] * z[:, 0][None]
        near = jnp.exp(log["residual"]) ** 2 * matern(x[:, 1 + sources :], z[:, 1 + sources :], jnp.exp(-log["length"]))
        return _FREE + jnp.exp(log["scale"]) ** 2 * (common + near)

    def factorize(log, x, y, weight):
        noise = jnp.exp(log["scale"] + log["noise"]) ** 2 + 1e-4
        factor = jnp.linalg.cholesky(covariance(log, x, x) + jnp.diag(noise / jnp.maximum(weight, 1e-6)))
        return factor, (weight > 0).astype(y.dtype) * (y - jnp.exp(log["scale"]) * x[:, 0])

    def fit(key, x, y, weight, blocks, start=None):
        initial = {k: jnp.asarray(v, x.dtype) for k, v in _START.items()}

        def negative_log_posterior(log):
            factor, residual = factorize(log, x, y, weight)
            solved = jax.scipy.linalg.solve_triangular(factor, residual, lower=True)
            prior = sum((log[k] - initial[k]) ** 2 / (2 * _WIDTH[k] ** 2) for k in log)
            # a row of weight 0 says nothing of the noise either
            return 0.5 * jnp.sum(solved**2) + jnp.sum(jnp.log(jnp.diag(factor)) * (weight > 0).astype(x.dtype)) + prior

        log, count = (initial, steps) if start is None else (start["log"], max(1, steps // 4))
        log = descend(negative_log_posterior, log, optax.adam(rate), count)
        factor, residual = factorize(log, x, y, weight)
        return {"log": log, "x": x, "factor": factor, "alpha": jax.scipy.linalg.cho_solve((factor, True), residual)}

    def apply(params, x):
        log = params["log"]
        cross = covariance(log, x, params["x"])
        solved = jax.scipy.linalg.solve_triangular(params["factor"], cross.T, lower=True)
        own = 0.25 * x[:, 0] ** 2 + jnp.exp(log["residual"]) ** 2
        own = own + jnp.exp(log["factors"]) ** 2 / sources * jnp.sum(x[:, 1 : 1 + sources] ** 2, axis=1)
        variance = _FREE + jnp.exp(log["scale"]) ** 2 * own - jnp.sum(solved**2, axis=0)
        return jnp.exp(log["scale"]) * x[:, 0] + cross @ params["alpha"], jnp.sqrt(jnp.maximum(variance, 1e-6))

    return Spec("transfer", fit, apply, most=DENSE)


_FREE = 25.0  # the variance of the constant, in a target of deviation 1
