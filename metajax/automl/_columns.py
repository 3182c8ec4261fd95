"""How much a model needs each column: permutation importance on the test rows (Breiman 2001; Fisher et al. 2019)."""

import time
from typing import Any

import numpy as np

from metajax.automl._metrics import at_threshold
from metajax.automl._task import Task

MAX_ROWS = 1_000
"""Maximum number of test rows that importances are measured on."""


def importance(model: Any, task: Task, groups: np.ndarray, names: list[str], seconds: float) -> dict[str, float]:
    """Returns by how much the metric falls where the values of one column are shuffled among the rows.

    Args:
        model: The model, which predicts encoded rows.
        task: Its task.
        groups: i64[inputs], the column that each input comes from.
        names: Names of the columns.
        seconds: Time for all columns; those for which none is left are left out.

    Returns:
        The importance of each column, the largest first.
    """
    start_time, rng = time.perf_counter(), np.random.default_rng(0)
    test = task.final.on_host()
    x, y = test.x_eval[:MAX_ROWS], test.y_eval[:MAX_ROWS]
    weights = None if test.weights_eval is None else test.weights_eval[:MAX_ROWS]
    full_score, order, drops = _score(model, task, x, y, weights), rng.permutation(len(x)), {}
    for column, name in enumerate(names):
        if time.perf_counter() - start_time > seconds:
            break
        shuffled, is_column = x.copy(), groups == column
        shuffled[:, is_column] = x[order][:, is_column]
        drops[name] = full_score - _score(model, task, shuffled, y, weights)
    return dict(sorted(drops.items(), key=lambda item: -item[1]))


def _score(model: Any, task: Task, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """The metric of the model on these rows, in standardized units."""
    outputs = np.asarray(model.predict_inputs(x), np.float64)
    if not task.classification:
        outputs = ((outputs / 2 - task.target_shift / 2) / (task.target_scale / 2))[:, None]
    if task.metric.by_label:
        outputs = at_threshold(outputs, model.threshold)
    return float(task.metric.score(outputs[None], y, weights)[0])
