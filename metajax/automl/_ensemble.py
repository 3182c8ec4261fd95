"""From finalists to one model: select an ensemble, train it, and evaluate it on the test rows."""

import math
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from metajax._typing import checked
from metajax.automl import _calibrate as calibrate
from metajax.automl import _intervals as intervals
from metajax.automl._task import Task, TrainedModel
from metajax.types import Key

ENSEMBLE_SIZE = 8
"""Number of trainings in the final model."""


def select_members(outputs: np.ndarray, classification: bool, targets: np.ndarray) -> list[int]:
    """Selects the members of the ensemble greedily, with replacement (Caruana et al. 2004).

    The selection begins with the best finalist alone and adds, ``ENSEMBLE_SIZE`` times in all, the finalist with which the
    ensemble scores best on held-out rows, by the metric that is reported. For classification this is the accuracy; ties are
    broken by the log-loss. All probabilities are calibrated first, by temperatures that were fitted to other rows: a model
    does not lose for being over- or underconfident, because the final model repairs that. For regression it is the
    squared error, which orders as R² does.

    Args:
        outputs: f32[folds, n, rows, k], what the finalists predict on the held-out rows of each fold.
        classification: Whether the outputs are probabilities.
        targets: [folds, rows], the class numbers or values of the held-out rows.

    Returns:
        The sorted numbers of the selected finalists, ``ENSEMBLE_SIZE`` of them, with repetition.
    """
    outputs, targets, n = outputs.astype(np.float64), np.asarray(targets), outputs.shape[1]
    has_failed = np.asarray(~np.isfinite(outputs).all(axis=(0, 2, 3)))
    outputs = np.where(np.isfinite(outputs), outputs, 0.0)
    if classification:
        outputs = calibrate.cross_calibrate(outputs, targets)
    total, picks = np.zeros_like(outputs[:, 0]), []
    worst = (math.inf, math.inf)
    for size in range(1, ENSEMBLE_SIZE + 1):
        costs = [
            worst if has_failed[i] else _cost((total + outputs[:, i]) / size, targets, classification) for i in range(n)
        ]
        picks.append(min(range(n), key=costs.__getitem__))
        total += outputs[:, picks[-1]]
    return sorted(picks)


def _cost(outputs: np.ndarray, targets: np.ndarray, classification: bool) -> tuple[float, float]:
    """What the selection minimizes: the error rate, then the log-loss; or the squared error."""
    if not classification:
        return float(np.mean((outputs[..., 0] - targets) ** 2)), 0.0
    likelihood = np.take_along_axis(outputs, targets[..., None].astype(int), axis=-1)
    error_rate = np.mean(np.argmax(outputs, axis=-1) != targets)
    return float(error_rate), float(-np.mean(np.log(np.maximum(likelihood, 1e-9))))


def fit_temperatures(outputs: np.ndarray, classification: bool, targets: np.ndarray) -> np.ndarray:
    """Returns the temperatures f64[n] with which the finalists predict, fitted to all of their held-out rows.

    Args:
        outputs: f32[folds, n, rows, k], as in ``select_members``.
        classification: Whether the outputs are probabilities. The temperatures of values are 1.
        targets: [folds, rows], as in ``select_members``.
    """
    folds, n, rows, k = outputs.shape
    if not classification:
        return np.ones(n)
    by_row = np.moveaxis(outputs, 2, 0)  # The folds take turns, so that the first rows are of all of them.
    probabilities = by_row.reshape(rows * folds, n, k).swapaxes(0, 1)
    return calibrate.fit_temperature(probabilities, np.asarray(targets).T.ravel())


class Refit(NamedTuple):
    """A final model and how good its members are alone.

    Attributes:
        model: The ensemble of all trainings that did not diverge.
        member_score: The mean test score of one member; NaN if all diverged.
    """

    model: TrainedModel
    member_score: float


@checked
def refit(
    encodings: Float[np.ndarray | jax.Array, "members width"],
    task: Task,
    key: Key,
    temperatures: Float[np.ndarray, " members"] | None = None,
) -> Refit:
    """Trains configurations on training and validation rows together, and returns the ensemble of them.

    Args:
        encodings: One configuration for each member; repetitions of a network are trained from other initial parameters.
        task: The dataset.
        key: Random key.
        temperatures: By which each member divides its logits; 1 by default.

    Returns:
        The ensemble, and the mean test score of one member.

    Example:
        >>> import jax
        >>> from metajax import automl
        >>> from metajax.data import tabular
        >>> task = automl.table_task(automl.prepare(tabular.load("iris"), seed=0))
        >>> default = task.space.encode(task.space.configs([task.default]))
        >>> model, member_score = automl.refit(default, task, jax.random.key(0))
        >>> model.configs[0]["model"], member_score > 0.8
        ('boosted_trees', True)
    """
    temperatures = np.ones(len(encodings)) if temperatures is None else temperatures
    results = task.train(np.asarray(encodings), task.final, key, keep_params=True)
    is_finite = np.isfinite(results.score)
    used = is_finite if is_finite.any() else np.ones(len(encodings), bool)
    params = [member for member, is_used in zip(results.params, used) if is_used]
    model = task.build_model(task.space.decode(encodings[used]), params, temperatures[used])
    return Refit(model, float(np.nanmean(results.score)) if is_finite.any() else math.nan)


class Evaluation(NamedTuple):
    """How good a model is on the test rows.

    Attributes:
        score: Accuracy or R².
        interval: The 95% interval of the score over the test rows.
        loss: Log-loss or root mean squared error.
        truth: [rows], the class numbers or values of the test rows.
        predicted: [rows], those that the model predicts.
    """

    score: float
    interval: tuple[float, float]
    loss: float
    truth: np.ndarray
    predicted: np.ndarray


def evaluate_on_test(model: TrainedModel, task: Task) -> Evaluation:
    """Evaluates a model on the test rows of a task.

    Args:
        model: A model of this task, such as ``refit`` returns.
        task: The dataset.

    Returns:
        Its score, with a 95% interval.

    Example:
        >>> import jax
        >>> from metajax import automl
        >>> from metajax.data import tabular
        >>> task = automl.table_task(automl.prepare(tabular.load("iris"), seed=0))
        >>> default = task.space.encode(task.space.configs([task.default]))
        >>> evaluation = evaluate_on_test(automl.refit(default, task, jax.random.key(0)).model, task)
        >>> low, high = evaluation.interval
        >>> low < evaluation.score <= high
        True
    """
    x, y = np.asarray(task.final.x_eval), np.asarray(task.final.y_eval)
    output = model.predict_inputs(x)
    if task.classification:
        predicted = np.argmax(output, axis=1)
        loss = float(-np.mean(np.log(np.maximum(output[np.arange(len(y)), y], 1e-12))))
        return Evaluation(float(np.mean(predicted == y)), intervals.accuracy(predicted == y), loss, y, predicted)
    truth = y.astype(np.float64) * task.target_scale + task.target_shift
    error = float(np.mean((output - truth) ** 2))
    r2 = float(1 - error / max(np.var(truth), 1e-300))
    return Evaluation(r2, intervals.r2(truth, output), math.sqrt(error), truth, output)


def summarize_members(model: TrainedModel) -> list[dict[str, Any]]:
    """Returns the distinct configurations of a model, the most frequent first, and the number of members of each."""
    distinct: list[dict[str, Any]] = []
    for config in model.configs:
        same = next((entry for entry in distinct if entry["config"] == config), None)
        if same is None:
            distinct.append({"members": 1, "config": config})
        else:
            same["members"] += 1
    return sorted(distinct, key=lambda entry: -entry["members"])
