"""The errors of a regression on the test rows: how large they are, how they are distributed, and where they are largest."""

import html
import math
from typing import NamedTuple

import numpy as np

from metajax import plot
from metajax.automl import _report_tables as tables
from metajax.automl import _report_words as words
from metajax.automl._ensemble import Evaluation
from metajax.automl._metrics import REGRESSION
from metajax.automl._task import Task

_N_LARGEST = 10
_MAX_POINTS = 2_000  # The maximum number of points of a scatter plot.
_MIN_BINS, _MAX_BINS = 8, 40
_MAX_DRAWN = 1e100  # Larger values are not drawn, because Matplotlib computes their squares.
_WIDTH, _HEIGHT = 3.2, 2.8  # The size of a figure in inches.


class Residuals(NamedTuple):
    """What a model predicts for the test rows, in the units of the target.

    Attributes:
        truth: f64[rows], the true values.
        predicted: f64[rows], the predicted values.
        mean: The mean of the target over the rows that were learned from.
        row_numbers: i64[rows], the place of each row in its table, from 0; ``None`` if it is not known.
        weights: f64[rows], how much each row counts in mean errors, or ``None``.
    """

    truth: np.ndarray
    predicted: np.ndarray
    mean: float
    row_numbers: np.ndarray | None = None
    weights: np.ndarray | None = None

    @property
    def residuals(self) -> np.ndarray:
        """The true value minus the predicted one, f64[rows]."""
        with np.errstate(over="ignore"):
            return self.truth - self.predicted


def residuals(tested: Evaluation, task: Task) -> Residuals:
    """Returns the test rows of a regression in the units of the target.

    Args:
        tested: What the model predicts for them, standardized.
        task: The task.
    """
    with np.errstate(over="ignore"):
        truth, predicted = (
            values * task.target_scale + task.target_shift for values in (tested.truth, tested.outputs[:, 0])
        )
    return Residuals(truth, predicted, task.target_shift, task.test_row_numbers, tested.weights)


def scores(tested: Evaluation, task: Task) -> dict[str, float]:
    """Returns R² and the mean errors on the test rows, for ``result.json``; nothing for a classification."""
    if task.classification:
        return {}
    metric_value = lambda name: float(REGRESSION[name](tested.outputs[None], tested.truth, tested.weights)[0])
    return {
        "test_r2": metric_value("r2"),
        "test_mean_absolute_error": -metric_value("neg_mean_absolute_error") * task.target_scale,
        "test_root_mean_squared_error": -metric_value("neg_root_mean_squared_error") * task.target_scale,
    }


def section(errors: Residuals, target: str, r2: float, table: str = "the table") -> str:
    """Returns the errors as HTML: in sentences and a table, as figures, and the rows with the largest ones.

    Args:
        errors: The test rows.
        target: The name of the target.
        r2: The R² of the model on them.
        table: What row numbers are of.
    """
    sizes = np.abs(errors.residuals)
    median_size, large_size = np.quantile(sizes, (0.5, 0.9), method="closest_observation")
    return (
        f"<p>Half of the predictions for the {words.count(len(sizes), 'test row')} are off by at most "
        f"{words.number(float(median_size), 3)}, nine of ten by at most {words.number(float(large_size), 3)}. "
        "All errors are in the units of the target.</p>"
        f"{_summary(errors, r2)}{_figures(errors, target)}{_largest(errors, table)}"
    )


def _summary(errors: Residuals, r2: float) -> str:
    """The mean errors of the model beside those of a constant."""
    constant = errors._replace(predicted=np.full(len(errors.truth), errors.mean))
    size = float(np.abs(constant.residuals).max()) or 1.0  # Squares of values beyond 1e154 are infinite.
    r2_of_mean = float(
        REGRESSION["r2"](constant.predicted[None, :, None] / size, errors.truth / size, errors.weights)[0]
    )
    rows = [
        [
            name,
            f"{round(score, 3) + 0:.3f}",
            *(words.number(v) for v in _mean_errors(predictions.residuals, predictions.weights)),
        ]
        for name, predictions, score in (
            ("selected model", errors, r2),
            ("always the mean of the training rows", constant, r2_of_mean),
        )
    ]
    return tables.table(["", "R²", "mean absolute error", "root mean squared error"], rows) + (
        "<p class='note'>The mean absolute error is the average distance between prediction and truth. The root mean squared "
        "error weighs large errors more.</p>"
    )


