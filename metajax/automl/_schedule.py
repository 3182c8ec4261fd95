"""What a search does next, given its plan, the time that is left and the time that everything has taken."""

import math
import time
from collections.abc import Callable

import numpy as np

from metajax.automl._plan import SearchPlan
from metajax.automl._settings import Config
from metajax.automl._timing import TimeBudget
from metajax.automl._waves import WaveHistory
from metajax.automl.models._threads import n_workers

_WAVES_OF_A_BUDGET = 8
"""A wave takes about this part of the time."""
_SHARE_OF_EXPLORING = 0.8
"""After this share of the time no other configurations are tried: the rest is for training the best ones on every fold."""
_SHARES_BEFORE_REPEATS = 0.6, 0.75
"""If time is reserved for other folds, exploration stops after the first share of the time and promotion after the second."""
_REFIT_SHARE, _MEMBERS = 0.12, 4
"""The share of the time that training on all rows may take, and the number of configurations that an ensemble usually has."""
_SHORT_SECONDS = 20.0
_MIN_WAVE = 4
_CAUTION = 1.3
"""Expected seconds are multiplied by this number, because trainings side by side wait for each other."""
_MAX_PROMOTED = 4
_SECONDS_OF_A_PROPOSAL = 5.0
"""The expected time of the first proposal, most of which is compilation."""


