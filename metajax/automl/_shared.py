"""A search whose trials several processes train: this process is one of them, and makes the model of the best ones."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from metajax.automl import _bags as bags
from metajax.automl._explore import Exploration, Stages
from metajax.automl._plan import SearchPlan
from metajax.automl._recorder import Recorder
from metajax.automl._settings import Config
from metajax.automl._task import Task
from metajax.automl._training import AllowsFn, Data
from metajax.automl._wave_files import Wave
from metajax.automl._waves import Stopped, best_first
from metajax.run import Fingerprint

_POLL_SECONDS = 1.0
"""The time between two looks at the trials, while only others train."""


class SharedTrials(Protocol):
    """Trials that several processes train for one search."""

    def begin(self, config: Config, task: Task, identity: Fingerprint, plan: SearchPlan) -> list[str]:
        """Creates the trials, or joins those that another process created for the same search.

        Args:
            config: The settings of the search.
            task: The dataset.
            identity: The fingerprint of the data and the model types.
            plan: How many configurations are tried.

        Returns:
            Lines for people.

        Raises:
            InputError: If the trials there are of another search.
        """
        ...

    def train_next(self, allows: AllowsFn | None, is_stopped: Callable[[], bool]) -> int:
        """Trains the next trials in this process; returns their number, 0 if none waits.

        Args:
            allows: Whether there is time for a training, as in ``TrainFn``.
            is_stopped: Whether this process was asked to stop; what it trains is given back then.
        """
        ...

    def status(self) -> str:
        """Returns how far the trials are, in words."""
        ...

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to train."""
        ...

    def results(self) -> list[Wave]:
        """Returns what has been trained, each configuration once and without what it has learned.

        The first configuration, which is the default, is left out.
        """
        ...

    def finish(self) -> None:
        """Tells the other processes that no more trials are needed."""
        ...


def explore_shared(config: Config, recorder: Recorder, shared: SharedTrials) -> Exploration:
    """Runs a search whose trials several processes train, up to the selection of the ensemble.

    Args:
        config: What to search.
        recorder: The waves of this process.
        shared: The trials.

    Returns:
        The result of the search.

    Raises:
        Stopped: If this process was asked to stop.
    """
    with ThreadPoolExecutor(1, "metajax-proposer") as proposing:
        stages = _SharedStages(config, recorder, proposing, shared)
        stages.run()
    return stages.outcome()


class _SharedStages(Stages):
    """The stages of a search with shared trials.

    First this process trains the default on every fold, so that there is a model early. Then it trains trials like every other
    worker. What has been learned in a trial stays in its process, so that the best configurations are trained again here, on
    the split of the search and on every fold.
    """

    def __init__(self, config: Config, recorder: Recorder, proposing: ThreadPoolExecutor, shared: SharedTrials):
        super().__init__(config, recorder, proposing)
        self._shared = shared

    def collect(self) -> None:
        """Trains the default, then trials until the trials or the time are over, and reads what all have found."""
        self._train(self.initial[:1], "random")
        self._promote()
        self._work()
        self._shared.finish()
        for wave in self._shared.results():
            self.recorder.add(wave)

    def _work(self) -> None:
        """Trains trials, and waits for those of others."""
        said = time.monotonic()
        while not self._shared.is_settled and self.schedule.n_to_explore(asks_model=False) > 0:
            n_trained = self._shared.train_next(self.schedule.allows, self.recorder.is_stopped)
            if self.recorder.is_stopped():
                raise Stopped
            if time.monotonic() - said > 10 * _POLL_SECONDS:
                said = time.monotonic()
                self.recorder.say(f"{self.schedule.budget.seconds:.0f} s: {self._shared.status()}")
            if not n_trained and not self._shared.is_settled:
                time.sleep(_POLL_SECONDS)

    def propose(self) -> None:
        """Trains the best configurations on every fold. The workers have proposed and tried them."""
        n_rounds, plan = 0, self.schedule.plan
        max_rounds = None if self.config.minutes is not None else max(1, (plan.trials or 0) // plan.wave_size)
        while (max_rounds is None or n_rounds < max_rounds) and self._promote(is_last=True):
            n_rounds += 1

    def _promotion_folds(self) -> list[Data]:
        """All folds: what was learned on the split of the search stayed in the process that trained it."""
        return self.task.folds

    def _promising(self) -> tuple[np.ndarray, np.ndarray]:
        """What was not trained on every fold yet, the most promising first: encodings f32[n, width] and seconds f64[n].

        The default comes first, then the best of the defaults and the best of all in turn.
        """
        waves = [wave for wave in self.history.waves if not wave.is_of_folds]
        promoted = {row.tobytes() for w in self.history.waves if w.source == "promoted" for row in w.requested}
        column = lambda name: np.concatenate([getattr(wave, name) for wave in waves])
        requested, score, seconds = column("requested"), column("score"), column("seconds")
        order = [i for i in best_first(score, column("loss")) if np.isfinite(score[i])]
        is_default = bags.are_defaults(requested, self.history)
        defaults = [i for i in order if is_default[i]]
        in_turn = [i for pair in zip(defaults, order) for i in pair]
        rows, known = [], set(promoted)
        for i in [0, *in_turn, *order]:
            if np.isfinite(score[i]) and requested[i].tobytes() not in known:
                known.add(requested[i].tobytes())
                rows.append(i)
        return requested[rows], seconds[rows]

    def train_baseline(self) -> None:
        """Does nothing: the random configurations among the trials are the baseline."""

    def best_random(self) -> np.ndarray | None:
        """The best of the random configurations, f32[width]."""
        waves = [wave for wave in self.history.waves if wave.source == "random"]
        column = lambda name: np.concatenate([getattr(wave, name) for wave in waves])
        requested, score = column("requested"), column("score")
        is_random = ~bags.are_defaults(requested, self.history) & np.isfinite(score)
        if not is_random.any():
            return None
        order = best_first(np.where(is_random, score, np.nan), column("loss"))
        return column("encodings")[order[0]]
