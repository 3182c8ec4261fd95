"""Nearest neighbors in the standardized inputs."""

from typing import Any

import numpy as np

from metajax.automl._training import Data
from metajax.automl.models._types import Member
from metajax.space import Categorical, Domain, Integer

_MAX_ROWS = 5_000
"""The maximum number of stored rows. Larger tables are subsampled, because every prediction visits all stored rows."""
_CHUNK = 512  # The number of rows whose distances are held in memory at a time.


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
        k, squares = min(self.settings["neighbors"], len(self.x)), np.square(self.x).sum(axis=1)
        result = np.empty((len(x), self.y.shape[1]), np.float32)
        for start in range(0, len(x), _CHUNK):
            rows = np.nan_to_num(x[start : start + _CHUNK])
            distance = np.square(rows).sum(axis=1)[:, None] + squares - 2 * rows @ self.x.T
            nearest = np.argpartition(distance, k - 1, axis=1)[:, :k]
            weights = np.ones(nearest.shape, np.float32)
            if self.settings["weights"] == "distance":
                near = np.sqrt(np.maximum(np.take_along_axis(distance, nearest, axis=1), 0))
                weights = 1 / np.maximum(near, 1e-6)
            weights /= weights.sum(axis=1, keepdims=True)
            result[start : start + _CHUNK] = np.einsum("nk,nko->no", weights, self.y[nearest])
        if self.settings.get("weighted"):  # the last column holds how much the rows count
            return result[:, :-1] / np.maximum(result[:, -1:], 1e-12)
        return result

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the rows and their votes."""
        return {"x": self.x, "y": self.y}
