"""How many models a search trains."""

from typing import NamedTuple

from metajax.automl._task import Task
from metajax.automl._training import GROUP_SIZE
from metajax.space._rows import power_of_two

# The meta-learner's programs are compiled for this many trials; a minute has no time for more of them.
_MAX_PADDED_TRIALS = 512
_MIN_PADDED_TRIALS = 128


class SearchPlan(NamedTuple):
    """How many models a search trains.

    Attributes:
        trials: Number of configurations that are compared on the split of the search, or ``None`` if only the time budget
            limits it.
        wave_size: Number of configurations between two proposals, at most.
        n_initial: Number of configurations before anything is proposed: the defaults of all model types and random ones.
        n_promoted: Number of configurations that are trained on every fold after each wave, if no time budget decides it.
        padded_size: Number of trials that the meta-learner's programs are compiled for, so that most searches compile them
            once.
    """

    trials: int | None
    wave_size: int
    n_initial: int
    n_promoted: int
    padded_size: int


def make_plan(task: Task, trials: int | None, minutes: float | None, uses_meta_learner: bool) -> SearchPlan:
    """Returns the plan of a search.

    The search begins with the defaults and random configurations. With a warm start from other datasets they are one wave, or
    one group if only the time is limited. Without a warm start they are two waves, but at most a third of all trials.
    """
    total = trials or (task.default_trials if minutes is None else None)
    wave = GROUP_SIZE if total is not None and total < 2 * task.wave_size else task.wave_size
    third = 2 * GROUP_SIZE if total is None else min(total // 3, 2 * wave)
    n_initial = max(GROUP_SIZE, third // wave * wave)
    if uses_meta_learner and task.warm_start is not None:
        n_initial = GROUP_SIZE if total is None else wave
    padded_size = power_of_two(min(total or _MAX_PADDED_TRIALS, _MAX_PADDED_TRIALS), _MIN_PADDED_TRIALS)
    return SearchPlan(total, wave, n_initial, 2 if wave > GROUP_SIZE else 1, padded_size)
