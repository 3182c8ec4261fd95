"""Configurations that were trained on every fold, and which of the others should be.

A bag is one configuration trained on each fold (Breiman 1996): what its members predict for the rows that they were not
trained on is known for every row, and their mean is the model.
"""

from typing import Any, NamedTuple

import numpy as np

from metajax.automl import _ensemble as ensemble
from metajax.automl._waves import Wave, WaveHistory


class Bag(NamedTuple):
    """One configuration, trained on every fold, and perhaps on other folds of the same rows.

    Attributes:
        asked: f32[width], the configuration that was asked for.
        encodings: f32[members, width], with what each training decided, those of the folds first.
        outputs: f32[folds, rows, k], what each predicts for the rows of its fold that it was not trained on.
        members: What each has learned.
        stop: f64[members], the share of its epochs after which each was best.
        score: Mean score of the folds; NaN if one failed.
    """

    asked: np.ndarray
    encodings: np.ndarray
    outputs: np.ndarray
    members: list[Any]
    stop: np.ndarray
    score: float

    @property
    def decided(self) -> np.ndarray:
        """The configuration with what its trainings decided on average, f32[width]."""
        return self.encodings.mean(axis=0)


class _Kept(NamedTuple):
    """A training whose outputs were kept: its wave, its row there, and the place of its outputs."""

    wave: Wave
    row: int
    place: int


def _kept(history: WaveHistory) -> dict[bytes, dict[int, _Kept]]:
    """The trainings with outputs, by configuration and split; of repeated ones the first."""
    found: dict[bytes, dict[int, _Kept]] = {}
    for wave in history.waves:
        for place, row in enumerate(wave.output_index):
            splits = found.setdefault(wave.asked[row].tobytes(), {})
            splits.setdefault(int(wave.split[row]), _Kept(wave, int(row), place))
    return found


def bags(history: WaveHistory) -> list[Bag]:
    """Returns the configurations that were trained on every fold, in the order in which they started."""
    task = history.task
    numbers = [task.number_of(fold) for fold in task.folds]
    complete = [splits for splits in _kept(history).values() if all(number in splits for number in numbers)]
    of_folds = [[splits[number] for number in numbers] for splits in complete]
    others = [[splits[number] for number in sorted(splits) if number > len(task.folds)] for splits in complete]
    return [_bag(own, more) for own, more in zip(of_folds, others)]


def _bag(trainings: list[_Kept], others: list[_Kept]) -> Bag:
    """Puts the trainings of all folds together, and those of other folds that did not fail."""
    first = trainings[0]
    every = [*trainings, *(t for t in others if np.isfinite(t.wave.score[t.row]))]
    return Bag(
        first.wave.asked[first.row],
        np.stack([t.wave.encodings[t.row] for t in every]),
        np.stack([t.wave.outputs[t.place] for t in trainings]),
        [t.wave.members[t.place] for t in every],
        np.array([t.wave.stop[t.row] for t in every]),
        float(np.mean([t.wave.score[t.row] for t in trainings])),
    )


def are_defaults(asked: np.ndarray, history: WaveHistory) -> np.ndarray:
    """Says which configurations, f32[n, width], are defaults of a model type, bool[n].

    The first one that was trained is one, too: choices may have been fixed in it beforehand.
    """
    space, initial = history.task.space, history.task.initial
    known = {wave.asked[0].tobytes() for wave in history.waves[:1] if len(wave.asked)}
    if initial:
        known |= {row.tobytes() for row in np.asarray(space.encode(space.configs(list(initial))), np.float32)}
    return np.array([row.tobytes() in known for row in asked], bool)


class Promising(NamedTuple):
    """Configurations that are worth training on every fold, the best first.

    Attributes:
        asked: f32[n, width], the configurations.
        seconds: f64[n], how long each took on the split of the search.
    """

    asked: np.ndarray
    seconds: np.ndarray


def promising(history: WaveHistory) -> Promising:
    """Returns the configurations that may be worth training on every fold.

    The default comes first, then the other defaults with which an ensemble of defaults is best on the split of the search: they
    are what the model is compared with, and often all that it needs. Then come those with which an ensemble of all is best,
    and those that score best alone. An ensemble of classifiers is the best one by its log-loss: where rows are few, an accuracy
    or a rank is a matter of chance among many ensembles.

    Args:
        history: Everything that was trained.
    """
    task = history.task
    candidates = [splits[0] for splits in _kept(history).values() if 0 in splits]
    candidates = [kept for kept in candidates if np.isfinite(kept.wave.score[kept.row])]
    if not candidates:
        return Promising(np.zeros((0, task.space.width), np.float32), np.zeros(0))
    promoted = {row.tobytes() for wave in history.waves if wave.source == "promoted" for row in wave.asked}
    asked = np.stack([kept.wave.asked[kept.row] for kept in candidates])
    is_open = np.array([row.tobytes() not in promoted for row in asked])
    outputs = np.stack([kept.wave.outputs[kept.place] for kept in candidates])[None]
    targets, weights = np.asarray(task.search.y_eval)[None], task.search.weights_eval
    weights = None if weights is None else weights[None]
    by = task.metric._replace(score=task.metric.tie, by_label=False) if task.classification else task.metric
    pick = lambda own: own[ensemble.pick(outputs[:, own], targets, by, task.classification, weights)].tolist()
    alone = np.argsort([-kept.wave.score[kept.row] for kept in candidates], kind="stable").tolist()
    is_default = np.flatnonzero(are_defaults(asked, history))
    first = [i for i, row in enumerate(asked) if np.array_equal(row, history.waves[0].asked[0])]
    others = pick(is_default) if len(is_default) else []
    order = [i for i in dict.fromkeys([*first, *others, *pick(np.arange(len(asked))), *alone]) if is_open[i]]
    seconds = np.array([kept.wave.seconds[kept.row] for kept in candidates])
    return Promising(asked[order], seconds[order])
