"""The search: try configurations on one split, train the promising ones on every fold, and ask the meta-learner for others.

At any time the configurations that were trained on every fold are a model; what is left to do makes it better.
"""

import dataclasses
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from metajax.automl import _bags as bags
from metajax.automl._draw import random_encodings
from metajax.automl._plan import make_plan
from metajax.automl._proposing import make_proposer
from metajax.automl._recorder import Recorder
from metajax.automl._schedule import Schedule
from metajax.automl._selection import Selection, select
from metajax.automl._settings import Config
from metajax.automl._task import Task
from metajax.automl._timing import TimeBudget
from metajax.automl._training import Data
from metajax.automl._waves import WaveHistory, best_first
from metajax.predictor import Trials
from metajax.run import RunDirectory
from metajax.types import stream

_MAX_REPEATS = 2
"""Other ways to split the rows on which the ensemble is trained. Of the part of the error that is due to the rows that a member
has seen, 5, 10 and 15 members leave 1/5, 1/10 and 1/15."""


class Keys(NamedTuple):
    """One random key each for the trainings, the random configurations, the proposals and the final trainings."""

    wave: jax.Array
    draw: jax.Array
    propose: jax.Array
    refit: jax.Array


def search_keys(seed: int) -> Keys:
    """Returns the keys of a search."""
    return Keys(*(stream(jax.random.key(seed), name) for name in Keys._fields))


class Exploration(NamedTuple):
    """The result of a search.

    Attributes:
        history: Everything that was trained.
        selection: The ensemble.
        default: f32[width], the default configuration.
        best_random: f32[width], the best of the random configurations, or ``None`` where there are none.
        key: Random key of further trainings.
    """

    history: WaveHistory
    selection: Selection
    default: np.ndarray
    best_random: np.ndarray | None
    key: jax.Array


def start(
    config: Config,
    directory: RunDirectory,
    task: Task,
    show: bool,
    start_time: float,
    ending: float = 0.0,
    bar: bool = True,
) -> Recorder:
    """Sets a search up in a run directory, with the waves of an earlier process.

    Args:
        config: What to search.
        directory: The run directory.
        task: The dataset.
        show: Show progress on standard error.
        start_time: ``time.perf_counter()`` when this process began to read the data.
        ending: Seconds of the budget that are kept for the time after the search.
        bar: Show a progress bar where the number of trials is known.
    """
    budget = TimeBudget(directory, config.minutes, start_time)
    history = WaveHistory(directory.path / "waves", task, search_keys(config.seed).wave)
    plan = make_plan(task, config.trials, config.minutes, config.uses_meta_learner)
    return Recorder(config, directory, history, Schedule(config, plan, history, budget, ending), show, bar)


def explore(config: Config, recorder: Recorder) -> Exploration:
    """Runs the whole search in a run directory, up to the selection of the ensemble."""
    with ThreadPoolExecutor(1, "metajax-proposer") as proposing:
        stages = Stages(config, recorder, proposing)
        proposing.submit(
            random_encodings, recorder.history.task.space, jax.random.key(0), 32
        )  # compiles beside trainings
        stages.run()
    return stages.outcome()