def _mean_errors(differences: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float]:
    """The mean absolute and the root mean squared error, without overflow."""
    size = float(np.abs(differences).max()) or 1.0
    scaled = np.abs(differences) / size
    absolute, squared = (float(np.average(part, weights=weights)) for part in (scaled, scaled**2))
    return absolute * size, math.sqrt(squared) * size


def _figures(errors: Residuals, target: str) -> str:
    """Predicted against true values, residuals against predictions, and the distribution of residuals."""
    from matplotlib.ticker import MaxNLocator

    values = np.concatenate([errors.truth, errors.predicted])
    if not np.abs(values).max() < _MAX_DRAWN:
        return ""
    truth, predicted, differences = (part[:_MAX_POINTS] for part in (errors.truth, errors.predicted, errors.residuals))
    against = plot.scatter(truth, predicted, f"true {_shortened(target)}", "predicted")
    around = plot.scatter(predicted, differences, "predicted", "residual", diagonal=False)
    around.axes[0].axhline(0.0, color="0.6", linewidth=1)
    spread, (ax,) = plot.subplots(1, _WIDTH, _HEIGHT)
    ax.hist(errors.residuals, _bins(errors.residuals), color=plot.ACCENT, alpha=0.8)
    ax.axvline(0.0, color="0.6", linewidth=1)
    ax.set(xlabel="residual", ylabel="test rows")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure_by_caption = {
        "Predictions against true values: all points on the line would be a perfect model.": against,
        "Residuals (true minus predicted) against predictions: points above the line are predicted too low. A trend or a "
        "funnel is something that the model misses.": around,
        "The distribution of the residuals: its middle is at zero for a model that is right on average.": spread,
    }
    for figure in (against, around):
        figure.set_size_inches(_WIDTH, _HEIGHT)
    first = f"<p class='note'>The first two figures show {_MAX_POINTS:,} of the test rows.</p>"
    boxes = "".join(
        f"<div>{plot.as_html(figure, caption)}<p class='note'>{caption}</p></div>"
        for caption, figure in figure_by_caption.items()
    )
    return f"<div class='figures'>{boxes}</div>{first * (len(errors.truth) > _MAX_POINTS)}"


def _bins(differences: np.ndarray) -> list[float]:
    """The edges of a histogram. Residuals that differ only by rounding fall into distinct bins."""
    low, high = float(differences.min()), float(differences.max())
    pad = 1e-3 * max(abs(low), abs(high)) if high - low <= 1e-6 * max(abs(low), abs(high)) else 0.0
    number = min(max(round(math.sqrt(len(differences))), _MIN_BINS), _MAX_BINS)
    return np.histogram_bin_edges(differences, number, (low - pad, high + pad)).tolist()


def _shortened(name: str, max_length: int = 32) -> str:
    """A name that fits an axis."""
    return name if len(name) <= max_length else f"{name[: max_length - 1]}…"


def _largest(errors: Residuals, table: str) -> str:
    """The test rows with the largest errors, by row number."""
    differences = errors.residuals
    order = np.argsort(-np.abs(differences), kind="stable")[:_N_LARGEST]
    _, size = _mean_errors(differences)
    digits = 2 - math.floor(math.log10(size)) if size else 2
    format_value = (lambda v: f"{v:,.{max(0, digits)}f}") if -9 < digits < 7 else (lambda v: f"{v:.4g}")
    numbers = None if errors.row_numbers is None else errors.row_numbers + 1
    rows = [
        [
            "–" if numbers is None else str(numbers[i]),
            format_value(errors.truth[i]),
            format_value(errors.predicted[i]),
            format_value(differences[i]),
        ]
        for i in order
    ]
    row_note = "" if numbers is None else f" Row 1 is the first row of {html.escape(table)} below its header."
    return (
        f"<p>The test rows with the largest errors; look here for wrong entries in the data.{row_note}</p>"
        f"{tables.table(['row', 'true', 'predicted', 'residual'], rows)}"
    )
