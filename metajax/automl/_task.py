"""A dataset as a search sees it, whether of columns or of images."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from metajax.space import Space
from metajax.space._rows import power_of_two


class Data(NamedTuple):
    """Rows to learn from and rows to be judged on: x f32[n, ...], y i32[n] (classes) or f32[n] (standardized)."""

    x: jax.Array
    y: jax.Array
    x_judge: jax.Array
    y_judge: jax.Array


class Outcome(NamedTuple):
    """What a population came to, in the order it was given.

    Attributes:
        score: f64[n], accuracy or R² on the judging rows; NaN where training diverged.
        loss: f64[n], log-loss (calibrated, see ``calibrate.loss``) or squared error there.
        curve: f64[n, CURVE], the score at even shares of each member's epochs.
        seconds: f64[n], share of the group's time.
        params: per member, if kept.
        outputs: f32[n, rows, outputs] on the first judging rows, probabilities or standardized values; as many as asked for.
    """

    score: np.ndarray
    loss: np.ndarray
    curve: np.ndarray
    seconds: np.ndarray
    params: list[Any]
    outputs: np.ndarray


CURVE = 8
"""How many points of a learning curve are recorded."""


class Model(Protocol):
    """What a search ends with."""

    @property
    def configs(self) -> list[dict[str, Any]]: ...

    def predict_inputs(self, x: Any) -> np.ndarray: ...

    def save(self, directory: Any) -> None: ...


class Task(NamedTuple):
    """Everything that a search needs to know of a dataset.

    Attributes:
        space: to search.
        default: the configuration that one would take without a search.
        search: training rows, and validation rows to be judged on.
        folds: other splits of the same rows, as large.
        final: training and validation rows together, and the test rows.
        classification: or regression.
        train: ``(encodings f32[n, width], data, key, keep, outputs_of, progress) -> Outcome``.
        model: ``(configurations, params of each, temperature of each) -> Model``.
        warm: ``(n, key, encodings tried) -> encodings``: what other datasets promise of this one, or ``None``.
        fixed: ``(method, directory) -> part of a configuration`` that a method decides beforehand, or ``None``.
        wave: models trained between two proposals, at most.
        trials: models trained where nothing is said.
        norm: which batch norm the scores were taken with.
    """

    space: Space
    default: dict[str, Any]
    search: Data
    folds: list[Data]
    final: Data
    classification: bool
    train: Callable[..., Outcome]
    model: Callable[[list[dict[str, Any]], list[Any], np.ndarray], Model]
    warm: Callable[[int, jax.Array, np.ndarray], np.ndarray] | None = None
    fixed: Callable[..., dict[str, Any]] | None = None
    wave: int = 32
    trials: int = 192
    norm: str = "no batch norm anywhere"


class Plan(NamedTuple):
    """How many models are trained when.

    Attributes:
        wanted: in all; ``None`` if only the budget limits it.
        wave: side by side between two fits of the meta-learner.
        first: drawn at random before anything is proposed, the default among them.
        finalists, folds: configurations that are cross-validated in the end, on how many splits of the rows.
        small: too few for the meta-learner to say anything.
        room: trials that the meta-learner's programs are compiled for, so that most searches compile them once.
    """

    wanted: int | None
    wave: int
    first: int
    finalists: int
    folds: int
    small: bool
    room: int


GROUP = 8
_ROOM = 512  # more trials than a minute has time for


def plan(task: Task, trials: int | None, minutes: float | None, proposes: bool) -> Plan:
    """The plan of a search. Drawn first: a wave where something is known of other datasets, a group where the clock runs too;
    else two waves, a third of all at most."""
    wanted = trials or (task.trials if minutes is None else None)
    small = wanted is not None and wanted < 2 * task.wave
    wave = GROUP if small else task.wave
    third = 2 * wave if wanted is None else min(wanted // 3, 2 * wave)
    warm = proposes and task.warm is not None
    first = max(wave, third // wave * wave)
    if warm:
        first = GROUP if wanted is None else wave
    finalists, folds = (2, 2) if small else (8, 4) if task.wave > GROUP else (4, 2)
    room = power_of_two(min(wanted or _ROOM, _ROOM), 128)
    return Plan(wanted, wave, first, finalists, folds, small, room)
