"""Candidates ranked by expected improvement per second, and a batch of them that is spread out."""

from typing import NamedTuple

import numpy as np

from metajax.search._acquire import acquire
from metajax.search._pool import Pool
from metajax.search._strategies import keep_from
from metajax.space import Space

_WEIGHTS_OF_TIME = (0.0, 0.5, 1.0)
_RIDGE = 1.0


class Candidates(NamedTuple):
    r"""Candidates ranked by expected improvement per second.

    There are three rankings, by the expected improvement per second to the power of α,

    $$\mathrm{EI}(x) / s(x)^{\alpha}, \qquad \alpha \in \{0, \tfrac12, 1\}$$

    of which α = 1 is the expected improvement per second of Snoek et al. (2012), which alone would never try what takes long.

    Attributes:
        encodings: f32[n, width], the candidates.
        mean: f[n], how good they are expected to be, larger is better.
        std: f[n], its standard deviation.
        best: What is to be improved on.
        log_seconds: f64[n], the logarithm of the seconds that each is expected to take.
    """

    encodings: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    best: float
    log_seconds: np.ndarray

    def rankings(self) -> list[np.ndarray]:
        """Returns the candidates for each α, those with the largest expected improvement per second first."""
        log_gain = np.asarray(acquire("ei", self.mean, self.std, best=self.best))
        return [
            self.encodings[np.argsort(-(log_gain - weight * self.log_seconds), kind="stable")]
            for weight in _WEIGHTS_OF_TIME
        ]

    def spread_out(self, space: Space, n: int, evaluated: np.ndarray, required: np.ndarray) -> np.ndarray:
        """Takes candidates from the rankings in turn, at a distance from each other and from evaluated configurations.

        Args:
            space: Their space.
            n: How many.
            evaluated: f32[m, width], what was tried or is being tried.
            required: f32[k, width], what is picked in any case.

        Returns:
            f32[n, width], ``required`` first.
        """
        pools = [Pool(space, ranked, evaluated) for ranked in self.rankings()]
        picked = list(required[:n])
        for row in picked:
            keep_from(pools, row)
        while len(picked) < n:
            rows = [_take(pools, pool) for pool in pools]
            picked += [row for row in rows if row is not None] or [self.encodings[len(picked)]]
        return np.stack(picked[:n])


def _take(pools: list[Pool], pool: Pool) -> np.ndarray | None:
    """The next candidate of one pool, from which all keep a distance then."""
    index = pool.take()
    if index is None:
        return None
    keep_from(pools, pool.rows[index])
    return pool.rows[index]


def log_seconds(encodings: np.ndarray, seconds: np.ndarray | None, candidates: np.ndarray) -> np.ndarray:
    """Predicts how long candidates take, by a ridge regression of the logarithm on the encoding.

    Args:
        encodings: f32[m, width], what was trained.
        seconds: f64[m], how long it took; NaN where that is not known, or ``None``.
        candidates: f32[n, width].

    Returns:
        f64[n], the logarithm of the seconds, within those that were measured; 0 for all where fewer than two are known.
    """
    is_known = np.zeros(len(encodings), bool) if seconds is None else np.isfinite(seconds) & (seconds > 0)
    if seconds is None or is_known.sum() < 2:
        return np.zeros(len(candidates))
    x, y = encodings[is_known].astype(np.float64), np.log(seconds[is_known])
    middle, mean = x.mean(axis=0), y.mean()
    x = x - middle
    weights = np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ (y - mean))
    return np.clip((candidates - middle) @ weights + mean, y.min(), y.max())
