"""What a search is worth: how a SuperNet ranks architectures, and how that ranking agrees with the truth."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax.nn import Functional
from metajax.space import Space


def kendall_tau(a: Any, b: Any) -> float:
    """Kendall's τ-b between two score lists, ties handled (Kendall 1945); 0 if one of them is constant.

    Example:
        >>> kendall_tau([1, 2, 3, 4], [1, 2, 4, 3])
        0.6666666666666666
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"kendall_tau: two lists of one length are needed, got shapes {a.shape} and {b.shape}")
    upper = np.triu_indices(len(a), 1)
    da, db = np.sign(a[:, None] - a)[upper], np.sign(b[:, None] - b)[upper]
    scale = np.sqrt(np.sum(da != 0) * np.sum(db != 0))
    return float(np.sum(da * db) / scale) if scale else 0.0


def supernet_scores(network: Functional, params: Any, encodings: Any, x: jax.Array, y: jax.Array) -> np.ndarray:
    """Accuracy of each architecture (rows of one-hot encodings) with the shared weights, batch norm transductive."""

    @jax.jit
    def score(encodings):
        chosen = lambda e: jnp.argmax(network.apply(params, x, e), axis=-1).astype(y.dtype)
        return jax.lax.map(lambda e: jnp.mean(chosen(e) == y, dtype=jnp.float32), encodings)

    return np.asarray(score(jnp.asarray(encodings)))


def index_of(space: Space, config: dict[str, Any]) -> int:
    """Where a configuration of a small space stands in ``space.at``."""
    wanted = np.asarray(space.encode(space.configs([config])))[0]
    every = np.asarray(space.encode(space.at(np.arange(int(space.size)))))
    return int(np.flatnonzero((every == wanted).all(axis=1))[0])
