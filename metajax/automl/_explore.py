"""The search: try configurations on one split, train the promising ones on every fold, and ask the meta-learner for others.

At any time the configurations that were trained on every fold are a model; what is left to do makes it better.
"""

import dataclasses
import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from metajax.automl import _bags as bags
from metajax.automl import _ensemble as ensemble
from metajax.automl._draw import random_encodings
from metajax.automl._metrics import best_threshold
from metajax.automl._plan import make_plan
from metajax.automl._proposing import make_proposer
from metajax.automl._recorder import Recorder
from metajax.automl._schedule import Schedule
from metajax.automl._settings import Config
from metajax.automl._task import AllowsFn, Data, EnsembleMember, Task, TrainedModel
from metajax.automl._timing import TimeBudget
from metajax.automl._waves import WaveHistory, best_first
from metajax.predictor import Trials
from metajax.run import RunDirectory
from metajax.space import Space
from metajax.types import InputError, Key, stream


class Keys(NamedTuple):
    """One random key each for the trainings, the random configurations, the proposals and the final trainings."""

    wave: jax.Array
    draw: jax.Array
    propose: jax.Array
    refit: jax.Array


def search_keys(seed: int) -> Keys:
    """Returns the keys of a search."""
    return Keys(*(stream(jax.random.key(seed), name) for name in Keys._fields))


class Selection(NamedTuple):
    """The ensemble that a search ends with.

    Attributes:
        bags: Its configurations, each trained on every fold.
        counts: i64[n], how often each was picked.
        temperatures: f64[n], by which the members of each divide their logits.
        n_candidates: Number of configurations that it was picked from.
        threshold: The probability from which a row is labeled as the second of two classes.
    """

    bags: list[bags.Bag]
    counts: np.ndarray
    temperatures: np.ndarray
    n_candidates: int
    threshold: float = 0.5

    def build(self, task: Task, refits: Sequence[Any] = ()) -> TrainedModel:
        """Returns the model: the members of all bags.

        Args:
            task: The task.
            refits: For each bag what was learned from more rows, or ``None``. It has half of the weight of the bag then, or all
                where it knows later rows than the others.
        """
        share_of_refit = 1.0 if task.is_ordered else 0.5
        members = []
        for i, (bag, count, temperature) in enumerate(zip(self.bags, self.counts, self.temperatures)):
            learned, encodings, refit = list(bag.members), bag.encodings, refits[i] if refits else None
            share = [1 / len(learned)] * len(learned)
            if refit is not None:
                learned, share = [*learned, refit], [*((1 - share_of_refit) * np.array(share)), share_of_refit]
                encodings = np.concatenate([encodings, bag.decided[None]])
            weight = count / self.counts.sum()
            members += [
                EnsembleMember(config, params, temperature, weight * own)
                for config, params, own in zip(task.space.decode(encodings), learned, share)
                if own
            ]
        return task.build_model(members, self.threshold)

    def refit(self, task: Task, data: Data | None, key: Key, allows: AllowsFn) -> list[Any]:
        """Trains the configurations on more rows, if there are any; returns what each has learned, or ``None``."""
        if data is None:
            return []
        encodings = np.stack([bag.decided for bag in self.bags]).astype(np.float32)
        stop = np.array([bag.stop.mean() for bag in self.bags])
        results = task.train(encodings, data, key, True, stop=stop, allows=allows)
        is_trained = np.isfinite(results.score) & np.isfinite(results.seconds)
        return [params if ok else None for params, ok in zip(results.params, is_trained)]

    def summary(self, space: Space) -> list[dict[str, Any]]:
        """Returns the configurations, those of the largest weights first, with their weights."""
        order = np.argsort(-self.counts, kind="stable")
        configs = space.decode(np.stack([self.bags[i].decided for i in order]))
        weights = self.counts[order] / self.counts.sum()
        return [{"weight": float(weight), "config": config} for weight, config in zip(weights, configs)]


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
    config: Config, directory: RunDirectory, task: Task, show: bool, started: float, ending: float = 0.0
) -> Recorder:
    """Sets a search up in a run directory, with the waves of an earlier process.

    Args:
        config: What to search.
        directory: The run directory.
        task: The dataset.
        show: Show progress on standard error.
        started: ``time.perf_counter()`` when this process began to read the data.
        ending: Seconds of the budget that are kept for the time after the search.
    """
    budget = TimeBudget(directory, config.minutes, started)
    history = WaveHistory(directory.path / "waves", task, search_keys(config.seed).wave)
    plan = make_plan(task, config.trials, config.minutes, config.uses_meta_learner)
    return Recorder(config, directory, history, Schedule(config, plan, history, budget, ending), show)


def explore(config: Config, recorder: Recorder) -> Exploration:
    """Runs the whole search in a run directory, up to the selection of the ensemble."""
    with ThreadPoolExecutor(1, "metajax-proposer") as proposing:
        stages = _Search(config, recorder, proposing)
        proposing.submit(
            random_encodings, recorder.history.task.space, jax.random.key(0), 32
        )  # compiles beside trainings
        stages.collect()
        stages.propose()
        stages.train_baseline()
    selection = select(stages.history)
    return Exploration(stages.history, selection, stages.default[0], stages.best_random(), stages.keys.refit)


