"""What training a population of configurations takes and returns, whatever the rows are."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

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
        weights: f64[n], how much each training row counts; ``None`` where all count alike.
        weights_eval: f64[m], how much each evaluation row counts, or ``None``.
        levels: i64[inputs], the number of the category that an input is a level of, and -1 for other inputs; ``None`` if
            the inputs are not from a table. The inputs of a category are one-hot.
    """

    x: Any
    y: Any
    x_eval: Any
    y_eval: Any
    weights: Any = None
    weights_eval: Any = None
    levels: Any = None

    def first(self, n: int) -> "Data":
        """Returns the first training rows, and all evaluation rows."""
        weights = None if self.weights is None else self.weights[:n]
        return self._replace(x=self.x[:n], y=self.y[:n], weights=weights)

    def on_host(self) -> "Data":
        """Returns the rows as NumPy arrays."""
        return Data(*(None if part is None else np.asarray(part) for part in self))


class TrainingResults(NamedTuple):
    """The results of training a population, in the order of its configurations.

    Attributes:
        score: f64[n], the task's metric on the evaluation rows, larger is better; NaN where training diverged.
        loss: f64[n], calibrated log-loss or mean squared error on the evaluation rows.
        curve: f64[n, CURVE_POINTS], accuracy or R² at even shares of each model's epochs; NaN from where it was given up.
        seconds: f64[n], each model's share of the wall time of its group, without compilation; NaN where no time was left to
            train it.
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


class LearningCurves(NamedTuple):
    """The learning curves of earlier trainings.

    Attributes:
        encodings: f32[n, width], their configurations.
        curve: f64[n, CURVE_POINTS], as in ``TrainingResults``.
    """

    encodings: np.ndarray
    curve: np.ndarray


AllowsFn = Callable[[float], bool]
"""Says whether something that takes this many seconds would end in time."""


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
        allows: AllowsFn | None = None,
        past_curves: LearningCurves | None = None,
    ) -> TrainingResults:
        """Trains every configuration on the same rows.

        Args:
            encodings: f32[n, width], encodings of the task's space.
            data: Rows to train and to evaluate on.
            key: Random key of the whole population.
            keep_params: Return the parameters.
            output_rows: Return what the models predict for this many of the evaluation rows.
            progress: Called with the number of models trained so far.
            stop: f64[n], the share of its epochs after which each training ends and is kept, so that the evaluation rows
                choose nothing and each training is exactly that of its configuration. By default they choose when to stop.
            allows: Whether there is time for a training of this many seconds. One for which there is none does not start; one
                that takes longer than expected ends early, as good as it is then.
            past_curves: The learning curves of earlier trainings. A training that falls behind by them is given up, as good
                as it is then. By default none is.

        Returns:
            The results, in the order of ``encodings``.
        """
        ...
