"""LightGBM, where it is installed; a model is saved in its own text format."""

from typing import Any

import numpy as np

from metajax._optional import optional
from metajax.automl._training import Data
from metajax.automl.models._boosting import PATIENCE, boosting_domains, decided_iterations, max_iterations
from metajax.automl.models._library_trees import from_lightgbm
from metajax.automl.models._threads import n_threads
from metajax.automl.models._time import time_is_over
from metajax.automl.models._tree_ensemble import TreeEnsemble, TreeMember
from metajax.automl.models._types import Member
from metajax.space import Domain, Float, Integer


class LightGBM:
    """Gradient boosting by LightGBM (Ke et al. 2017)."""

    name = "lightgbm"

    def domains(self, features: int, classification: bool) -> dict[str, Domain]:
        """Returns the domains of the hyperparameters."""
        leaves = {"leaves": Integer(4, 128, log=True), "min_leaf": Integer(1, 100, log=True)}
        return {**boosting_domains(), **leaves, "rows": Float(0.5, 1.0, grid=6)}

    def default_config(self, classification: bool) -> dict[str, Any]:
        """Returns the defaults of LightGBM."""
        shared = {"learning_rate": 0.1, "iterations": 100, "l2": 0.0, "columns": 1.0}
        return {**shared, "leaves": 31, "min_leaf": 20, "rows": 1.0}

    def fit(self, config: dict[str, Any], data: Data, seed: int, classification: bool, outputs: int) -> Member:
        """Fits the trees."""
        lightgbm = optional("lightgbm", "model 'lightgbm'")
        params = {
            "objective": ("binary" if outputs == 2 else "multiclass") if classification else "regression",
            "learning_rate": config["learning_rate"],
            "num_leaves": config["leaves"],
            "min_data_in_leaf": config["min_leaf"],
            "lambda_l2": config["l2"],
            "feature_fraction": config["columns"],
            "bagging_fraction": config["rows"],
            "bagging_freq": int(config["rows"] < 1),
            "num_threads": n_threads(),
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
            "seed": seed,
        }
        if classification and outputs > 2:
            params["num_class"] = outputs
        train, validation, callbacks = lightgbm.Dataset(data.x, data.y, weight=data.weights), [], []
        if len(data.x_eval):
            validation = [lightgbm.Dataset(data.x_eval, data.y_eval, reference=train, weight=data.weights_eval)]
            callbacks = [lightgbm.early_stopping(PATIENCE, verbose=False), _stop_in_time]
        iterations = max_iterations(config["iterations"], data, outputs)
        booster = lightgbm.train(params, train, iterations, validation, callbacks=callbacks)
        text = booster.model_to_string(num_iteration=booster.best_iteration if validation else None)
        member = LightGBMText(text.encode(), {"outputs": outputs})
        if validation:
            member.decided = decided_iterations(booster.best_iteration)
        return member

    def from_arrays(self, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> Member:
        """Returns the member that was saved."""
        return LightGBMText(arrays["text"].tobytes(), settings)


def _stop_in_time(env: Any) -> None:
    """Ends a fit whose time is over; a callback of LightGBM."""
    if time_is_over():
        raise optional("lightgbm", "model 'lightgbm'").callback.EarlyStopException(
            env.iteration, env.evaluation_result_list
        )


class LightGBMText(TreeMember):
    """A model in the text format of LightGBM."""

    def __init__(self, text: bytes, settings: dict[str, Any]):
        self.text, self.settings = text, settings
        self._booster = optional("lightgbm", "a LightGBM model").Booster(model_str=text.decode())

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Returns probabilities or values f32[n, outputs]."""
        return self._predict(x, self._booster.num_trees())

    def staged(self, x: np.ndarray, shares: np.ndarray) -> list[np.ndarray]:
        """Returns the predictions of the first iterations."""
        iterations = self._booster.current_iteration()
        return [self._predict(x, max(1, round(share * iterations))) for share in shares]

    def _predict(self, x: np.ndarray, iterations: int) -> np.ndarray:
        options = {"num_iteration": iterations, "num_threads": n_threads()}
        out = np.asarray(self._booster.predict(x, **options), np.float32)
        return two_columns(out, self.settings["outputs"])

    def trees(self) -> TreeEnsemble:
        """Returns the trees as arrays."""
        return from_lightgbm(self.text.decode())

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the bytes of the text."""
        return {"text": np.frombuffer(self.text, np.uint8)}


def two_columns(out: np.ndarray, outputs: int) -> np.ndarray:
    """Returns [n, outputs] of what a library predicts: probabilities of all classes, of the second of two, or values."""
    if outputs == 2 and out.ndim == 1:
        return np.stack([1 - out, out], axis=1)
    return out.reshape(len(out), outputs)
