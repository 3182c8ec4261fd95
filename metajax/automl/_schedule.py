"""How many models a search trains next, given its plan, the time that is left and the time that everything takes."""

import numpy as np

from metajax.automl._ensemble import ENSEMBLE_SIZE
from metajax.automl._plan import SearchPlan
from metajax.automl._settings import Config
from metajax.automl._task import GROUP_SIZE
from metajax.automl._timing import Durations, TimeBudget
from metajax.automl._waves import WaveHistory
from metajax.space._rows import power_of_two

REPORT_SECONDS = 3.0
"""Seconds that drawing the report takes."""
# The first proposals are larger models than the random ones: their expected training time is scaled by this factor.
_FIRST_PROPOSAL_SLOWDOWN = 2.0
# One proposal may be for this many waves, where training is much faster than the meta-learner.
_WAVES_PER_PROPOSAL = (4, 2)
# What takes less than this share of the time budget is always done.
_NEGLIGIBLE_SHARE = 0.05


class Schedule:
    """Answers how many models to train next.

    It knows the plan (how many models), the time budget (how long) and the measured durations (how fast), and decides nothing
    else. Where an earlier process has saved the next wave, the answer is the size of that wave, so that a resumed search
    repeats the uninterrupted one whatever its clock says.

    Attributes:
        plan: How many models are trained at each stage.
        budget: The time budget.
        durations: How long waves and proposals have taken.
    """

    def __init__(self, config: Config, plan: SearchPlan, history: WaveHistory, budget: TimeBudget):
        self.plan, self.budget, self.durations = plan, budget, Durations()
        self._config, self._history = config, history

    def next_wave_size(self, max_models: int, asks_model: bool) -> int:
        """Returns the number of models of the next wave: several waves, one wave, a part of one, or 0 to stop.

        Several waves are allowed where training has had less than half of the time: small models of a small table train
        faster than the meta-learner proposes. A part of a wave is allowed where it trains longer than the meta-learner takes.

        Args:
            max_models: The number of models that are left by the plan.
            asks_model: Whether the meta-learner proposes the wave, which takes time as well.
        """
        saved = self._history.next_saved()
        if saved is not None:
            return saved.size if saved.source == "proposed" else 0
        proposing = self.durations.proposal_seconds(self.padded_size(0)) if asks_model else 0.0
        wave = self.plan.wave_size
        surplus = self.budget.seconds + proposing - 2 * self.durations.training
        has_budget = asks_model and self._config.minutes is not None
        larger = [n * wave for n in _WAVES_PER_PROPOSAL if has_budget and n * self.wave_seconds <= surplus]
        smaller = [
            n for n in (wave // 2, GROUP_SIZE) if GROUP_SIZE <= n < wave and n / wave * self.wave_seconds >= proposing
        ]
        sizes = [*larger, wave, *smaller]
        fits = lambda n: n <= max_models and self.budget.allows(proposing + self.seconds_to_finish(n))
        return next((n for n in sizes if fits(n)), 0)

    def seconds_to_finish(self, n_models: int) -> float:
        """Returns the seconds that the rest of the search takes if that number of models is trained next.

        The rest is those models, the finalists on one split if that costs little, the random baseline, and the end.
        """
        finalists = self._finalist_seconds(1)
        waves = n_models / self.plan.wave_size
        if self._config.baseline:
            waves += waves + (self._history.count() - self.plan.n_initial) / self.plan.wave_size
        seconds = waves * self.wave_seconds + (finalists if self.is_negligible(finalists) else 0.0)
        seconds += self.durations.compilation
        return seconds + self.seconds_after_last_wave(n_models)

    def is_negligible(self, seconds: float) -> bool:
        """Whether this is so small a share of the budget that it is always set aside."""
        return seconds <= _NEGLIGIBLE_SHARE * self.budget.total

    @property
    def wave_seconds(self) -> float:
        """Expected seconds of a whole wave."""
        proposes_first = self._config.uses_meta_learner and not self._history.count("proposed")
        return (_FIRST_PROPOSAL_SLOWDOWN if proposes_first else 1.0) * self.durations.slowest_wave

    def _finalist_seconds(self, n_folds: int) -> float:
        """Expected seconds of training the finalists on this number of splits."""
        return min(n_folds, len(self._history.task.folds)) * self._seconds_of_best(self.plan.n_finalists)

    def _seconds_of_best(self, n: int) -> float:
        """Expected seconds of training the n best models so far again.

        Model types differ in their times by orders of magnitude, so that the mean of a wave would not do.
        """
        waves = self._history.waves
        score = np.concatenate([wave.score for wave in waves])
        seconds = np.concatenate([wave.seconds for wave in waves])
        best = np.argsort(-np.nan_to_num(score, nan=-np.inf), kind="stable")[:n]
        return n * float(np.mean(seconds[best]))

    def seconds_after_last_wave(self, n_more: int = 0) -> float:
        """Returns the seconds from the last wave to the end: the meta-learner's last fit with these additional trials, the
        final trainings, and the report."""
        return self.durations.proposal_seconds(self.padded_size(n_more)) + self.refit_seconds()

    def refit_seconds(self) -> float:
        """Returns the seconds of the final trainings and the report.

        The default configuration is among the final trainings if the task says how often, or if that costs little.
        """
        refit = self._seconds_of_best(ENSEMBLE_SIZE) * self._row_ratio
        default = self._default_seconds if self._reserves_default else 0.0
        return (1 + self._config.baseline) * refit + default + REPORT_SECONDS

    def allows_default(self) -> bool:
        """Whether there is time to train the default configuration."""
        return self._reserves_default or self.budget.allows(self._default_seconds + REPORT_SECONDS)

    @property
    def _reserves_default(self) -> bool:
        """Whether the time for the default configuration is set aside from the start."""
        return self._history.task.default_members is not None or self.is_negligible(self._default_seconds)

    @property
    def _default_seconds(self) -> float:
        """Expected seconds of training the default configuration, which was the first of all."""
        n_members = self._history.task.default_members or ENSEMBLE_SIZE
        return n_members * float(self._history.waves[0].seconds[0]) * self._row_ratio

    @property
    def _row_ratio(self) -> float:
        """The rows of the final model by those of the search."""
        task = self._history.task
        return len(task.final.x) / len(task.search.x)

    def allows_baseline_wave(self) -> bool:
        """Whether there is time for another wave of the random baseline, or an earlier process has trained it."""
        return self._history.next_saved() is not None or self.budget.allows(self.wave_seconds + self.refit_seconds())

    def n_finalist_folds(self) -> int:
        """Returns on how many splits of the rows the finalists are cross-validated: all, one, or 0 if time is short."""
        saved = self._history.next_saved()
        if saved is not None:  # An earlier process decided it, by another clock.
            return saved.size // self.plan.n_finalists if saved.source == "final" else 0
        fits = lambda n: self.budget.allows(self._finalist_seconds(n) + self.refit_seconds())
        return next((n for n in (self.plan.n_folds, 1) if fits(n)), 0)

    def padded_size(self, n_more: int) -> int:
        """Returns the number of trials that the meta-learner's programs are compiled for, with these additional trials."""
        return power_of_two(self._history.count("random", "proposed") + n_more, self.plan.padded_size)
