"""What to try before anything is known."""

from typing import Any

import numpy as np

from metajax.types import InputError


def representative(encodings: Any, k: int) -> np.ndarray:
    """Numbers i64[k] of rows that stand for all: each next one lowers the mean distance of a row to the nearest chosen one most
    (greedy k-medoids, the BUILD step of Kaufman and Rousseeuw 1990). The first is the most central, so that a search begins in
    the middle of its space and not in a corner.

    Args:
        encodings: f32[n, width], such as of a random sample; distances are sums of absolute differences.
        k: how many, at most n.

    Raises:
        InputError: if k is not from 1 to n.

    Example:
        >>> representative([[0.0], [0.1], [0.2], [0.5], [0.8], [0.9], [1.0]], 3).tolist()
        [3, 1, 5]
    """
    x = np.asarray(encodings, np.float32)
    if not 1 <= k <= len(x):
        raise InputError(f"representative: k={k} of {len(x)} rows; accepted are numbers from 1 to the number of rows")
    apart = np.stack([np.abs(x - row).sum(axis=1) for row in x])
    nearest, chosen = np.full(len(x), np.inf, np.float32), []
    for _ in range(k):
        left = np.minimum(nearest, apart).mean(axis=1)
        left[chosen] = np.inf
        chosen.append(int(np.argmin(left)))
        nearest = np.minimum(nearest, apart[chosen[-1]])
    return np.asarray(chosen)


def warm_start(
    values: Any, k: int, maximize: bool = True, seed: int = 0, population: int = 100, steps: int = 10_000
) -> np.ndarray:
    """Rows i64[k] of the configurations that do best together on other datasets, to begin with on a new one: on each dataset
    the best of them counts, so that they complement each other where the best by mean rank resemble each other.

    The evolutionary warm start of FSBO (Wistuba and Grabocka 2021, arXiv:2101.07667): sets of k are mutated and crossed. The
    loss of a set is the mean over datasets of the least normalized regret of its members, (best - value) / (best - worst).
    Configurations are drawn more often the better they are on their best dataset, in proportion to exp(-regret).

    Args:
        values: f[datasets, configurations], the metric where all were tried on all, or ``model.predict`` of a model of each
            dataset, such as of ``predictor.deep_kernel``.
        k: how many, at most the number of configurations.
        maximize: whether larger is better.
        seed: of the draws.
        population: number of sets.
        steps: of evolution, one new set each.

    Returns:
        The best set, its rows in the order in which each next one lowers the loss most.

    Raises:
        InputError: if k does not fit, or values are not finite numbers of that shape.

    Example:
        >>> # two datasets; the last configuration is second on both, the first two are best on one
        >>> values = [[1.0, 0.0, 0.7], [0.0, 1.0, 0.7]]
        >>> sorted(warm_start(values, 2).tolist()), warm_start(values, 1).tolist()
        ([0, 1], [2])
    """
    values = np.asarray(values, np.float64)
    if (
        values.ndim != 2
        or not np.isfinite(values).all()
        or not 1 <= k <= values.shape[-1]
        or min(population, steps) < 1
    ):
        given = f"values {values.shape}, k={k}, population={population}, steps={steps}"
        raise InputError(
            f"warm_start: {given}; accepted are finite values [datasets, configurations], 1 <= k <= configurations"
        )
    values = values if maximize else -values
    best, worst = values.max(axis=1, keepdims=True), values.min(axis=1, keepdims=True)
    regret = (best - values) / np.where(best > worst, best - worst, 1.0)
    share = np.exp(-regret.min(axis=0))
    share /= share.sum()
    rng = np.random.default_rng(seed)
    loss = lambda rows: float(regret[:, rows].min(axis=1).mean())
    sets = [rng.choice(len(share), size=k, replace=False, p=share) for _ in range(population)]
    losses = np.array([loss(rows) for rows in sets])
    for drawn in rng.choice(len(share), size=steps, p=share):
        first, second = rng.integers(population, size=2)
        if rng.random() < 0.5:
            child = sets[first].copy()
            child[rng.integers(k)] = drawn
        else:
            child = rng.permutation(np.union1d(sets[first], sets[second]))[:k]
        worst_set = int(np.argmax(losses))
        if len(np.unique(child)) == k and (new := loss(child)) < losses[worst_set]:
            sets[worst_set], losses[worst_set] = child, new
    return _greedy(regret, sets[int(np.argmin(losses))])


def _greedy(regret: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The same rows, each next one the one that lowers the loss of those before it most."""
    ordered: list[int] = []
    for _ in rows:
        left = [int(r) for r in rows if int(r) not in ordered]
        ordered.append(min(left, key=lambda r: float(regret[:, [*ordered, r]].min(axis=1).mean())))
    return np.array(ordered)