class Stages:
    """The stages of a search, in the order in which ``explore`` runs them."""

    def __init__(self, config: Config, recorder: Recorder, proposing: ThreadPoolExecutor):
        self.config, self.recorder, self._proposing = config, recorder, proposing
        self.schedule, self.plan, self.history = recorder.schedule, recorder.schedule.plan, recorder.history
        self.task: Task = self.history.task
        self.space, self.keys = self.task.space, search_keys(config.seed)
        self.proposer = make_proposer(config, self.space, self.keys.propose, self.plan.padded_size)
        decide = self.task.fixed_choices
        self.fixed_choices: dict[str, Any] = decide(config.method, recorder.directory.path) if decide else {}
        self.default = np.asarray(self.space.encode(self.space.configs([self.task.default])))
        self.initial = self.default
        if self.task.initial:
            self.initial = np.asarray(self.space.encode(self.space.configs(self.task.initial)))

    def run(self) -> None:
        """Runs all stages."""
        self.collect()
        self.propose()
        self.repeat()
        self.train_baseline()

    def outcome(self) -> Exploration:
        """Returns what the stages have found."""
        return Exploration(self.history, select(self.history), self.default[0], self.best_random(), self.keys.refit)

    def collect(self) -> None:
        """Tries the defaults and random configurations. The first default is trained on every fold at once."""
        n_first = 1 if self.schedule.is_short else len(self.initial)
        self._train(self._fix(self.initial[:n_first]), "random")
        self._promote()
        if n_first < len(self.initial) and not self.schedule.is_over:
            self._train(self._fix(self.initial[n_first:]), "random")
        while (n_missing := self.plan.n_initial - self.history.count("random")) > 0:
            if not self._try_random(n_missing):
                break

    def _try_random(self, n_missing: int) -> bool:
        """Tries random configurations, if there is time."""
        saved = self.history.next_saved()
        n = len(saved.encodings) if saved else min(n_missing, self.schedule.n_to_explore(asks_model=False))
        if n <= 0 or (saved and saved.source != "random"):
            return False
        self._train(self._fix(self._random_configs(self.history.count("random"), n)), "random")
        return True

    def propose(self) -> None:
        """Tries what the prior ranks first, then repeats: fit the meta-learner while models are trained, and try more."""
        warm_start = self.task.warm_start if self.config.uses_meta_learner else None
        while True:
            asking, is_first = None, warm_start is not None and not self.history.count("proposed")
            if (following := self.history.next_saved()) is not None and following.source == "repeated":
                break
            saved = self.history.upcoming("proposed")
            n = len(saved.encodings) if saved else self.schedule.n_to_explore(asks_model=not is_first)
            if n and not is_first:
                asking = self._proposing.submit(self.schedule.measure_proposal, functools.partial(self.proposer.ask, n))
            self._promote()
            if not n:
                break
            if asking is not None:
                proposals = asking.result()
                self._train(
                    self._fix(np.asarray(self.space.encode(self.space.configs(proposals)))), "proposed", proposals
                )
            elif warm_start is not None:
                key = jax.random.fold_in(self.keys.propose, self.history.count("random"))
                trials = self.proposer.trials
                seconds = trials.settings.get("seconds")
                self._train(self._fix(warm_start(n, key, trials.encodings, seconds=seconds)), "proposed")
        goes_on = self.config.minutes is not None or self.config.method == "defaults"
        while self._promote(is_last=True) and goes_on:
            pass

    def _train(self, encodings: np.ndarray, source: str, proposals: list[dict[str, Any]] | None = None) -> None:
        """Trains a wave and tells the proposer how it did; ``proposals`` is what the proposer had asked for."""
        wave = self.recorder.train(encodings, source, self.proposer.r2 if proposals else None)
        if not len(wave.score):
            return
        if proposals and len(wave.score) < len(proposals):  # there was no time to train some of them
            proposals = None
        # A search of a number of trials is the same on every machine.
        seconds = None if self.config.minutes is None else wave.seconds
        self.proposer.tell(self.space.decode_configs(wave.encodings), wave.score, proposals, seconds)

    def _promote(self, is_last: bool = False) -> bool:
        """Trains promising configurations on folds, if there is time; returns whether there were any."""
        folds, saved = self._promotion_folds(), self.history.next_saved()
        if saved is not None:
            if saved.source != "promoted":
                return False
            selected = saved.encodings
        elif not folds:
            return False
        else:
            encodings, seconds = self._promising()
            selected = encodings[self.schedule.to_promote(seconds, is_last)]
        if not len(selected):
            return False
        self.recorder.train(selected, "promoted", data=folds)
        return True

    def _promotion_folds(self) -> list[Data]:
        """The folds that promising configurations are trained on: those on which they were not tried."""
        return self.task.unexplored_folds

    def _promising(self) -> tuple[np.ndarray, np.ndarray]:
        """What may be promoted, the most promising first: encodings f32[n, width], and seconds f64[n] of their trainings."""
        candidates = bags.promotion_candidates(self.history)
        return candidates.encodings, candidates.seconds

    def repeat(self) -> None:
        """Trains the configurations of the ensemble on other folds of the same rows, while there is time.

        Each of them has more members then, whose mean varies less (Breiman 1996).
        """
        if self.task.more_folds is None or self.config.minutes is None:
            return
        selected = None
        for number in range(1, _MAX_REPEATS + 1):
            saved = self.history.next_saved()
            if saved is not None and saved.source != "repeated":
                return
            if saved is None and (self.schedule.is_over or not self.schedule.allows(0.0)):
                return
            if saved is not None:
                selected = saved.encodings
            elif selected is None:  # What is repeated changes no prediction of held-out rows, and so no choice.
                selection = select(self.history)
                order = np.argsort(-selection.counts, kind="stable")
                selected = np.stack([selection.bags[i].requested for i in order])
            first_split = 1 + number * len(self.task.folds)
            self.recorder.train(selected, "repeated", data=self.task.more_folds(number), first_split=first_split)

    def train_baseline(self) -> None:
        """Tries as many random configurations as the search has tried in all."""
        if not self.config.baseline:
            return
        n_search = self.history.count("random", "proposed")
        while (count := self.history.count(*self._baseline_sources)) < n_search:
            saved = self.history.next_saved()
            if saved is None and not self.schedule.allows(self.schedule.seconds_of_good()):
                break
            n = len(saved.encodings) if saved else min(self.plan.wave_size, n_search - count)
            self.recorder.train(self._random_configs(count, n), "baseline")

    def best_random(self) -> np.ndarray | None:
        """The best of the random configurations, f32[width]."""
        sources, n_initial = self._baseline_sources, len(self.initial) * (not self.fixed_choices)
        if self.history.count(*sources) <= n_initial:
            return None
        trials = _fail_first(self.history.trials(*sources), n_initial)
        return trials.encodings[best_first(trials.metric, trials.settings["loss"])[0]]

    @property
    def _baseline_sources(self) -> tuple[str, ...]:
        """The waves of the baseline; it shares the first ones with a search unless a part of those was fixed."""
        return ("baseline",) if self.fixed_choices else ("random", "baseline")

    def _random_configs(self, first: int, n: int) -> np.ndarray:
        """The random configurations from this number on."""
        size = self.plan.wave_size
        blocks = range(first // size, (first + n - 1) // size + 1)
        configs = [self.space.encode(self.space.sample(jax.random.fold_in(self.keys.draw, b), size)) for b in blocks]
        encodings = np.concatenate([np.asarray(block) for block in configs])
        return encodings[first - size * blocks[0] :][:n]

    def _fix(self, encodings: np.ndarray) -> np.ndarray:
        """The same configurations with the choices that were decided beforehand."""
        if not self.fixed_choices:
            return encodings
        configs = [{**config, **self.fixed_choices} for config in self.space.decode(encodings)]
        return np.asarray(self.space.encode(self.space.configs(configs)))


def _fail_first(trials: Trials, n: int) -> Trials:
    """Counts the first trials, whose configurations are not random, as failed, so that none is the best random one."""
    return dataclasses.replace(trials, metric=np.concatenate([np.full(n, np.nan), trials.metric[n:]]))
