"""Linear models with a penalty, solved by scikit-learn and stored as coefficients."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax.automl._training import Data
from metajax.automl.models._types import Member
from metajax.space import Domain, Float

_MAX_ITERATIONS = 200


class RegularizedLinear:
    """Logistic or ridge regression with a squared penalty, fitted to convergence. A missing value counts as 0."""

    name = "regularized_linear"

    def domains(self, features: int, classification: bool) -> dict[str, Domain]:
        """Returns the domain of the penalty."""
        return {"penalty": Float(1e-4, 1e4, log=True, grid=81)}

    def default_config(self, classification: bool) -> dict[str, Any]:
        """Returns the default of scikit-learn: a penalty of 1."""
        return {"penalty": 1.0}

    def fit(self, config: dict[str, Any], data: Data, seed: int, classification: bool, outputs: int) -> Member:
        """Fits the coefficients."""
        from sklearn.linear_model import LogisticRegression, Ridge

        if not classification:
            model = Ridge(alpha=config["penalty"]).fit(np.nan_to_num(data.x), data.y, data.weights)
            return Linear(model.coef_[:, None], np.array([model.intercept_], np.float64), False)
        model = LogisticRegression(C=1 / config["penalty"], max_iter=_MAX_ITERATIONS)
        model.fit(np.nan_to_num(data.x), data.y, data.weights)
        weights, offset = model.coef_.T, np.asarray(model.intercept_)
        if outputs == 2:
            weights, offset = np.pad(weights, [(0, 0), (1, 0)]), np.pad(offset, (1, 0))
        return Linear(weights, offset, True)

    def from_arrays(self, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> Member:
        """Returns the member that was saved."""
        return Linear(arrays["weights"], arrays["offset"], settings["softmax"])


class Linear(Member):
    """Weights [inputs, outputs] and offset [outputs], with or without a softmax."""

    def __init__(self, weights: np.ndarray, offset: np.ndarray, softmax: bool):
        self.weights, self.offset = np.asarray(weights, np.float64), np.asarray(offset, np.float64)
        self.settings = {"softmax": softmax}

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Returns probabilities or values f32[n, outputs]."""
        out = np.nan_to_num(x) @ self.weights + self.offset
        if self.settings["softmax"]:
            weights = np.exp(out - out.max(axis=1, keepdims=True))
            out = weights / weights.sum(axis=1, keepdims=True)
        return out.astype(np.float32)

    def predict_jax(self, x: jax.Array) -> jax.Array:
        """Returns probabilities or values f64[n, outputs] in operations of JAX."""
        out = jnp.nan_to_num(x).astype(jnp.float64) @ jnp.asarray(self.weights) + jnp.asarray(self.offset)
        return jax.nn.softmax(out, axis=1) if self.settings["softmax"] else out

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns weights and offset."""
        return {"weights": self.weights, "offset": self.offset}
