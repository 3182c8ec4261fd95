"""XGBoost, where it is installed; a model is saved in its own JSON format."""

from typing import Any

import numpy as np

from metajax._optional import optional
from metajax.automl._training import Data
from metajax.automl.models._boosting import PATIENCE, boosting_domains, decided_iterations, max_iterations
from metajax.automl.models._library_trees import from_xgboost
from metajax.automl.models._lightgbm import two_columns
from metajax.automl.models._threads import n_threads
from metajax.automl.models._time import time_is_over
from metajax.automl.models._tree_ensemble import TreeEnsemble, TreeMember
from metajax.automl.models._types import Member
from metajax.space import Domain, Float, Integer


class XGBoost:
    """Gradient boosting by XGBoost (Chen and Guestrin 2016)."""

    name = "xgboost"

    def domains(self, features: int, classification: bool) -> dict[str, Domain]:
        """Returns the domains of the hyperparameters."""
        trees = {"depth": Integer(2, 10), "min_weight": Integer(1, 100, log=True)}
        return {**boosting_domains(), **trees, "rows": Float(0.5, 1.0, grid=6)}

    def default_config(self, classification: bool) -> dict[str, Any]:
        """Returns the defaults of XGBoost."""
        shared = {"learning_rate": 0.3, "iterations": 100, "l2": 1.0, "columns": 1.0}
        return {**shared, "depth": 6, "min_weight": 1, "rows": 1.0}

    def fit(self, config: dict[str, Any], data: Data, seed: int, classification: bool, outputs: int) -> Member:
        """Fits the trees."""
        xgboost = optional("xgboost", "model 'xgboost'")
        classes = "binary:logistic" if outputs == 2 else "multi:softprob"
        params = {
            "objective": classes if classification else "reg:squarederror",
            "learning_rate": config["learning_rate"],
            "max_depth": config["depth"],
            "min_child_weight": config["min_weight"],
            "reg_lambda": config["l2"],
            "colsample_bylevel": config["columns"],
            "subsample": config["rows"],
            "nthread": n_threads(),
            "seed": seed,
        }
        if classification:
            params["eval_metric"] = "logloss" if outputs == 2 else "mlogloss"
        if classification and outputs > 2:
            params["num_class"] = outputs
        stopping: dict[str, Any] = {}
        if len(data.x_eval):
            validation = xgboost.DMatrix(data.x_eval, data.y_eval, weight=data.weights_eval)
            in_time = type("InTime", (xgboost.callback.TrainingCallback,), {"after_iteration": _is_over})()
            stopping = {"evals": [(validation, "v")], "early_stopping_rounds": PATIENCE, "verbose_eval": False}
            stopping["callbacks"] = [in_time]
        train = xgboost.DMatrix(data.x, data.y, weight=data.weights)
        iterations = max_iterations(config["iterations"], data, outputs)
        booster = xgboost.train(params, train, iterations, **stopping)
        best = iterations
        if stopping:  # a fit that ended in time may know no best iteration
            best_iteration = booster.attr("best_iteration")
            best = booster.num_boosted_rounds() if best_iteration is None else int(best_iteration) + 1
        member = XGBoostJson(bytes(booster[:best].save_raw("json")), {"outputs": outputs, "iterations": best})
        if stopping:
            member.decided = decided_iterations(best)
        return member

    def from_arrays(self, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> Member:
        """Returns the member that was saved."""
        return XGBoostJson(arrays["json"].tobytes(), settings)


def _is_over(*_: Any) -> bool:
    """Whether the time of a fit is over; a callback of XGBoost."""
    return time_is_over()


class XGBoostJson(TreeMember):
    """A model in the JSON format of XGBoost."""

    def __init__(self, content: bytes, settings: dict[str, Any]):
        self.content, self.settings = content, settings
        xgboost = optional("xgboost", "an XGBoost model")
        self._matrix = xgboost.DMatrix
        self._booster = xgboost.Booster({"nthread": n_threads()})
        self._booster.load_model(bytearray(content))

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Returns probabilities or values f32[n, outputs]."""
        return self.staged(x, np.ones(1))[0]

    def staged(self, x: np.ndarray, shares: np.ndarray) -> list[np.ndarray]:
        """Returns the predictions of the first iterations."""
        matrix, iterations = self._matrix(x), self.settings["iterations"]
        ends = [max(1, round(share * iterations)) for share in shares]
        outputs = [np.asarray(self._booster.predict(matrix, iteration_range=(0, end)), np.float32) for end in ends]
        return [two_columns(out, self.settings["outputs"]) for out in outputs]

    def trees(self) -> TreeEnsemble:
        """Returns the trees as arrays."""
        return from_xgboost(self.content)

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the bytes of the JSON text."""
        return {"json": np.frombuffer(self.content, np.uint8)}
