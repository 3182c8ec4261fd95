"""What a training leaves in a trial, and how trials are read back: as waves of a search, and as learning curves."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from metajax.automl import TrainingResults, Wave
from metajax.automl._training import CURVE_POINTS, LearningCurves
from metajax.integrations._trial_queue import ENTRY, FAILED, SOURCE
from metajax.space import Space, interop

DEFAULT_ENTRY = "0"
"""The entry of the default configuration."""
_DECIDED = "decided"


def tell(
    study: optuna.Study, trial: optuna.Trial, space: Space, requested: np.ndarray, results: TrainingResults, row: int
) -> bool:
    """Writes the result of a training into its trial; returns whether the trial still was this worker's.

    Args:
        study: The study.
        trial: The trial, which runs.
        space: Its space.
        requested: f32[n, width], the configurations that were trained.
        results: What came of them.
        row: The row of this trial.
    """
    score, curve = float(results.score[row]), results.curve[row]
    try:
        trial.set_user_attr("seconds", float(results.seconds[row]))
        if not np.isfinite(score):
            trial.set_user_attr(FAILED, True)
            study.tell(trial, state=TrialState.FAIL)
            return True
        trial.set_user_attr("loss", float(results.loss[row]))
        if results.stop[row] != 1.0:
            trial.set_user_attr("stop", float(results.stop[row]))
        if decided := _decided(space, requested, results, row):
            trial.set_user_attr(_DECIDED, decided)
        for point in np.flatnonzero(np.isfinite(curve)):
            trial.report(float(curve[point]), int(point) + 1)
        if np.isfinite(curve[-1]):
            study.tell(trial, score)
        else:
            trial.set_user_attr("score", score)
            study.tell(trial, state=TrialState.PRUNED)
    except (UpdateFinishedTrialError, ValueError):  # Optuna raises both for a trial that has ended
        if not study.trials[trial.number].state.is_finished():
            raise
        return False
    return True


def _decided(space: Space, requested: np.ndarray, results: TrainingResults, row: int) -> dict[str, Any]:
    """The choices that the training itself decided, such as after how many trees to stop."""
    if results.encodings is None or np.array_equal(results.encodings[row], requested[row]):
        return {}
    before, after = space.decode(np.stack([requested[row], results.encodings[row]]))
    return interop.to_params(space, {name: value for name, value in after.items() if before.get(name) != value})


class StudyResults:
    """The trials of a study that are done, as arrays. What was read once is kept.

    Args:
        space: The space of the study.
    """

    def __init__(self, space: Space):
        self._space = space
        self._rows: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def _encodings(self, trials: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
        """The configurations of trials as they were requested, and with what trainings decided, f32[n, width] each."""
        new = [trial for trial in trials if trial.number not in self._rows]
        if new:
            params = [p for t in new for p in (t.params, {**t.params, **t.user_attrs.get(_DECIDED, {})})]
            configs = [interop.from_params(self._space, p) for p in params]
            encodings = np.asarray(self._space.encode(self._space.configs(configs)), np.float32)
            self._rows |= {trial.number: (encodings[2 * i], encodings[2 * i + 1]) for i, trial in enumerate(new)}
        rows = [self._rows[trial.number] for trial in trials]
        empty = np.zeros((0, self._space.width), np.float32)
        return np.stack([row[0] for row in rows]) if rows else empty, np.stack([r[1] for r in rows]) if rows else empty

    def curves(self, trials: Sequence[Any]) -> LearningCurves | None:
        """Returns the learning curves of trials; ``None`` where there are none."""
        trials = [trial for trial in trials if trial.intermediate_values]
        if not trials:
            return None
        return LearningCurves(self._encodings(trials)[1], np.stack([_curve(trial) for trial in trials]))

    def waves(self, trials: Sequence[Any]) -> list[Wave]:
        """Returns trials as waves of a search: random configurations, then proposed ones. The default is left out."""
        waves = []
        for source in ("random", "proposed"):
            selected = [t for t in trials if t.user_attrs.get(SOURCE, "proposed") == source and t.params]
            selected = [trial for trial in selected if trial.user_attrs[ENTRY] != DEFAULT_ENTRY]
            if selected:
                waves.append(self._wave(selected, source))
        return waves

    def _wave(self, trials: Sequence[Any], source: str) -> Wave:
        requested, encodings = self._encodings(trials)
        number = lambda name, missing=np.nan: np.array([t.user_attrs.get(name, missing) for t in trials], np.float64)
        return Wave(
            encodings=encodings,
            requested=requested,
            split=np.zeros(len(trials), np.int64),
            score=np.array([score_of(trial) for trial in trials]),
            loss=number("loss"),
            curve=np.stack([_curve(trial) for trial in trials]),
            seconds=number("seconds", 0.0),
            source=source,
            outputs=np.zeros((0, 0, 0), np.float32),
            output_index=np.zeros(0, np.int64),
            stop=number("stop", 1.0),
            members=[],
        )


def score_of(trial: Any) -> float:
    """Returns the score of a trial that is done; NaN if its training has failed."""
    if trial.state == TrialState.COMPLETE:
        return float(trial.value)
    return float(trial.user_attrs.get("score", np.nan))


def _curve(trial: Any) -> np.ndarray:
    """The learning curve of a trial, f64[CURVE_POINTS]; NaN from where it was pruned."""
    return np.array([trial.intermediate_values.get(point + 1, np.nan) for point in range(CURVE_POINTS)])
