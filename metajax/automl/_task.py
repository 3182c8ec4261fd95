"""What a search needs to know of a dataset, whether its rows are columns of a table or images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from metajax.automl._metrics import Metric
from metajax.space import Space

CURVE_POINTS = 8
"""Number of points that are recorded of a learning curve."""
GROUP_SIZE = 8
"""Number of models that train side by side in one compiled program."""


class Data(NamedTuple):
    """Rows to train on and rows to evaluate on.

    Attributes:
        x: f32[n, ...], the inputs of the training rows.
        y: i32[n], their class numbers, or f32[n], their standardized values.
        x_eval: f32[m, ...], the inputs of the evaluation rows.
        y_eval: i32[m] or f32[m], their targets.
    """

    x: jax.Array
    y: jax.Array
    x_eval: jax.Array
    y_eval: jax.Array


class TrainingResults(NamedTuple):
    """The results of training a population, in the order of its configurations.

    Attributes:
        score: f64[n], the task's metric on the evaluation rows, larger is better; NaN where training diverged.
        loss: f64[n], calibrated log-loss or mean squared error on the evaluation rows.
        curve: f64[n, CURVE_POINTS], accuracy or R² at even shares of each model's epochs.
        seconds: f64[n], each model's share of the wall time of its group.
        params: The parameters of each model, if they were asked for.
        outputs: f32[n, rows, outputs], probabilities or standardized values for the first evaluation rows, for as many rows as
            were asked for.
        stop: f64[n], the share of its epochs after which each model was best on the evaluation rows.
        encodings: f32[n, width], the configurations with what their trainings decided, such as after how many trees to stop;
            ``None`` where nothing was decided.
    """

    score: np.ndarray
    loss: np.ndarray
    curve: np.ndarray
    seconds: np.ndarray
    params: list[Any]
    outputs: np.ndarray
    stop: np.ndarray
    encodings: np.ndarray | None = None


class TrainFn(Protocol):
    """Trains a population of configurations."""

    def __call__(
        self,
        encodings: np.ndarray,
        data: Data,
        key: jax.Array,
        keep_params: bool = False,
        output_rows: int = 0,
        progress: Callable[[int], None] | None = None,
        stop: np.ndarray | None = None,
    ) -> TrainingResults:
        """Trains every configuration on the same rows.

        On the rows of the search, a training may decide by the evaluation rows when to stop. On all other rows it is exactly
        that of its configuration.

        Args:
            encodings: f32[n, width], encodings of the task's space.
            data: Rows to train and to evaluate on.
            key: Random key of the whole population.
            keep_params: Return the parameters.
            output_rows: Return what the models predict for this many of the evaluation rows.
            progress: Called with the number of models trained so far.
            stop: f64[n], the share of its epochs after which each training ends and is kept, so that the evaluation rows
                choose nothing. By default they choose the epoch that is kept.

        Returns:
            The results, in the order of ``encodings``.
        """
        ...


class TrainedModel(Protocol):
    """The model that a search ends with: an ensemble of trainings."""

    @property
    def configs(self) -> list[dict[str, Any]]:
        """The configuration of each member."""
        ...

    def predict_inputs(self, x: Any) -> np.ndarray:
        """Returns probabilities f32[n, classes] or values f64[n] for encoded rows."""
        ...

    def save(self, directory: Path) -> None:
        """Writes the model into a directory."""
        ...


class BuildModelFn(Protocol):
    """Builds the final model from trained members."""

    def __call__(self, configs: list[dict[str, Any]], params: list[Any], temperatures: np.ndarray) -> TrainedModel:
        """Returns the ensemble of these members: a configuration, parameters and a temperature each."""
        ...


class WarmStartFn(Protocol):
    """Proposes the first configurations from what other datasets have shown."""

    def __call__(self, n: int, key: jax.Array, tried: np.ndarray) -> np.ndarray:
        """Returns encodings f32[n, width] that are promising and differ from those tried, f32[m, width]."""
        ...


class FixedChoicesFn(Protocol):
    """Decides a part of every configuration before the search begins."""

    def __call__(self, method: str, directory: Path) -> dict[str, Any]:
        """Returns the choices that a method decides, read from the run directory if an earlier process decided them."""
        ...


class Task(NamedTuple):
    """Everything that a search needs to know of a dataset.

    Attributes:
        space: The space to search.
        default: The configuration that one would take without a search; it is compared with the selected model.
        search: Training rows, and the validation rows to evaluate on.
        folds: Other splits of the same rows into as many training and evaluation rows.
        final: Training and validation rows together, and the test rows.
        classification: ``True`` for classification, ``False`` for regression.
        metric: What is maximized, selected by and reported.
        train: Trains a population of configurations.
        build_model: Builds the final model from trained members.
        warm_start: Proposes the first configurations, or ``None``.
        fixed_choices: Decides a part of every configuration beforehand, or ``None``.
        wave_size: Number of models trained between two proposals.
        default_trials: Number of models trained if neither trials nor minutes are given.
        protocol_note: A sentence that the protocol of the result ends with, or "".
        target_shift: The mean by which the values of a regression were standardized.
        target_scale: Their standard deviation.
        initial: The configurations that are trained first, beginning with the default; by default that one alone.
        default_members: Number of trainings of the default that it is compared by, or ``None`` for as many as the final model
            has.
    """

    space: Space
    default: dict[str, Any]
    search: Data
    folds: list[Data]
    final: Data
    classification: bool
    metric: Metric
    train: TrainFn
    build_model: BuildModelFn
    warm_start: WarmStartFn | None = None
    fixed_choices: FixedChoicesFn | None = None
    wave_size: int = 32
    default_trials: int = 192
    protocol_note: str = ""
    target_shift: float = 0.0
    target_scale: float = 1.0
    initial: tuple[dict[str, Any], ...] = ()
    default_members: int | None = None
