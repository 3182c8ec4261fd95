"""How many models a search trains at each of its stages."""

from typing import NamedTuple

from metajax.automl._task import GROUP_SIZE, Task
from metajax.space._rows import power_of_two

# The meta-learner's programs are compiled for this many trials; a minute has no time for more of them.
_MAX_PADDED_TRIALS = 512
_MIN_PADDED_TRIALS = 128


class SearchPlan(NamedTuple):
    """How many models a search trains at each of its stages.

    Attributes:
        trials: Number of models in all, or ``None`` if only the time budget limits it.
        wave_size: Number of models trained side by side between two fits of the meta-learner.
        n_initial: Number of models trained before anything is proposed: the default configuration and random ones.
        n_finalists: Number of configurations that are cross-validated at the end.
        n_folds: Number of splits of the rows that they are cross-validated on.
        is_small: Whether the trials are too few for the meta-learner to help in choosing the finalists.
        padded_size: Number of trials that the meta-learner's programs are compiled for, so that most searches compile them
            once.
    """

    trials: int | None
    wave_size: int
    n_initial: int
    n_finalists: int
    n_folds: int
    is_small: bool
    padded_size: int


def make_plan(task: Task, trials: int | None, minutes: float | None, uses_meta_learner: bool) -> SearchPlan:
    """Returns the plan of a search.

    The search begins with random configurations. With a warm start from other datasets they are one wave, or one group
    if only the time is limited. Without a warm start they are two waves, but at most a third of all trials.
    """
    total = trials or (task.default_trials if minutes is None else None)
    is_small = total is not None and total < 2 * task.wave_size
    wave = GROUP_SIZE if is_small else task.wave_size
    third = 2 * wave if total is None else min(total // 3, 2 * wave)
    n_initial = max(wave, third // wave * wave)
    if uses_meta_learner and task.warm_start is not None:
        n_initial = GROUP_SIZE if total is None else wave
    n_finalists, n_folds = (2, 2) if is_small else (8, 4) if task.wave_size > GROUP_SIZE else (4, 2)
    padded_size = power_of_two(min(total or _MAX_PADDED_TRIALS, _MAX_PADDED_TRIALS), _MIN_PADDED_TRIALS)
    return SearchPlan(total, wave, n_initial, n_finalists, n_folds, is_small, padded_size)
