"""From trainings to one model: pick an ensemble, train configurations on all rows, and evaluate on the test rows."""

import math
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from metajax._typing import checked
from metajax.automl import _calibrate as calibrate
from metajax.automl import _intervals as intervals
from metajax.automl._metrics import Metric, at_threshold
from metajax.automl._score import log_losses
from metajax.automl._task import EnsembleMember, Task, TrainedModel
from metajax.types import Key

PICKS = 20
"""Number of picks of an ensemble; the weight of a configuration is its share of them."""
_MAX_NUMBERS = 2e7
"""The maximum number of predictions that are compared at a time. Of larger tables only the first rows are compared."""


def member_weights(weights: np.ndarray | None, members: int) -> np.ndarray:
    """Returns the weights f64[members] of a mean over the members of an ensemble; without weights all are equal."""
    return np.full(members, 1 / members) if weights is None else weights


def pick(
    outputs: np.ndarray, targets: np.ndarray, metric: Metric, calibrates: bool, weights: np.ndarray | None = None
) -> list[int]:
    """Picks the members of an ensemble greedily, with replacement (Caruana et al. 2004).

    The first pick is the best one alone; each of the others is the one with which the ensemble scores best on held-out rows,
    by the metric that is reported. Ties are broken by the log-loss or the squared error. All probabilities are calibrated
    first, by temperatures that were fitted to other rows: a model does not lose for being over- or underconfident, because
    the final model repairs that.

    Args:
        outputs: f32[folds, n, rows, k], what the candidates predict on the held-out rows of each fold.
        targets: [folds, rows], the class numbers or values of the held-out rows.
        metric: What is maximized.
        calibrates: Whether the outputs are probabilities.
        weights: f64[folds, rows], how much the held-out rows count, or ``None``.

    Returns:
        The numbers of the picks, in order, ``PICKS`` of them, with repetition.
    """
    targets, (folds, n, rows, k) = np.asarray(targets), outputs.shape
    rows = min(rows, max(1, int(_MAX_NUMBERS / (folds * n * k))))
    outputs, targets = outputs[:, :, :rows].astype(np.float64), targets[:, :rows]
    weights = None if weights is None else weights[:, :rows]
    has_failed = np.asarray(~np.isfinite(outputs).all(axis=(0, 2, 3)))
    outputs = np.where(np.isfinite(outputs), outputs, 0.0)
    if calibrates:
        outputs = calibrate.cross_calibrate(outputs, targets, weights)
    by_model = np.moveaxis(outputs, 1, 0).reshape(n, targets.size, -1)
    weights = None if weights is None else weights.ravel()
    total, picks = np.zeros(by_model.shape[1:]), []
    for size in range(1, PICKS + 1):
        means = (total + by_model) / size
        score, tie = metric.select(means, targets.ravel(), weights), metric.tie(means, targets.ravel(), weights)
        score = np.where(
            np.abs(score) < 1e6, np.round(np.clip(score, -1e6, 1e6), 12), score
        )  # Rounding must not decide.
        picks.append(int(np.lexsort((np.arange(n)[::-1], tie, score, ~has_failed))[-1]))
        total += by_model[picks[-1]]
    return picks


