"""The search: collect, fit the meta-learner, search through it, train, and repeat until the models or the time are spent."""

import dataclasses
import sys
from typing import Any, NamedTuple

import jax
import numpy as np

from metajax import predictor, search
from metajax.automl import _ensemble as ensemble
from metajax.automl import _finalists as finalists
from metajax.automl._plan import make_plan
from metajax.automl._recorder import Recorder
from metajax.automl._schedule import Schedule
from metajax.automl._settings import Config
from metajax.automl._task import Task
from metajax.automl._timing import TimeBudget
from metajax.automl._waves import WaveHistory
from metajax.predictor import Trials
from metajax.run import RunDirectory
from metajax.space import Space
from metajax.types import Key, stream

SPECS = (predictor.ensemble(), predictor.kernel(tuning_rows=128))
"""The meta-learners that cross-validation chooses between. The kernel's length scales are learned on 128 trainings: the cost
grows with the cube of that number, and more trainings tell little more."""


class Keys(NamedTuple):
    """One random key each for the trainings, the random configurations, the proposals and the final trainings."""

    wave: jax.Array
    draw: jax.Array
    propose: jax.Array
    refit: jax.Array


def search_keys(seed: int) -> Keys:
    """Returns the keys of a search."""
    return Keys(*(stream(jax.random.key(seed), name) for name in Keys._fields))


class Members(NamedTuple):
    """The members of the final model, and what they were selected from.

    Attributes:
        encodings: f32[ENSEMBLE_SIZE, width], with repetition.
        temperatures: f64[ENSEMBLE_SIZE], by which the members divide their logits.
        n_finalists: Number of configurations they were selected from.
        n_folds: Number of splits of the rows on which these were cross-validated; 0 if only the rows of the search were used.
    """

    encodings: np.ndarray
    temperatures: np.ndarray
    n_finalists: int
    n_folds: int


class Exploration(NamedTuple):
    """The result of a search, before the final model is trained.

    Attributes:
        history: Everything that was trained.
        choice: The choice of the meta-learner, by everything that was drawn or proposed.
        members: The members of the final model.
        default: f32[width], the default configuration.
        best_random: f32[width], the best of as many random configurations, or ``None`` without a baseline.
        key: Random key of the final trainings.
    """

    history: WaveHistory
    choice: predictor.Choice
    members: Members
    default: np.ndarray
    best_random: np.ndarray | None
    key: jax.Array


def start(config: Config, directory: RunDirectory, task: Task, show: bool, started: float) -> Recorder:
    """Sets a search up in a run directory, with the waves of an earlier process.

    Args:
        config: What to search.
        directory: The run directory.
        task: The dataset.
        show: Show progress on standard error.
        started: ``time.perf_counter()`` when this process began to read the data.
    """
    budget = TimeBudget(directory, config.minutes, started)
    history = WaveHistory(directory.path / "waves", task, search_keys(config.seed).wave)
    plan = make_plan(task, config.trials, config.minutes, config.uses_meta_learner)
    return Recorder(config, directory, history, Schedule(config, plan, history, budget), show)


def explore(config: Config, recorder: Recorder) -> Exploration:
    """Runs the whole search in a run directory, up to the selection of the members of the final model."""
    stages = _Search(config, recorder)
    stages.collect()
    stages.propose()
    choice = stages.choose_meta_learner()
    members = stages.select_members(choice)
    stages.train_baseline()
    return Exploration(stages.history, choice, members, stages.default[0], stages.best_random(), stages.keys.refit)


def make_proposer(config: Config, space: Space, key: Key, padded_size: int) -> search.AskTell:
    """Returns who proposes what to train: the meta-learner in waves, chance, or Optuna."""
    if config.method == "random":
        return search.RandomProposer(space, key=key)
    if config.method == "optuna":
        return search.OptunaProposer(space, key=key)
    strategy = search.DiverseBatch()
    return search.Proposer(space, SPECS, strategy, n_initial=1, fine_tune=True, padded_size=padded_size, key=key)


