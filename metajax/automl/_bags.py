"""Configurations that were trained on every fold, and which of the others should be.

A bag is one configuration trained on each fold (Breiman 1996): what its members predict for the rows that they were not
trained on is known for every row, and their mean is the model.
"""

from typing import Any, NamedTuple

import numpy as np

from metajax.automl import _ensemble as ensemble
from metajax.automl._wave_files import Wave
from metajax.automl._waves import WaveHistory


class Bag(NamedTuple):
    """One configuration, trained on every fold, and perhaps on other folds of the same rows.

    Attributes:
        requested: f32[width], the configuration that was to be trained.
        encodings: f32[members, width], with what each training decided, those of the folds first.
        outputs: f32[folds, rows, k], what each predicts for the rows of its fold that it was not trained on.
        members: What each has learned.
        stop: f64[members], the share of its epochs after which each was best.
        score: Mean score of the folds; NaN if one failed.
    """

    requested: np.ndarray
    encodings: np.ndarray
    outputs: np.ndarray
    members: list[Any]
    stop: np.ndarray
    score: float

    @property
    def decided(self) -> np.ndarray:
        """The configuration with what its trainings decided on average, f32[width]."""
        return self.encodings.mean(axis=0)


class _Training(NamedTuple):
    """A training whose outputs its wave holds.

    Attributes:
        wave: The wave.
        row: The row of the training in the wave.
        output_row: The row of its outputs.
    """

    wave: Wave
    row: int
    output_row: int


def _trainings_with_outputs(history: WaveHistory) -> dict[bytes, dict[int, _Training]]:
    """The trainings with outputs, by configuration and split; of repeated ones the first."""
    by_config: dict[bytes, dict[int, _Training]] = {}
    for wave in history.waves:
        for output_row, row in enumerate(wave.output_index):
            splits = by_config.setdefault(wave.requested[row].tobytes(), {})
            splits.setdefault(int(wave.split[row]), _Training(wave, int(row), output_row))
    return by_config


def bags(history: WaveHistory) -> list[Bag]:
    """Returns the configurations that were trained on every fold, in the order in which they started."""
    task = history.task
    numbers = [task.number_of(fold) for fold in task.folds]
    complete = [
        splits for splits in _trainings_with_outputs(history).values() if all(number in splits for number in numbers)
    ]
    of_folds = [[splits[number] for number in numbers] for splits in complete]
    of_other_folds = [[splits[number] for number in sorted(splits) if number > len(task.folds)] for splits in complete]
    return [_bag(trainings, others) for trainings, others in zip(of_folds, of_other_folds)]


def _bag(trainings: list[_Training], others: list[_Training]) -> Bag:
    """Puts the trainings of all folds together, and those of other folds that did not fail."""
    first = trainings[0]
    all_trainings = [*trainings, *(t for t in others if np.isfinite(t.wave.score[t.row]))]
    return Bag(
        first.wave.requested[first.row],
        np.stack([t.wave.encodings[t.row] for t in all_trainings]),
        np.stack([t.wave.outputs[t.output_row] for t in trainings]),
        [t.wave.members[t.output_row] for t in all_trainings],
        np.array([t.wave.stop[t.row] for t in all_trainings]),
        float(np.mean([t.wave.score[t.row] for t in trainings])),
    )


def are_defaults(encodings: np.ndarray, history: WaveHistory) -> np.ndarray:
    """Says which configurations, f32[n, width], are defaults of a model type, bool[n].

    The first one that was trained is one, too: choices may have been fixed in it beforehand.
    """
    space, initial = history.task.space, history.task.initial
    default_rows = {wave.requested[0].tobytes() for wave in history.waves[:1] if len(wave.requested)}
    if initial:
        default_rows |= {row.tobytes() for row in np.asarray(space.encode(space.configs(list(initial))), np.float32)}
    return np.array([row.tobytes() in default_rows for row in encodings], bool)


class PromotionCandidates(NamedTuple):
    """Configurations that are worth training on every fold, the best first.

    Attributes:
        encodings: f32[n, width], the configurations.
        seconds: f64[n], how long each took on the split of the search.
    """

    encodings: np.ndarray
    seconds: np.ndarray


def promotion_candidates(history: WaveHistory) -> PromotionCandidates:
    """Returns the configurations that may be worth training on every fold.

    The default comes first, then the other defaults with which an ensemble of defaults is best on the split of the search: they
    are what the model is compared with, and often all that it needs. Then come those with which an ensemble of all is best,
    and those that score best alone. An ensemble of classifiers is the best one by its log-loss: where rows are few, an accuracy
    or a rank is a matter of chance among many ensembles.

    Args:
        history: Everything that was trained.
    """
    task = history.task
    candidates = [splits[0] for splits in _trainings_with_outputs(history).values() if 0 in splits]
    candidates = [training for training in candidates if np.isfinite(training.wave.score[training.row])]
    if not candidates:
        return PromotionCandidates(np.zeros((0, task.space.width), np.float32), np.zeros(0))
    promoted = {row.tobytes() for wave in history.waves if wave.source == "promoted" for row in wave.requested}
    encodings = np.stack([training.wave.requested[training.row] for training in candidates])
    is_open = np.array([row.tobytes() not in promoted for row in encodings])
    outputs = np.stack([training.wave.outputs[training.output_row] for training in candidates])[None]
    targets, weights = np.asarray(task.search.y_eval)[None], task.search.weights_eval
    weights = None if weights is None else weights[None]
    metric = task.metric._replace(score=task.metric.tie, by_label=False) if task.classification else task.metric
    pick = lambda rows: rows[ensemble.pick(outputs[:, rows], targets, metric, task.classification, weights)].tolist()
    by_score = np.argsort([-training.wave.score[training.row] for training in candidates], kind="stable").tolist()
    is_default = np.flatnonzero(are_defaults(encodings, history))
    first_default = [i for i, row in enumerate(encodings) if np.array_equal(row, history.waves[0].requested[0])]
    best_defaults = pick(is_default) if len(is_default) else []
    order = [
        i
        for i in dict.fromkeys([*first_default, *best_defaults, *pick(np.arange(len(encodings))), *by_score])
        if is_open[i]
    ]
    seconds = np.array([training.wave.seconds[training.row] for training in candidates])
    return PromotionCandidates(encodings[order], seconds[order])