def row_losses(
    outputs: np.ndarray,
    counts: np.ndarray,
    targets: np.ndarray,
    classification: bool,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Returns the loss of an ensemble on each held-out row, f64[folds * rows]: log-loss or squared error.

    Args:
        outputs: f32[folds, n, rows, k], what its configurations predict.
        counts: f64[n], how often each was picked.
        targets: [folds, rows], as in ``pick``.
        classification: Whether the outputs are probabilities.
        weights: f64[folds, rows], as in ``pick``.
    """
    truth = targets.ravel()
    if not classification:
        mean = np.einsum("fnrk,n->frk", outputs.astype(np.float64), counts / counts.sum()).ravel()
        return np.square(mean - truth)
    mean = mean_of_picks(outputs, counts, targets, weights)
    return log_losses(mean, truth)


def mean_of_picks(
    outputs: np.ndarray, counts: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Returns what an ensemble predicts for the held-out rows, f64[folds * rows, classes], calibrated by other rows.

    Args:
        outputs: f32[folds, n, rows, classes], the probabilities of its configurations.
        counts: f64[n], how often each was picked.
        targets: [folds, rows], as in ``pick``.
        weights: f64[folds, rows], as in ``pick``.
    """
    calibrated = calibrate.cross_calibrate(outputs, targets, weights)
    return np.einsum("fnrk,n->frk", calibrated, counts / counts.sum()).reshape(-1, outputs.shape[-1])


def fit_temperatures(
    outputs: np.ndarray, classification: bool, targets: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Returns the temperatures f64[n] with which the candidates predict, fitted to all of their held-out rows.

    Args:
        outputs: f32[folds, n, rows, k], as in ``pick``.
        classification: Whether the outputs are probabilities. The temperatures of values are 1.
        targets: [folds, rows], as in ``pick``.
        weights: f64[folds, rows], as in ``pick``.
    """
    folds, n, rows, k = outputs.shape
    if not classification:
        return np.ones(n)
    by_row = np.moveaxis(outputs, 2, 0)  # The folds take turns, so that the first rows are of all of them.
    probabilities = by_row.reshape(rows * folds, n, k).swapaxes(0, 1)
    of_rows = None if weights is None else np.asarray(weights).T.ravel()
    return calibrate.fit_temperature(probabilities, np.asarray(targets).T.ravel(), of_rows)


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
    stop: Float[np.ndarray, " members"] | None = None,
) -> Refit:
    """Trains configurations on all rows that are learned from, and returns the ensemble of them.

    Args:
        encodings: One configuration for each member; repetitions of a network are trained from other initial parameters.
        task: The dataset.
        key: Random key.
        temperatures: By which each member divides its logits; 1 by default.
        stop: The share of its epochs after which the training of each member ends; 1 by default. No held-out rows are left
            that could choose it.

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
    stop = np.ones(len(encodings)) if stop is None else stop
    results = task.train(np.asarray(encodings), task.final, key, keep_params=True, stop=stop)
    is_finite = np.isfinite(results.score)
    is_member = is_finite if is_finite.any() else np.ones(len(encodings), bool)
    params = [results.params[i] for i in np.flatnonzero(is_member)]
    configs, n = task.space.decode(encodings[is_member]), len(params)
    model = task.build_model(
        [EnsembleMember(*member, 1 / n) for member in zip(configs, params, temperatures[is_member])]
    )
    return Refit(model, float(np.nanmean(results.score)) if is_finite.any() else math.nan)


class Evaluation(NamedTuple):
    """How good a model is on the test rows.

    Attributes:
        score: The task's metric; larger is better.
        interval: The 95% interval of the score over the test rows.
        loss: Log-loss or root mean squared error.
        accuracy: The accuracy; NaN for values.
        truth: [rows], the class numbers or standardized values of the test rows.
        outputs: f[rows, k], the probabilities or standardized values that the model predicts; of two classes that are told
            apart by a threshold, the probabilities are shifted so that it lies at one half.
        weights: f64[rows], how much the test rows count, or ``None``.
    """

    score: float
    interval: tuple[float, float]
    loss: float
    accuracy: float
    truth: np.ndarray
    outputs: np.ndarray
    weights: np.ndarray | None = None


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
    test, metric = task.final.on_host(), task.metric
    y, weights = test.y_eval, test.weights_eval
    outputs = np.asarray(model.predict_inputs(test.x_eval), np.float64)
    accuracy = math.nan
    if task.classification:
        loss = float(np.average(log_losses(outputs, y), weights=weights))
        if metric.by_label:
            outputs = at_threshold(outputs, model.threshold)
        accuracy = float(np.average(np.argmax(outputs, axis=1) == y, weights=weights))
    else:
        # Standardized, because the squares of values beyond 1e154 are infinite.
        y = y.astype(np.float64)
        outputs = ((outputs / 2 - task.target_shift / 2) / (task.target_scale / 2))[:, None]
        loss = math.sqrt(float(np.average((outputs[:, 0] - y) ** 2, weights=weights))) * task.target_scale
    unit = metric.unit(task.target_scale)
    low, high = intervals.of_metric(metric, outputs, y, weights)
    score = float(metric.score(outputs[None], y, weights)[0])
    return Evaluation(unit * score, (unit * low, unit * high), loss, accuracy, y, outputs, weights)