class _Search:
    """The stages of a search, in the order in which ``explore`` runs them."""

    def __init__(self, config: Config, recorder: Recorder):
        self.config, self.recorder = config, recorder
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

    def collect(self) -> None:
        """Trains the initial configurations and random ones, which the random baseline shares."""
        n_initial = self.plan.n_initial
        first = [self._fix(self.initial), self._fix(self._random_configs(0)[len(self.initial) : n_initial])]
        self._train(np.concatenate(first), "random")
        while (count := self.history.count()) < n_initial:
            self._train(self._fix(self._random_configs(count)), "random")

    def propose(self) -> None:
        """Trains what other datasets promise, then repeats: fit the meta-learner, search through it, train."""
        limit = sys.maxsize if self.plan.trials is None else self.plan.trials
        reserved = self.plan.n_finalists * self.plan.n_folds
        while (left := limit - (count := self.history.count()) - reserved) >= self.plan.wave_size:
            is_first = self.config.uses_meta_learner and not self.history.count("proposed")
            warm_start = self.task.warm_start if is_first else None
            n = self.schedule.next_wave_size(left, asks_model=warm_start is None)
            if not n:
                break
            if warm_start is not None:
                key = jax.random.fold_in(self.keys.propose, count)
                self._train(self._fix(warm_start(n, key, self.proposer.trials.encodings)), "proposed")
                continue
            with self.schedule.durations.measure_proposal(self.schedule.padded_size(0)):
                asked = self.proposer.ask(n)
            encodings = np.asarray(self.space.encode(self.space.configs(asked)))
            self._train(self._fix(encodings), "proposed", asked)

    def _train(self, encodings: np.ndarray, source: str, asked: list[dict[str, Any]] | None = None) -> None:
        """Trains a wave and tells the proposer how it did; ``asked`` is what the proposer had asked for."""
        wave = self.recorder.train(encodings, source, self.proposer.r2 if asked else None)
        self.proposer.tell(self.space.decode_configs(wave.encodings), wave.score, asked)

    def choose_meta_learner(self) -> predictor.Choice:
        """Chooses the meta-learner's model by cross-validation on everything that was drawn or proposed."""
        trials, key = self.history.trials("random", "proposed"), stream(self.keys.propose, "choice")
        return predictor.choose(trials, SPECS, "rank", key, padded_size=self.plan.padded_size)

    def select_members(self, choice: predictor.Choice) -> Members:
        """Cross-validates the finalists, because one validation set selects the lucky, and selects the members among them.

        Where no time is left for it, the members are selected by what the best models of every wave predicted for the rows
        that they were evaluated on.
        """
        trials = self.history.trials("random", "proposed")
        smoothing = choice if self.config.uses_meta_learner and not self.plan.is_small else None
        splits = self.task.folds[: self.schedule.n_finalist_folds()]
        if splits:
            default = self._fix(self.default)[0]
            candidates = finalists.with_default(trials, default, self.plan.n_finalists, smoothing)
            flat = self.recorder.train(candidates, "final", data=splits).outputs
            outputs = flat.reshape(len(splits), len(candidates), *flat.shape[1:])
            targets = [split.y_eval for split in splits]
        else:
            index, kept = self.history.outputs("random", "proposed")
            candidates, order = finalists.with_outputs(trials, index, self.plan.n_finalists, smoothing)
            outputs, targets = kept[None, order], [self.task.search.y_eval[: kept.shape[1]]]
        targets = np.stack([np.asarray(y) for y in targets])
        picks = ensemble.select_members(outputs, targets, self.task.metric, self.task.classification)
        temperatures = ensemble.fit_temperatures(outputs, self.task.classification, targets)
        return Members(candidates[picks], temperatures[picks], len(candidates), len(splits))

    def train_baseline(self) -> None:
        """Trains as many random configurations as the search has trained in all."""
        if not self.config.baseline:
            return
        n_search = self.history.count()
        while (count := self.history.count(*self._baseline_sources)) < n_search:
            if not self.schedule.allows_baseline_wave():
                break
            self.recorder.train(self._random_configs(count), "baseline")

    def best_random(self) -> np.ndarray | None:
        """The best configuration of the random baseline, f32[width]."""
        sources = self._baseline_sources
        n_initial = len(self.initial)
        if not self.config.baseline or self.history.count(*sources) <= n_initial:
            return None
        return finalists.best(_fail_first(self.history.trials(*sources), n_initial), 1)[0]

    @property
    def _baseline_sources(self) -> tuple[str, ...]:
        """The waves of the baseline; it shares the first ones with a search unless a part of those was fixed."""
        return ("baseline",) if self.fixed_choices else ("random", "baseline")

    def _random_configs(self, count: int) -> np.ndarray:
        """The rest of the wave of random configurations of which ``count`` configurations are trained already."""
        number, n_trained = divmod(count, self.plan.wave_size)
        configs = self.space.sample(jax.random.fold_in(self.keys.draw, number), self.plan.wave_size)
        return np.asarray(self.space.encode(configs))[n_trained:]

    def _fix(self, encodings: np.ndarray) -> np.ndarray:
        """The same configurations with the choices that were decided beforehand."""
        if not self.fixed_choices:
            return encodings
        configs = [{**config, **self.fixed_choices} for config in self.space.decode(encodings)]
        return np.asarray(self.space.encode(self.space.configs(configs)))


def _fail_first(trials: Trials, n: int) -> Trials:
    """Counts the first trials, whose configurations are not random, as failed, so that none is the best random one."""
    return dataclasses.replace(trials, metric=np.concatenate([np.full(n, np.nan), trials.metric[n:]]))
