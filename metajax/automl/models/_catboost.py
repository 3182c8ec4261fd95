"""CatBoost, where it is installed; a model is saved in its own JSON format."""

import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax._optional import optional
from metajax.automl._training import Data
from metajax.automl.models._boosting import PATIENCE, boosting_domains, decided_iterations, max_iterations
from metajax.automl.models._catboost_jax import raw_outputs
from metajax.automl.models._levels import numbers_and_levels
from metajax.automl.models._lightgbm import two_columns
from metajax.automl.models._threads import n_threads
from metajax.automl.models._time import time_is_over
from metajax.automl.models._types import Member
from metajax.space import Domain, Integer


class CatBoost:
    """Gradient boosting of symmetric trees by CatBoost (Prokhorenkova et al. 2018).

    CatBoost itself takes 1,000 iterations and a rate that depends on the rows by default. Here it is 500 iterations and a rate
    of 0.1, which takes less time. Categories are not one-hot here: CatBoost replaces a level by statistics of the target over
    the rows before it, of each category alone and not of combinations. On the rows of the search, the number of iterations is
    decided by the evaluation rows.
    """

    name = "catboost"

    def domains(self, features: int, classification: bool) -> dict[str, Domain]:
        """Returns the domains of the hyperparameters."""
        return {**boosting_domains(), "depth": Integer(2, 8)}

    def default_config(self, classification: bool) -> dict[str, Any]:
        """Returns the defaults of CatBoost, except for rate and iterations."""
        return {"learning_rate": 0.1, "iterations": 500, "l2": 3.0, "columns": 1.0, "depth": 6}

    def fit(self, config: dict[str, Any], data: Data, seed: int, classification: bool, outputs: int) -> Member:
        """Fits the trees."""
        catboost = optional("catboost", "model 'catboost'")
        stopping: dict[str, Any] = {}
        if len(data.x_eval):
            validation = _pool(data.x_eval, data.levels, data.y_eval, data.weights_eval)
            stopping = {"eval_set": validation, "early_stopping_rounds": PATIENCE}
            stopping["callbacks"] = [_InTime()]
        model = catboost.CatBoost(
            {
                "loss_function": ("Logloss" if outputs == 2 else "MultiClass") if classification else "RMSE",
                "learning_rate": config["learning_rate"],
                "iterations": max_iterations(config["iterations"], data, outputs),
                "l2_leaf_reg": config["l2"],
                "rsm": config["columns"],
                "depth": config["depth"],
                "max_ctr_complexity": 1,
                "random_seed": seed,
                "thread_count": n_threads(),
                "allow_writing_files": False,
                "verbose": False,
            }
        )
        model.fit(_pool(data.x, data.levels, data.y, data.weights), **stopping)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.json"
            model.save_model(str(path), format="json")
            content = path.read_bytes()
        member = CatBoostJson(content, data.levels, {"outputs": outputs, "classification": classification})
        if stopping:
            member.decided = decided_iterations(int(model.tree_count_))
        return member

    def from_arrays(self, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> Member:
        """Returns the member that was saved."""
        return CatBoostJson(arrays["json"].tobytes(), arrays["levels"], settings)


def _pool(x: np.ndarray, levels: np.ndarray | None, y: Any = None, weights: Any = None) -> Any:
    """Rows as CatBoost reads them: numbers, and the names of levels."""
    catboost = optional("catboost", "model 'catboost'")
    numbers, level_index = numbers_and_levels(x, levels)
    if not level_index.shape[1]:
        return catboost.Pool(x, y, weight=weights)
    names = np.array([str(index).encode() for index in range(int(level_index.max()) + 1)], object)
    rows = catboost.FeaturesData(numbers if numbers.shape[1] else None, names[level_index])
    return catboost.Pool(rows, y, weight=weights)


class _InTime:
    """Ends a fit whose time is over; a callback of CatBoost."""

    def after_iteration(self, _info: Any) -> bool:
        """Returns whether to go on."""
        return not time_is_over()


class CatBoostJson(Member):
    """A model in the JSON format of CatBoost."""

    def __init__(self, content: bytes, levels: np.ndarray | None, settings: dict[str, Any]):
        self.content, self.settings = content, settings
        self._levels = np.zeros(0, np.int64) if levels is None else levels
        self._model = optional("catboost", "a CatBoost model").CatBoost()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.json"
            path.write_bytes(content)
            self._model.load_model(str(path), format="json")

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Returns probabilities or values f32[n, outputs]."""
        return self.staged(x, np.ones(1))[0]

    def staged(self, x: np.ndarray, shares: np.ndarray) -> list[np.ndarray]:
        """Returns the predictions of the first iterations."""
        kind = "Probability" if self.settings["classification"] else "RawFormulaVal"
        ends = [max(1, round(share * self._model.tree_count_)) for share in shares]
        rows = _pool(x, self._levels if len(self._levels) else None)
        predict = lambda end: self._model.predict(rows, kind, ntree_end=end, thread_count=n_threads())
        return [two_columns(np.asarray(predict(end), np.float32), self.settings["outputs"]) for end in ends]

    def predict_jax(self, x: jax.Array) -> jax.Array:
        """Returns probabilities or values f64[n, outputs] in operations of JAX."""
        levels = self._levels if len(self._levels) else None
        leaf_index = lambda rows: self._model.calc_leaf_indexes(_pool(rows, levels))
        outputs = raw_outputs(self.content, self._levels, leaf_index, x)
        if not self.settings["classification"]:
            return outputs
        if outputs.shape[1] == 1:
            outputs = jnp.concatenate([jnp.zeros_like(outputs), outputs], axis=1)
        return jax.nn.softmax(outputs, axis=1)

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the bytes of the JSON text, and which inputs are levels."""
        return {"json": np.frombuffer(self.content, np.uint8), "levels": self._levels}
