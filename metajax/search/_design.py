"""Designs: what to try before a model of the dataset exists."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import ArrayLike, Int

from metajax._typing import checked
from metajax.types import InputError


@checked
def representative(encodings: ArrayLike | Sequence[Any], k: int) -> Int[np.ndarray, " k"]:
    """Selects rows that represent all: each next one reduces the mean distance of a row to the nearest selected one most.

    This is greedy k-medoids, the BUILD step of PAM. The first row is the most central, so that a search starts in the middle
    of its space and not in a corner.

    Args:
        encodings: f[n, width], such as of a random sample; distances are sums of absolute differences.
        k: Number of rows, from 1 to n.

    Returns:
        i64[k], the indices of the rows, in the order of their selection.

    Raises:
        InputError: If k is not from 1 to n.

    References:
        Kaufman and Rousseeuw, Finding Groups in Data, 1990.

    Example:
        >>> from metajax import search
        >>> search.representative([[0.0], [0.1], [0.2], [0.5], [0.8], [0.9], [1.0]], 3).tolist()
        [3, 1, 5]
    """
    x = np.asarray(encodings, np.float32)
    if not 1 <= k <= len(x):
        raise InputError(f"representative: k must be an integer from 1 to the number of rows ({len(x)}), got {k}")
    distances = np.stack([np.abs(x - row).sum(axis=1) for row in x])
    nearest, selected = np.full(len(x), np.inf, np.float32), []
    for _ in range(k):
        remaining = np.minimum(nearest, distances).mean(axis=1)
        remaining[selected] = np.inf
        selected.append(int(np.argmin(remaining)))
        nearest = np.minimum(nearest, distances[selected[-1]])
    return np.asarray(selected)


@checked
def complementary(
    values: ArrayLike | Sequence[Any],
    k: int,
    maximize: bool = True,
    seed: int = 0,
    population: int = 100,
    steps: int = 10_000,
) -> Int[np.ndarray, " k"]:
    """Selects the configurations that do best together on other datasets, to start with on a new one.

    On each dataset the best of them counts, so that they complement each other, while the best by mean rank resemble each
    other. This is the evolutionary warm start of FSBO: sets of k are mutated and crossed. The loss of a set is the mean over
    datasets of the smallest normalized regret ``(best - value) / (best - worst)`` of its members. Configurations are sampled
    in proportion to exp(-regret) on their best dataset.

    Args:
        values: f[datasets, configurations]: the metric if all were tried on all, or ``model.predict`` of a model of each
            dataset, such as ``predictor.deep_kernel``. Finite.
        k: Number of configurations, at most as many as there are.
        maximize: Whether larger values are better.
        seed: Random seed.
        population: Number of sets.
        steps: Steps of evolution, with one new set each.

    Returns:
        i64[k], the indices of the best set, ordered so that each next one reduces the loss most.

    Raises:
        InputError: If k does not fit, or values are not finite numbers of that shape.

    References:
        Wistuba and Grabocka, Few-shot Bayesian optimization with deep kernel surrogates, 2021, arXiv:2101.07667.

    Example:
        >>> from metajax import search
        >>> values = [[1.0, 0.0, 0.7], [0.0, 1.0, 0.7]]  # the last is second on both datasets, the others best on one
        >>> sorted(search.complementary(values, 2).tolist()), search.complementary(values, 1).tolist()
        ([0, 1], [2])
    """
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or not np.isfinite(table).all() or not 1 <= k <= table.shape[-1] or min(population, steps) < 1:
        raise InputError(
            "complementary: values must be finite, of shape [datasets, configurations], k must be from 1 to the number of "
            f"configurations, and population and steps must be >= 1, got values of shape {table.shape}, k={k}, "
            f"population={population} and steps={steps}"
        )
    table = table if maximize else -table
    best, worst = table.max(axis=1, keepdims=True), table.min(axis=1, keepdims=True)
    regret = (best - table) / np.where(best > worst, best - worst, 1.0)
    share = np.exp(-regret.min(axis=0))
    share /= share.sum()
    rng = np.random.default_rng(seed)
    loss = lambda rows: float(regret[:, rows].min(axis=1).mean())
    sets = [rng.choice(len(share), size=k, replace=False, p=share) for _ in range(population)]
    losses = np.array([loss(rows) for rows in sets])
    for candidate in rng.choice(len(share), size=steps, p=share):
        first, second = rng.integers(population, size=2)
        if rng.random() < 0.5:
            child = sets[first].copy()
            child[rng.integers(k)] = candidate
        else:
            child = rng.permutation(np.union1d(sets[first], sets[second]))[:k]
        worst_set = int(np.argmax(losses))
        if len(np.unique(child)) == k and (child_loss := loss(child)) < losses[worst_set]:
            sets[worst_set], losses[worst_set] = child, child_loss
    return _greedy(regret, sets[int(np.argmin(losses))])


def _greedy(regret: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rows ordered so that each next one reduces the loss of those before it most."""
    ordered: list[int] = []
    for _ in rows:
        remaining = [int(r) for r in rows if int(r) not in ordered]
        ordered.append(min(remaining, key=lambda r: float(regret[:, [*ordered, r]].min(axis=1).mean())))
    return np.array(ordered)
