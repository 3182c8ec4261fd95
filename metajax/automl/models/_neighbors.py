"""Nearest neighbors in the standardized inputs."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax.automl._training import Data
from metajax.automl.models._types import Member
from metajax.space import Categorical, Domain, Integer

_MAX_ROWS = 5_000
"""The maximum number of stored rows. Larger tables are subsampled, because every prediction visits all stored rows."""
_CHUNK = 512  # The number of rows whose distances are held in memory at a time.
_MIN_DISTANCE = 1e-6
"""Rows that are closer count as if they were at this distance: then equal rows are, whatever the rounding."""


class Neighbors:
    """The mean of the k nearest training rows, alike or weighted by the inverse distance. A missing value counts as 0."""

    name = "neighbors"

    def domains(self, features: int, classification: bool) -> dict[str, Domain]:
        """Returns the domains of the hyperparameters."""
        return {"neighbors": Integer(1, 100, log=True), "weights": Categorical(("uniform", "distance"))}

    def default_config(self, classification: bool) -> dict[str, Any]:
        """Returns ten neighbors, weighted by the inverse distance."""
        return {"neighbors": 10, "weights": "distance"}

    def fit(self, config: dict[str, Any], data: Data, seed: int, classification: bool, outputs: int) -> Member:
        """Stores the rows, ``_MAX_ROWS`` at most."""
        rows = np.random.default_rng(seed).permutation(len(data.x))[:_MAX_ROWS]
        x, y = np.asarray(data.x)[rows], np.asarray(data.y)[rows]
        votes = np.eye(outputs, dtype=np.float32)[y] if classification else y[:, None]
        if data.weights is not None:
            votes = np.concatenate([votes, np.ones((len(votes), 1), np.float32)], axis=1)
            votes = votes * np.asarray(data.weights, np.float32)[rows, None]
        return StoredRows(np.nan_to_num(x), votes, {**config, "weighted": data.weights is not None})

    def from_arrays(self, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> Member:
        """Returns the member that was saved."""
        return StoredRows(arrays["x"], arrays["y"], settings)


class StoredRows(Member):
    """Rows f32[rows, inputs], and what they vote for, f32[rows, outputs]; weighted ones also vote how much they count."""

    def __init__(self, x: np.ndarray, y: np.ndarray, settings: dict[str, Any]):
        self.x, self.y, self.settings = np.asarray(x, np.float32), np.asarray(y, np.float32), dict(settings)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Returns the votes f32[n, outputs] of the nearest rows."""
        k, stored = min(self.settings["neighbors"], len(self.x)), self.x.astype(np.float64)
        squares, number = np.square(stored).sum(axis=1), np.arange(len(stored))
        result = np.empty((len(x), self.y.shape[1]), np.float32)
        for start in range(0, len(x), _CHUNK):
            rows = np.nan_to_num(x[start : start + _CHUNK]).astype(np.float64)
            distance = np.square(rows).sum(axis=1)[:, None] + squares - 2 * rows @ stored.T
            # Sums in float64 make equal distances equal in float32, whose bits are in the order of the numbers. So the first
            # stored of equally near rows counts, whatever computes the sums.
            bits = np.maximum(distance, _MIN_DISTANCE**2).astype(np.float32).view(np.int32).astype(np.int64)
            smallest = np.partition(bits << 32 | number, k - 1, axis=1)[:, :k]
            nearest, weights = smallest & 0xFFFFFFFF, np.ones(smallest.shape, np.float32)
            if self.settings["weights"] == "distance":
                weights = 1 / np.sqrt((smallest >> 32).astype(np.int32).view(np.float32))
            weights /= weights.sum(axis=1, keepdims=True)
            result[start : start + _CHUNK] = np.einsum("nk,nko->no", weights, self.y[nearest])
        if self.settings.get("weighted"):  # the last column holds how much the rows count
            return result[:, :-1] / np.maximum(result[:, -1:], 1e-12)
        return result

    def predict_jax(self, x: jax.Array) -> jax.Array:
        """Returns the votes f64[n, outputs] of the nearest rows in operations of JAX."""
        k, rows, n = min(self.settings["neighbors"], len(self.x)), jnp.nan_to_num(x).astype(jnp.float64), x.shape[0]

        def visit(carry, chunk):
            stored, number = chunk
            squares = jnp.sum(stored**2, axis=1) + jnp.where(number < 0, jnp.inf, 0.0)
            distance = jnp.sum(rows**2, axis=1, keepdims=True) + squares - 2.0 * rows @ stored.T
            distance = jnp.maximum(distance, _MIN_DISTANCE**2).astype(jnp.float32)
            # Of equal distances the first is taken, which is that of the row that was stored first.
            distance = jnp.concatenate([carry[0], distance], axis=1)
            numbers = jnp.concatenate([carry[1], jnp.broadcast_to(number, (n, len(number)))], axis=1)
            negative, places = jax.lax.top_k(-distance, k)
            return (-negative, jnp.take_along_axis(numbers, places, axis=1)), None

        missing = -len(self.x) % _CHUNK
        stored = np.pad(self.x.astype(np.float64), [(0, missing), (0, 0)]).reshape(-1, _CHUNK, self.x.shape[1])
        number = np.pad(np.arange(len(self.x), dtype=np.int32), (0, missing), constant_values=-1).reshape(-1, _CHUNK)
        start = jnp.full((n, k), jnp.inf, jnp.float32), jnp.full((n, k), -1, jnp.int32)
        (distance, nearest), _ = jax.lax.scan(visit, start, (jnp.asarray(stored), jnp.asarray(number)))
        weights = jnp.ones((n, k), jnp.float64)
        if self.settings["weights"] == "distance":
            weights = 1.0 / jnp.sqrt(distance.astype(jnp.float64))
        votes = jnp.asarray(self.y.astype(np.float64))[nearest]
        result = jnp.einsum("nk,nko->no", weights / jnp.sum(weights, axis=1, keepdims=True), votes)
        if self.settings.get("weighted"):
            return result[:, :-1] / jnp.maximum(result[:, -1:], 1e-12)
        return result

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the rows and their votes."""
        return {"x": self.x, "y": self.y}
