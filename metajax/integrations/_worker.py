"""One process that trains trials of a study."""

import os
import secrets
import socket
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

from metajax.automl import Task
from metajax.automl._explore import search_keys
from metajax.automl._training import GROUP_SIZE, AllowsFn
from metajax.automl.models._threads import n_workers
from metajax.integrations._storages import explained
from metajax.integrations._study_record import FINISHED, Record
from metajax.integrations._study_results import StudyResults, score_of, tell
from metajax.integrations._trial_queue import ENTRY, SOURCE, Heartbeat, TrialQueue
from metajax.integrations.optuna import MetaLearnerSampler
from metajax.space import Space, interop
from metajax.space._optuna import within
from metajax.types import stream

_GRACE = 4.0
"""A trial is given to another worker after this many times the seconds between two heartbeats."""


class Worker:
    """Trains trials of a study in this process.

    Args:
        study: The study.
        record: What the study says of its search.
        task: The dataset.
        url: The URL of the storage, for messages.

    Attributes:
        n_trained: The number of trials that this worker has told.
    """

    def __init__(self, study: optuna.Study, record: Record, task: Task, url: str):
        token = secrets.token_hex(3)
        self.name = f"{socket.gethostname()}-{os.getpid()}-{token}"
        self._study, self._record, self._task, self._url = study, record, task, url
        study.sampler = _sampler(record, task.space, int(token, 16))
        self._queue = TrialQueue(
            study, _GRACE * record.heartbeat_seconds, record.total, self.name, _attributes_of_open(record)
        )
        self._results = StudyResults(task.space)
        self._key = stream(jax.random.key(record.config["seed"]), "workers")
        self.n_trained = 0

    def fill(self) -> None:
        """Adds the configurations that the study begins with, if they have no trials yet."""
        self._queue.fill(first_entries(self._record, self._task))

    @property
    def is_settled(self) -> bool:
        """Whether all configurations of the study are tried."""
        with explained(self._url):
            return self._queue.is_settled

    @property
    def is_finished(self) -> bool:
        """Whether the search needs no more trials."""
        with explained(self._url):
            return bool(self._study.user_attrs.get(FINISHED)) or self._queue.is_settled

    def train_next(self, allows: AllowsFn | None, is_stopped: Callable[[], bool]) -> int:
        """Trains as many trials as this process has cores; returns how many were told. See ``automl.search``."""
        goes_on = lambda seconds: not is_stopped() and (allows is None or allows(seconds))
        with Heartbeat(self._study._storage, self._record.heartbeat_seconds) as heartbeat:
            with explained(self._url):
                self._queue.recover()
                trials, configs = self._take(n_workers(), heartbeat)
                past_curves = self._results.curves(self._queue.done()) if trials else None
            if not trials:
                return 0
            space = self._task.space
            requested = np.asarray(space.encode(space.configs(configs)), np.float32)
            key = jax.random.fold_in(self._key, trials[0].number)
            results = self._task.train(requested, self._task.search, key, allows=goes_on, past_curves=past_curves)
            with explained(self._url):
                n_told = 0
                for row, trial in enumerate(trials):
                    if is_stopped() or np.isnan(results.seconds[row]):
                        self._queue.give_back(trial)
                    else:
                        n_told += tell(self._study, trial, space, requested, results, row)
                        self._queue.release(trial)
                    heartbeat.discard(trial._trial_id)
        self.n_trained += n_told
        return n_told

    def _take(self, n: int, heartbeat: Heartbeat) -> tuple[list[optuna.Trial], list[dict[str, Any]]]:
        """Up to n trials that wait, and their configurations."""
        trials, configs = [], []
        while len(trials) < n and (trial := self._queue.take()) is not None:
            heartbeat.add(trial._trial_id)
            trial.set_user_attr("worker", self.name)
            configs.append(interop.suggest(self._task.space, trial))
            trials.append(trial)
        return trials, configs

    def results(self) -> list[Any]:
        """Returns what all workers have trained, as waves."""
        with explained(self._url):
            return self._results.waves(self._queue.done())

    def finish(self) -> None:
        """Tells the workers that no more trials are needed."""
        with explained(self._url):
            self._study.set_user_attr(FINISHED, True)

    def status(self) -> str:
        """Returns how many configurations were tried by how many workers, and how good the best one is."""
        with explained(self._url):
            done, trials = self._queue.done(), self._queue.trials()
        names = {
            t.user_attrs.get("worker", "") for t in trials if t.state == TrialState.RUNNING and ENTRY in t.user_attrs
        }
        scores = [score for score in map(score_of, done) if np.isfinite(score)]
        total = "" if self._record.total is None else f" of {self._record.total}"
        training = "1 worker is training" if len(names) == 1 else f"{len(names)} workers are training"
        best = f", best {max(scores):.4f}" if scores else ""
        return f"{len(done)}{total} configurations tried, {training}{best}"


def _sampler(record: Record, space: Space, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler of a worker, whose seed is its own."""
    method = record.config["method"]
    if method == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if method == "metalearner":
        return MetaLearnerSampler(n_startup_trials=max(record.n_random, 1), seed=seed, space=space)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        n_startup = max(record.n_random, 1)
        return optuna.samplers.TPESampler(
            multivariate=True, group=True, constant_liar=True, n_startup_trials=n_startup, seed=seed
        )


def _attributes_of_open(record: Record) -> dict[str, Any]:
    """The user attributes of entries whose parameters a sampler chooses."""
    return {SOURCE: "random" if record.config["method"] == "random" else "proposed"}


def first_entries(record: Record, task: Task) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yields the entries of a new study: the defaults, random configurations, what other datasets promise, and open ones."""
    space, method = task.space, record.config["method"]
    distributions, keys = interop.to_optuna(space), search_keys(record.config["seed"])
    configs = list(task.initial or (task.default,))
    n_random = max(0, record.n_random - len(configs)) if method != "random" else 0
    if n_random:
        configs += space.dicts(space.sample(keys.draw, n_random))
    sources = ["random"] * len(configs)
    if method == "metalearner" and task.warm_start is not None:
        n = GROUP_SIZE if record.total is None else max(0, min(task.wave_size, record.total - len(configs)))
        tried = np.asarray(space.encode(space.configs(configs)), np.float32)
        promised = space.decode(task.warm_start(n, keys.propose, tried)) if n else []
        configs, sources = configs + promised, sources + ["proposed"] * len(promised)
    for number, (config, source) in enumerate(zip(configs, sources)):
        params = {name: within(distributions[name], value) for name, value in interop.to_params(space, config).items()}
        yield str(number), params, {SOURCE: source}
    for number in range(len(configs), record.total or 0):
        yield str(number), {}, _attributes_of_open(record)