class Schedule:
    """Decides how many models to train next, and whether there is time.

    It knows the plan (how many models), the time budget (how long) and how long everything has taken, and decides nothing else.
    What an earlier process has saved was decided then, by its clock.

    Attributes:
        plan: How many models are trained.
        budget: The time budget.
        proposal_seconds: Seconds of the last proposal.
        is_over: Whether someone has ended the search: nothing more is tried.
    """

    def __init__(self, config: Config, plan: SearchPlan, history: WaveHistory, budget: TimeBudget, ending: float):
        """``ending`` is the number of seconds that the end of the search takes, beside training the default again."""
        self.plan, self.budget = plan, budget
        self._config, self._history, self._ending = config, history, ending
        self._seconds_by_kind = {True: 0.0, False: 0.0}  # seconds of waves of promoted configurations, and of others
        self._per_model = 0.0  # seconds for each configuration of the last waves that explored
        self.proposal_seconds = _SECONDS_OF_A_PROPOSAL
        self.is_over = False

    @property
    def is_short(self) -> bool:
        """Whether the time may be over before the defaults of all model types are trained."""
        return self.budget.total < _SHORT_SECONDS

    @property
    def _repeats(self) -> bool:
        """Whether time is reserved for training the ensemble on other folds."""
        return self._history.task.more_folds is not None and not self.is_short

    def _is_within(self, share: float, seconds: float) -> bool:
        """Whether something that takes this many more seconds ends in this share of the time before the end."""
        return self.budget.seconds + seconds <= share * (self.budget.total - self.reserve)

    @property
    def reserve(self) -> float:
        """Seconds that are set aside for the end: the report, the default, and training on all rows if that costs little."""
        refit, max_share = self.refit_seconds, _REFIT_SHARE * (1 + self._history.task.is_ordered)
        report = self._ending + self.default_seconds if self._ending else 0.0
        return report + (refit if refit <= max_share * self.budget.total else 0.0)

    @property
    def refit_seconds(self) -> float:
        """Expected seconds of training the configurations of the ensemble on all rows, once or twice."""
        task = self._history.task
        if task.everything is None:
            return 0.0
        rows = len(task.everything.x) + (len(task.final.x) if task.is_ordered else 0)
        return self.seconds_of_good() * _MEMBERS * rows / len(task.search.x) / n_workers()

    @property
    def default_seconds(self) -> float:
        """Expected seconds of training the default, the first configuration of all, on all rows."""
        waves, task = self._history.waves, self._history.task
        if not waves or not len(waves[0].seconds):
            return 0.0
        # The first training of all waits for libraries to load.
        of_default = [wave.seconds[np.all(wave.requested == waves[0].requested[0], axis=1)] for wave in waves]
        return float(np.min(np.concatenate(of_default))) * len(task.final.x) / len(task.search.x)

    def allows(self, seconds: float) -> bool:
        """Whether something that takes this many more seconds would leave time for the end."""
        return not self.is_over and self.budget.allows(seconds + self.reserve)

    def allows_late(self, _seconds: float) -> bool:
        """Whether a training may begin without which others are useless; it may use a part of the time reserved for the end."""
        return self.budget.allows(self.reserve / 2)

    def record_wave(self, seconds: float, n: int, is_promoted: bool) -> None:
        """Records how long a wave of n trainings took."""
        self._seconds_by_kind[is_promoted] += seconds
        if not is_promoted and n:
            latest = seconds / n
            self._per_model = latest if not self._per_model else 0.5 * (latest + self._per_model)

    def n_to_explore(self, asks_model: bool) -> int:
        """Returns how many other configurations to try next; 0 if it is time for the end.

        Args:
            asks_model: Whether the meta-learner has to propose them, which takes time as well.
        """
        if self.is_over or self._config.method == "defaults":
            return 0
        n_remaining = math.inf if self.plan.trials is None else self.plan.trials
        n_remaining -= self._history.count("random", "proposed")
        if self._config.minutes is None:
            return int(min(n_remaining, self.plan.wave_size))
        proposing = self.proposal_seconds if asks_model else 0.0
        share = _SHARES_BEFORE_REPEATS[0] if self._repeats else _SHARE_OF_EXPLORING
        if not self._is_within(share, proposing):
            return 0
        n_in_wave = self.budget.total / _WAVES_OF_A_BUDGET / max(self._per_model, 1e-3)
        return int(min(n_remaining, np.clip(n_in_wave, _MIN_WAVE, self.plan.wave_size)))

    def to_promote(self, seconds: np.ndarray, is_last: bool = False) -> list[int]:
        """Returns which of the promising configurations to train on every fold next; none if there is no time.

        Trying and promoting take about as long as each other. At the end there is only promoting. One that takes too long makes
        room for those after it.

        Args:
            seconds: f64[n], how long each took on the split of the search, the most promising one first.
            is_last: Whether nothing else is tried any more.
        """
        is_first = not self._history.has_promoted
        if self.is_over and not is_first:
            return []
        if self._config.minutes is None:
            return list(range(min(self.plan.n_promoted, len(seconds))))
        seconds_available = math.inf if is_last else self._seconds_by_kind[False] - self._seconds_by_kind[True]
        max_promoted = n_workers() if is_last else _MAX_PROMOTED
        selected: list[int] = []
        for i in range(len(seconds)):
            needed = self.seconds_to_promote(float(np.sum(seconds[[*selected, i]])))
            in_time = self.allows(needed)
            if is_last and self._repeats:
                in_time &= self._is_within(_SHARES_BEFORE_REPEATS[1], needed)
            if (is_first and not selected) or (needed <= seconds_available and in_time):
                selected.append(i)
            if len(selected) == max_promoted:
                break
        return selected

    def seconds_to_promote(self, seconds: float) -> float:
        """Returns the expected seconds of training on every fold what took these seconds on the split of the search."""
        task = self._history.task
        rows = sum(len(fold.x) for fold in task.unexplored_folds) / len(task.search.x)
        at_a_time = min(n_workers(), max(len(task.unexplored_folds), 1)) if task.trains_side_by_side else 1
        return _CAUTION * rows * seconds / at_a_time

    def seconds_of_good(self) -> float:
        """Returns the mean seconds of the best configurations on the split of the search."""
        waves = [wave for wave in self._history.waves if not wave.is_of_folds and len(wave.score)]
        if not waves:
            return 0.0
        score = np.concatenate([wave.score for wave in waves])
        seconds = np.concatenate([wave.seconds for wave in waves])
        best = np.argsort(-np.nan_to_num(score, nan=-np.inf), kind="stable")[:8]
        return float(np.mean(seconds[best]))

    def measure_proposal(self, propose: Callable[[], list]) -> list:
        """Returns the proposals of a function, and records how long it took."""
        start_time = time.perf_counter()
        proposals = propose()
        self.proposal_seconds = time.perf_counter() - start_time
        return proposals
