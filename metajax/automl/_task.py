"""What a search needs to know of a dataset, whether its rows are columns of a table or images."""

from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from metajax.automl._metrics import Metric
from metajax.automl._training import Data, TrainFn
from metajax.space import Space


class TrainedModel(Protocol):
    """The model that a search ends with: an ensemble of trainings."""

    @property
    def configs(self) -> list[dict[str, Any]]:
        """The configuration of each member."""
        ...

    @property
    def threshold(self) -> float:
        """The probability from which a row is labeled as the second of two classes."""
        ...

    def predict_inputs(self, x: Any) -> np.ndarray:
        """Returns probabilities f32[n, classes] or values f64[n] for encoded rows."""
        ...

    def save(self, directory: Path) -> None:
        """Writes the model into a directory."""
        ...


class EnsembleMember(NamedTuple):
    """A training that is a part of a model.

    Attributes:
        config: Its configuration.
        params: What it has learned.
        temperature: By which its logits are divided.
        weight: Its share of the prediction.
    """

    config: dict[str, Any]
    params: Any
    temperature: float
    weight: float


class MoreFoldsFn(Protocol):
    """Splits the rows that are learned from in other ways."""

    def __call__(self, number: int) -> list[Data]:
        """Returns as many other folds of the same rows; ``number`` counts the ways from 1."""
        ...


class BuildModelFn(Protocol):
    """Builds the final model from trained members."""

    def __call__(self, members: list[EnsembleMember], threshold: float = 0.5) -> TrainedModel:
        """Returns the ensemble; ``threshold`` is the probability from which a row is labeled as the second of two classes."""
        ...


class WriteMemberFn(Protocol):
    """Turns what a training has learned into what a file can hold."""

    def __call__(self, params: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Returns a header of plain values and arrays by name."""
        ...


class ReadMemberFn(Protocol):
    """Turns what a file holds into what a training had learned."""

    def __call__(self, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
        """Returns the parameters that ``WriteMemberFn`` was given."""
        ...


class WarmStartFn(Protocol):
    """Proposes the first configurations from what other datasets have shown."""

    def __call__(self, n: int, key: jax.Array, tried: np.ndarray, *, seconds: np.ndarray | None = None) -> np.ndarray:
        """Returns encodings f32[n, width] that are promising and differ from those tried.

        Args:
            n: How many.
            key: Random key.
            tried: f32[m, width], what was tried.
            seconds: f64[m], how long each took, where time matters.
        """
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
        search: The split of the rows by which configurations are compared: training rows, and rows to evaluate on.
        folds: The splits on which promising configurations are trained for the final model; together they evaluate on every
            row that is learned from, or on as many as suffice. The first one may be ``search`` itself.
        final: All rows that are learned from, and the test rows.
        classification: ``True`` for classification, ``False`` for regression.
        metric: What is maximized, selected by and reported.
        train: Trains a population of configurations.
        build_model: Builds the final model from trained members.
        write_member: Turns what a training has learned into what a file can hold.
        read_member: The inverse of ``write_member``.
        warm_start: Proposes the first configurations, or ``None``.
        fixed_choices: Decides a part of every configuration beforehand, or ``None``.
        wave_size: Number of models trained between two proposals.
        default_trials: Number of models trained if neither trials nor minutes are given.
        protocol_note: A sentence that the protocol of the result ends with, or "".
        target_shift: The mean by which the values of a regression were standardized.
        target_scale: Their standard deviation.
        initial: The configurations that are trained first, beginning with the default; by default that one alone.
        trains_side_by_side: Whether trainings on several splits may run at the same time.
        everything: All rows, the test included, for trainings after the evaluation; ``None`` where the folds learn from all.
        test_row_numbers: i64[test rows], the place of each test row in its table, from 0; ``None`` if it is not known.
        is_ordered: Whether rows are split in the order of time, so that those held back are the latest: then configurations are
            trained on them too before the model is evaluated.
        more_folds: Other folds of the same rows; ``None`` where they are split once.
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
    write_member: WriteMemberFn
    read_member: ReadMemberFn
    warm_start: WarmStartFn | None = None
    fixed_choices: FixedChoicesFn | None = None
    wave_size: int = 32
    default_trials: int = 192
    protocol_note: str = ""
    target_shift: float = 0.0
    target_scale: float = 1.0
    initial: tuple[dict[str, Any], ...] = ()
    trains_side_by_side: bool = False
    everything: Data | None = None
    test_row_numbers: np.ndarray | None = None
    is_ordered: bool = False
    more_folds: MoreFoldsFn | None = None

    @property
    def unexplored_folds(self) -> list[Data]:
        """The splits that a configuration is not trained on before it is promising."""
        return [fold for fold in self.folds if fold is not self.search]

    def number_of(self, split: Data) -> int:
        """Returns the number of a split: 0 is that of the search, the folds count from 1."""
        if split is self.search:
            return 0
        return 1 + next(i for i, fold in enumerate(self.folds) if fold is split)
