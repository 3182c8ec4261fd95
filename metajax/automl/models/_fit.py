"""From a configuration of the whole space to a fitted model: the columns it uses, and the classes it has seen."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metajax.automl._class_weights import weighted
from metajax.automl._training import Data
from metajax.automl.models._threads import limited_threads, quiet
from metajax.automl.models._tree_ensemble import TreeEnsemble, TreeMember
from metajax.automl.models._types import Member, ModelType

# Share of the uniform distribution in every prediction of a class: no class is impossible because no tree or neighbor has it.
_UNIFORM_SHARE = 1e-3


@dataclasses.dataclass(frozen=True)
class FittedMember:
    """A member of an ensemble that is not a network.

    Attributes:
        model: The name of its type.
        columns: i64[k], the inputs that it uses.
        classes: i64[m], the class numbers that it was trained on; empty for values.
        outputs: Number of all classes, or 1.
        member: What the type has fitted, or ``None`` where there was only one class to train on.
    """

    model: str
    columns: np.ndarray
    classes: np.ndarray
    outputs: int
    member: Member | None

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Returns probabilities or standardized values f32[n, outputs] for rows with all inputs."""
        return self.staged(x, np.ones(1))[0]

    def staged(self, x: np.ndarray, shares: np.ndarray) -> list[np.ndarray]:
        """Returns the predictions after each of these shares of the training."""
        if self.member is None:
            return [self._spread(np.ones((len(x), 1), np.float32))] * len(shares)
        return [self._spread(out) for out in self.member.staged(select(x, self.columns), shares)]

    def _spread(self, predictions: np.ndarray) -> np.ndarray:
        """Puts the probabilities into the columns of all classes, and mixes them with the uniform distribution."""
        if not len(self.classes):
            return np.asarray(predictions, np.float32)
        result = np.full((len(predictions), self.outputs), _UNIFORM_SHARE / self.outputs, np.float32)
        result[:, self.classes] += np.float32(1 - _UNIFORM_SHARE) * predictions
        return result

    def predict_jax(self, x: jax.Array) -> jax.Array:
        """Returns what ``predict`` returns, f64[n, outputs], in operations of JAX that are traced with 64-bit types."""
        if self.member is None:
            return self.spread_jax(jnp.ones((x.shape[0], 1), jnp.float64))
        return self.spread_jax(self.member.predict_jax(x[:, self.columns]).astype(jnp.float64))

    def trees(self) -> TreeEnsemble | None:
        """Returns the trees of the member, which read all inputs, or ``None`` if it does not consist of trees alone."""
        if not isinstance(self.member, TreeMember):
            return None
        ensemble = self.member.trees()
        forest = ensemble.forest._replace(feature=self.columns.astype(np.int32)[ensemble.forest.feature])
        return TreeEnsemble(forest, ensemble.baseline, ensemble.settings["link"], ensemble.settings["groups"])

    def spread_jax(self, predictions: jax.Array) -> jax.Array:
        """Puts the probabilities into the columns of all classes, and mixes them with the uniform distribution."""
        if not len(self.classes):
            return predictions
        uniform = jnp.full((predictions.shape[0], self.outputs), _UNIFORM_SHARE / self.outputs, jnp.float64)
        return uniform.at[:, self.classes].add((1 - _UNIFORM_SHARE) * predictions)

    def header(self) -> dict[str, Any]:
        """Returns the part of the member that is saved as JSON."""
        return {
            "model": self.model,
            "outputs": self.outputs,
            "settings": {} if self.member is None else self.member.settings,
            "arrays": sorted(self.arrays()),
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the arrays of the member that are saved."""
        member_arrays = {} if self.member is None else self.member.arrays()
        return {
            "columns": self.columns,
            "classes": self.classes,
            **{f"model/{name}": member_arrays[name] for name in member_arrays},
        }

    @staticmethod
    def read(kind: ModelType, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> "FittedMember":
        """Returns the member with this header and these arrays."""
        member_arrays = {
            name.removeprefix("model/"): array for name, array in arrays.items() if name.startswith("model/")
        }
        member = kind.from_arrays(member_arrays, header["settings"]) if member_arrays else None
        return FittedMember(header["model"], arrays["columns"], arrays["classes"], header["outputs"], member)


def select(x: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Returns the inputs that a model reads: all model types but networks take them from here."""
    return np.ascontiguousarray(np.asarray(x)[:, columns])


def own_config(kind: ModelType, config: dict[str, Any]) -> dict[str, Any]:
    """Returns the hyperparameters of a type, without its prefix."""
    prefix = f"{kind.name}."
    return {name.removeprefix(prefix): value for name, value in config.items() if name.startswith(prefix)}


def fit_member(
    kind: ModelType,
    config: dict[str, Any],
    columns: np.ndarray,
    data: Data,
    seed: int,
    outputs: int,
    decides: bool,
) -> FittedMember:
    """Fits one model.

    Args:
        kind: Its type.
        config: A configuration of the whole space.
        columns: i64[k], the inputs that it uses.
        data: The rows.
        seed: Seed of all randomness.
        outputs: Number of classes, or 1.
        decides: Whether the evaluation rows may decide by when to stop.
    """
    data = data.on_host()
    classification = np.issubdtype(data.y.dtype, np.integer)
    classes, y, evaluated, y_eval = np.zeros(0, np.int64), data.y, np.full(len(data.y_eval), decides), data.y_eval
    if classification:
        classes, y = np.unique(data.y, return_inverse=True)
        evaluated &= np.isin(data.y_eval, classes)
        y_eval = np.searchsorted(classes, data.y_eval)
        outputs_of_type = len(classes)
    else:
        outputs_of_type = outputs
    member = None
    if outputs_of_type > 1 or not classification:
        weights_eval = None if data.weights_eval is None else data.weights_eval[evaluated]
        x, x_eval = select(data.x, columns), select(data.x_eval[evaluated], columns)
        levels = None if data.levels is None else data.levels[columns]
        rows = Data(x, y, x_eval, y_eval[evaluated], data.weights, weights_eval, levels)
        rows = weighted(rows, config, outputs_of_type)
        with quiet, limited_threads():
            member = kind.fit(own_config(kind, config), rows, seed, bool(classification), outputs_of_type)
    return FittedMember(kind.name, columns, np.asarray(classes, np.int64), outputs, member)
