"""How a ranking of architectures agrees with the truth."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from metajax.types import InputError


def kendall_tau(a: ArrayLike, b: ArrayLike) -> float:
    """Returns Kendall's τ-b between two lists of scores, with ties.

    Args:
        a: The scores, float[n]; infinite scores are the first or last of all.
        b: The scores of the same items, float[n].

    Returns:
        A number within [-1, 1]; 0 if one of the lists is constant.

    Raises:
        InputError: If they are not two lists of one length, or hold NaN.

    References:
        Kendall 1945, "The treatment of ties in ranking problems".

    Example:
        >>> round(kendall_tau([1, 2, 3, 4], [1, 2, 4, 3]), 3)
        0.667
    """
    a, b = _paired_scores(a, b)
    if len(a) < 2 or np.ptp(_ranks(a)) == 0 or np.ptp(_ranks(b)) == 0:
        return 0.0
    return float(stats.kendalltau(a, b).statistic)  # type: ignore[attr-defined]  # in O(n log n)


def kendall_tau_error(a: ArrayLike, b: ArrayLike) -> float:
    """Returns the standard error of ``kendall_tau`` over draws of the items that are ranked, by the jackknife.

    The jackknife takes the τ of the lists without one item, for every item.

    Args:
        a: The scores, float[n], with n at least 3.
        b: The scores of the same items, float[n].

    Returns:
        The standard error.

    Raises:
        InputError: In the cases of ``kendall_tau``, or if there are fewer than three items.

    References:
        Efron and Stein 1981, "The jackknife estimate of variance".

    Example:
        >>> first, second = np.random.default_rng(0).normal(size=(2, 300))  # unrelated, where theory says .0386
        >>> round(kendall_tau_error(first, second), 3)
        0.038
    """
    rows = _agreement(a, b)
    number = len(rows[0])
    if number < 3:
        raise InputError(f"kendall_tau_error: a and b must have at least 3 scores, got {number}")
    totals = [np.sum(part) for part in rows]
    left_out = np.array([_tau(*(total - 2 * part[i] for total, part in zip(totals, rows))) for i in range(number)])
    return float(np.sqrt((number - 1) * np.var(left_out)))


def _paired_scores(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Returns the two lists of scores as arrays, float64[n], after checking them."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise InputError(
            f"kendall_tau: a and b must be one-dimensional and of the same length, got the shapes {a.shape} and {b.shape}"
        )
    if np.isnan(a).any() or np.isnan(b).any():
        raise InputError(
            "kendall_tau: a and b must be finite or infinite numbers, but a score is NaN, which has no rank"
        )
    return a, b


def _ranks(scores: np.ndarray) -> np.ndarray:
    """Returns the rank of every score, int64[n]; equal scores share a rank."""
    return np.unique(scores, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _agreement(a: Any, b: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns three counts for every item.

    They are: by how many more of the other items it is ordered alike than otherwise; with how many it has no tie in ``a``;
    with how many it has no tie in ``b``.
    """
    ranks = [_ranks(scores) for scores in _paired_scores(a, b)]
    rows = [[], [], []]
    for start in range(0, len(ranks[0]), 256):  # a table of all pairs of 15,625 cells takes gigabytes
        da, db = (np.sign(rank[start : start + 256, None] - rank) for rank in ranks)
        for parts, signs in zip(rows, (da * db, np.abs(da), np.abs(db))):
            parts.append(signs.sum(axis=1))
    counts = [np.concatenate(parts) if parts else np.zeros(0, np.int64) for parts in rows]
    return counts[0], counts[1], counts[2]


def _tau(agreement: Any, untied_a: Any, untied_b: Any) -> float:
    """Returns τ-b from the sums of the three counts."""
    scale = np.sqrt(float(untied_a) * float(untied_b))
    return float(agreement / scale) if scale else 0.0
