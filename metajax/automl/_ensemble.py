"""From the best configurations to one model: cross-validate the finalists, select an ensemble of them, train it."""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import numpy as np

from metajax import predictor
from metajax.automl import _calibrate as calibrate
from metajax.automl import _intervals as intervals
from metajax.automl._task import Model, Task
from metajax.predictor import Trials

MEMBERS = 8
"""Trainings in the final model."""


def best(trials: Trials, n: int) -> np.ndarray:
    """Encodings of the n best distinct configurations: by score, equal scores by loss."""
    loss = np.where(np.isfinite(trials.settings["loss"]), trials.settings["loss"], np.inf)
    order = np.lexsort((loss, -np.nan_to_num(trials.metric, nan=-np.inf)))
    distinct: list[np.ndarray] = []
    for i in order:
        if not any(np.array_equal(trials.encodings[i], d) for d in distinct):
            distinct.append(trials.encodings[i])
        if len(distinct) == n:
            break
    return np.stack([*distinct, *distinct[-1:] * (n - len(distinct))])


def finalists(trials: Trials, default: np.ndarray, n: int, choice: predictor.Choice | None) -> np.ndarray:
    """The default, and the best configurations, f32[n, width]; see ``smoothed``."""
    found = best(smoothed(trials, choice), n)
    return found if any(np.array_equal(b, default) for b in found) else np.concatenate([found[:-1], default[None]])


def kept_finalists(
    trials: Trials, kept: np.ndarray, n: int, choice: predictor.Choice | None
) -> tuple[np.ndarray, np.ndarray]:
    """The best of the trainings with the numbers ``kept``, n at most: their encodings, and their places in ``kept``."""
    some = smoothed(trials, choice).take(kept)
    order = np.argsort(-np.nan_to_num(some.metric, nan=-np.inf), kind="stable")[:n]
    return some.encodings[order], order


def smoothed(trials: Trials, choice: predictor.Choice | None) -> Trials:
    """With the mean of two ranks in place of the metric: the measured one, which is noisy, and the one that the meta-learner
    predicts without having seen that training, which is smooth. Without a choice, as they are."""
    if choice is None:
        return trials
    measured = predictor.targets.make(trials, "rank")
    blend = 0.5 * (measured.y * measured.scale + measured.shift) + 0.5 * choice.predicted[choice.best]
    return dataclasses.replace(trials, metric=np.where(np.isnan(trials.metric), np.nan, blend))


def select(outputs: np.ndarray, classification: bool, goals: np.ndarray) -> list[int]:
    """Greedy selection with replacement (Caruana et al. 2004): ``MEMBERS`` times the finalist with which the ensemble scores
    best on held-out rows, by the metric that is reported. Begins with the best alone.

    The metric is accuracy; equal accuracies are told apart by log-loss. All probabilities are calibrated first, by
    temperatures that were fitted to other rows: a model does not lose for being too sure or too modest, which is repaired
    in the final model. For values it is the squared error, which orders as R² does.

    Args:
        outputs: f32[folds, n, rows, k] of the finalists on each fold.
        goals: [folds, rows], what is true on the held-out rows.
    """
    outputs, goals, n = outputs.astype(np.float64), np.asarray(goals), outputs.shape[1]
    failed = np.asarray(~np.isfinite(outputs).all(axis=(0, 2, 3)))
    outputs = np.where(np.isfinite(outputs), outputs, 0.0)
    if classification:
        outputs = calibrate.cross_fitted(outputs, goals)
    total, picks = np.zeros_like(outputs[:, 0]), []
    worst = (math.inf, math.inf)
    for count in range(1, MEMBERS + 1):
        costs = [
            worst if failed[i] else _cost((total + outputs[:, i]) / count, goals, classification) for i in range(n)
        ]
        picks.append(min(range(n), key=costs.__getitem__))
        total += outputs[:, picks[-1]]
    return sorted(picks)


def _cost(outputs: np.ndarray, goals: np.ndarray, classification: bool) -> tuple[float, float]:
    """What is compared, smaller better: the share of errors, then log-loss; or the squared error."""
    if not classification:
        return float(np.mean((outputs[..., 0] - goals) ** 2)), 0.0
    chosen = np.take_along_axis(outputs, goals[..., None].astype(int), axis=-1)
    errors = np.mean(np.argmax(outputs, axis=-1) != goals)
    return float(errors), float(-np.mean(np.log(np.maximum(chosen, 1e-9))))


def temperatures(outputs: np.ndarray, classification: bool, goals: np.ndarray) -> np.ndarray:
    """Temperatures f64[n] with which the finalists predict, by all of their held-out rows; arguments as of ``select``."""
    folds, n, rows, k = outputs.shape
    if not classification:
        return np.ones(n)
    each = np.moveaxis(outputs, 2, 0)  # rows in turn from every fold: the first are of all
    return calibrate.temperature(each.reshape(rows * folds, n, k).swapaxes(0, 1), np.asarray(goals).T.ravel())


def refit(
    encodings: np.ndarray, task: Task, key: jax.Array, temperatures: np.ndarray | None = None
) -> tuple[Any, float]:
    """Trains every encoding on training and validation rows; the model that is their mean, and a member's mean score. Each
    member predicts with its temperature, 1 by default."""
    temperatures = np.ones(len(encodings)) if temperatures is None else temperatures
    outcome = task.train(encodings, task.final, key, keep=True)
    good = np.isfinite(outcome.score) if np.isfinite(outcome.score).any() else np.ones(len(encodings), bool)
    params = [p for p, fine in zip(outcome.params, good) if fine]
    model = task.model(task.space.decode(encodings[good]), params, temperatures[good])
    return model, float(np.nanmean(outcome.score)) if np.isfinite(outcome.score).any() else math.nan


class Judged(NamedTuple):
    """A model on the test rows: accuracy or R², its 95% interval, log-loss or root mean squared error, and what it predicts of
    each row, a class number or a value."""

    score: float
    interval: tuple[float, float]
    loss: float
    truth: np.ndarray
    predicted: np.ndarray


def judge(model: Any, task: Task) -> Judged:
    """Asks a model about the test rows."""
    x, y = np.asarray(task.final.x_judge), np.asarray(task.final.y_judge)
    output = model.predict_inputs(x)
    if task.classification:
        predicted = np.argmax(output, axis=1)
        loss = float(-np.mean(np.log(np.maximum(output[np.arange(len(y)), y], 1e-12))))
        return Judged(float(np.mean(predicted == y)), intervals.accuracy(predicted == y), loss, y, predicted)
    truth = y.astype(np.float64) * model.encoder.scale + model.encoder.shift
    error = float(np.mean((output - truth) ** 2))
    r2 = float(1 - error / max(np.var(truth), 1e-300))
    return Judged(r2, intervals.r2(truth, output), math.sqrt(error), truth, output)


def described(model: Model) -> list[dict[str, Any]]:
    """The distinct configurations of a model, those with most members first, and how many members each has."""
    distinct: list[dict[str, Any]] = []
    for config in model.configs:
        same = next((d for d in distinct if d["config"] == config), None)
        if same is None:
            distinct.append({"members": 1, "config": config})
        else:
            same["members"] += 1
    return sorted(distinct, key=lambda d: -d["members"])
