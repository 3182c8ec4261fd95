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