def select(history: WaveHistory) -> Selection:
    """Picks the ensemble among the configurations that were trained on every fold, by what they predict for held-out rows.

    Raises:
        InputError: If no training has succeeded.
    """
    task, candidates = history.task, bags.bags(history)
    candidates = [bag for bag in candidates if np.isfinite(bag.score)]
    if not candidates:
        raise InputError("search: no model could be trained on every fold of the rows; the messages above say why")
    outputs = np.stack([bag.outputs for bag in candidates], axis=1)
    targets = np.stack([np.asarray(fold.y_eval) for fold in task.folds])
    weights = None if task.folds[0].weights_eval is None else np.stack([fold.weights_eval for fold in task.folds])
    picks = ensemble.pick(outputs, targets, task.metric, task.classification, weights)
    used, counts = np.unique(picks, return_counts=True)
    temperatures = ensemble.fit_temperatures(outputs[:, used], task.classification, targets, weights)
    threshold = 0.5
    if task.metric.by_label:
        mean = ensemble.mean_of_picks(outputs[:, used], counts, targets, weights)
        threshold = best_threshold(task.metric, mean, targets.ravel(), None if weights is None else weights.ravel())
    return Selection([candidates[i] for i in used], counts, temperatures, len(candidates), threshold)


class _Search:
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

    def collect(self) -> None:
        """Tries the defaults, of which the first one is a model at once, and random configurations."""
        first = 1 if self.schedule.is_short else len(self.initial)
        self._train(self._fix(self.initial[:first]), "random")
        self._promote()
        if first < len(self.initial) and not self.schedule.is_over:
            self._train(self._fix(self.initial[first:]), "random")
        while (missing := self.plan.n_initial - self.history.count("random")) > 0:
            if not self._try_random(missing):
                break

    def _try_random(self, missing: int) -> bool:
        """Tries random configurations, if there is time."""
        saved = self.history.next_saved()
        n = len(saved.asked) if saved else min(missing, self.schedule.n_to_explore(asks_model=False))
        if n <= 0 or (saved and saved.source != "random"):
            return False
        self._train(self._fix(self._random_configs(self.history.count("random"), n)), "random")
        return True

    def propose(self) -> None:
        """Tries what other datasets promise, then repeats: fit the meta-learner while models are trained, and try more."""
        warm_start = self.task.warm_start if self.config.uses_meta_learner else None
        while True:
            asking, is_first = None, warm_start is not None and not self.history.count("proposed")
            saved = self.history.upcoming("proposed")
            n = len(saved.asked) if saved else self.schedule.n_to_explore(asks_model=not is_first)
            if n and not is_first:
                asking = self._proposing.submit(self.schedule.measure_proposal, functools.partial(self.proposer.ask, n))
            self._promote()
            if not n:
                break
            if asking is not None:
                asked = asking.result()
                self._train(self._fix(np.asarray(self.space.encode(self.space.configs(asked)))), "proposed", asked)
            elif warm_start is not None:
                key = jax.random.fold_in(self.keys.propose, self.history.count("random"))
                tried = self.proposer.trials
                seconds = tried.settings.get("seconds")
                self._train(self._fix(warm_start(n, key, tried.encodings, seconds=seconds)), "proposed")
        while self._promote(is_last=True) and self.config.minutes is not None:
            pass

    def _train(self, encodings: np.ndarray, source: str, asked: list[dict[str, Any]] | None = None) -> None:
        """Trains a wave and tells the proposer how it did; ``asked`` is what the proposer had asked for."""
        wave = self.recorder.train(encodings, source, self.proposer.r2 if asked else None)
        if not len(wave.score):
            return
        if asked and len(wave.score) < len(asked):  # no time was left for some of them
            asked = None
        # A search of a number of trials is the same on every machine.
        seconds = None if self.config.minutes is None else wave.seconds
        self.proposer.tell(self.space.decode_configs(wave.encodings), wave.score, asked, seconds)

    def _promote(self, is_last: bool = False) -> bool:
        """Trains promising configurations on the other folds, if there is time; returns whether there were any."""
        saved = self.history.next_saved()
        if saved is not None:
            if saved.source != "promoted":
                return False
            chosen = saved.asked
        elif not self.task.unexplored_folds:
            return False
        else:
            promising = bags.promising(self.history)
            chosen = promising.asked[self.schedule.to_promote(promising.seconds, is_last)]
        if not len(chosen):
            return False
        self.recorder.train(chosen, "promoted", data=self.task.unexplored_folds)
        return True

    def train_baseline(self) -> None:
        """Tries as many random configurations as the search has tried in all."""
        if not self.config.baseline:
            return
        n_search = self.history.count("random", "proposed")
        while (count := self.history.count(*self._baseline_sources)) < n_search:
            saved = self.history.next_saved()
            if saved is None and not self.schedule.allows(self.schedule.seconds_of_good()):
                break
            n = len(saved.asked) if saved else min(self.plan.wave_size, n_search - count)
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
        drawn = np.concatenate([np.asarray(block) for block in configs])
        return drawn[first - size * blocks[0] :][:n]

    def _fix(self, encodings: np.ndarray) -> np.ndarray:
        """The same configurations with the choices that were decided beforehand."""
        if not self.fixed_choices:
            return encodings
        configs = [{**config, **self.fixed_choices} for config in self.space.decode(encodings)]
        return np.asarray(self.space.encode(self.space.configs(configs)))


def _fail_first(trials: Trials, n: int) -> Trials:
    """Counts the first trials, whose configurations are not random, as failed, so that none is the best random one."""
    return dataclasses.replace(trials, metric=np.concatenate([np.full(n, np.nan), trials.metric[n:]]))
