"""Collect, fit, search, train, repeat, until the models or the time are spent."""

import dataclasses
import math
import sys
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from metajax.automl import ensemble
from metajax.automl.propose import ROOM
from metajax.automl.proposers import PROPOSERS
from metajax.automl.settings import Config
from metajax.automl.task import Plan, Task, plan
from metajax.automl.waves import Wave, Waves
from metajax.predictor import Trials
from metajax.run import Progress, RunDirectory
from metajax.space import Space

# seconds of compilation and drawing that no wave tells of beforehand
_FIRST_PROPOSAL, _REPORT = 10.0, 6.0


class Clock:
    """Time spent on this search, earlier processes included, against the budget."""

    def __init__(self, directory: RunDirectory, minutes: float | None):
        self.before = max((r.get("seconds", 0.0) for r in directory.metrics()), default=0.0)
        self.began, self.budget = time.perf_counter(), math.inf if minutes is None else 60 * minutes

    @property
    def seconds(self) -> float:
        return self.before + time.perf_counter() - self.began

    def allows(self, more: float) -> bool:
        """Would ``more`` seconds end within the budget?"""
        return self.seconds + more <= self.budget


class Log:
    """Trains waves with progress, and writes their metrics."""

    def __init__(self, directory: RunDirectory, clock: Clock, waves: Waves, plan: Plan, config: Config, show: bool):
        self.directory, self.clock, self.waves, self.plan = directory, clock, waves, plan
        self.config, self.show = config, show
        self.took: list[float] = []
        self.proposing: dict[int, float] = {}
        self.compiling = _FIRST_PROPOSAL
        self.bar = None
        if plan.wanted is not None:
            total = 2 * plan.wanted - plan.first if config.baseline else plan.wanted
            self.bar = Progress(total, label="models", show=show)
        self.logged = len(directory.metrics())

    @property
    def slowest(self) -> float:
        """Seconds of the slowest of the last waves; the very first, which compiles, does not count."""
        return max(self.took[1:][-3:], default=0.0)

    def ending(self) -> float:
        """Seconds that refits and the report will take, guessed from the waves."""
        return _REPORT + self.slowest

    def needed(self) -> float:
        """Seconds to finish well if one more wave is proposed: it, the finalists, the baseline, the end."""
        waves = 2 + ((len(self.waves.done) + 2 - self.plan.first // self.plan.wave) if self.config.baseline else 0)
        return self.proposing.get(self._size(), self.compiling) + waves * self.slowest + self.ending()

    def proposed(self, seconds: float) -> None:
        """A proposal took so long; where it was the first of its size, two thirds were compilation."""
        size = self._size()
        if size in self.proposing:
            self.proposing[size] = seconds
        else:
            self.proposing[size], self.compiling = seconds / 3, seconds

    def _size(self) -> int:
        """What the meta-learner's programs are compiled for at the next proposal."""
        return max(ROOM, 1 << (self.waves.count("random", "proposed") - 1).bit_length())

    def say(self, text: str) -> None:
        if self.show:
            print(text, file=sys.stderr)

    def train(
        self, encodings: np.ndarray, source: str, r2: dict[str, float] | None = None, data: list[Any] | None = None
    ) -> Wave:
        before = self.waves.count()
        began = time.perf_counter()
        best = max([np.nanmax(w.score, initial=-np.inf) for w in self.waves.done], default=-np.inf)
        shown = {} if best == -np.inf else {"best_validation": float(best)}
        bar = self.bar
        tick = None if bar is None else lambda n: bar.update(before + n, shown)
        wave = self.waves.run(encodings, source, data or [self.waves.task.search], tick, outputs=source == "final")
        took = time.perf_counter() - began
        self.took.append(took)
        record = {
            "step": len(self.waves.done),
            "seconds": round(self.clock.seconds, 3),
            "trained": before + len(wave.score),
            "source": source,
            "best": float(np.nanmax(wave.score, initial=-1.0)),
            "median": float(np.nanmedian(wave.score)) if np.isfinite(wave.score).any() else -1.0,
            "failed": int(np.isnan(wave.score).sum()),
            **{f"r2_{name}": value for name, value in (r2 or {}).items()},
        }
        if record["step"] > self.logged:
            self.directory.log(record)
        if self.bar is None:
            self.say(f"{record['trained']} models, {source}: best {record['best']:.4f}, median {record['median']:.4f}")
        return wave

    def close(self) -> None:
        if self.bar:
            self.bar.close()


class Explored(NamedTuple):
    """What a search has come to.

    Attributes:
        waves: everything that was trained.
        members: encodings f32[MEMBERS, width] of the final model, with repetition.
        default: encoding of the default configuration.
        rival: the best of as many random ones, or ``None``.
        key: for refits.
    """

    waves: Waves
    members: np.ndarray
    default: np.ndarray
    rival: np.ndarray | None
    key: jax.Array


def explore(config: Config, log: Log) -> Explored:
    """The whole search in a run directory, up to the choice of the members of the final model."""
    waves, clock, plan = log.waves, log.clock, log.plan
    task, space, keys = waves.task, waves.task.space, search_keys(config.seed)
    most = sys.maxsize if plan.wanted is None else plan.wanted
    drawn = lambda number: np.asarray(space.encode(space.sample(jax.random.fold_in(keys.draw, number), plan.wave)))
    decided = task.fixed(config.method, log.directory.path) if task.fixed else {}
    within = lambda encodings: _with(space, encodings, decided)

    # collect: the default, then random configurations, which the baseline shares
    default = np.asarray(space.encode(space.configs([task.default])))
    log.train(np.concatenate([within(default), within(drawn(0)[1:])]), "random")
    for number in range(1, plan.first // plan.wave):
        log.train(within(drawn(number)), "random")

    # what other datasets promise of this one, then: fit, search, train, fine-tune, repeat
    model, ending = None, plan.finalists * plan.folds
    while (tried := waves.count()) + plan.wave + ending <= most:
        if not (waves.next_is_saved() or clock.allows(log.needed())):
            break
        started = time.perf_counter()
        known, key = waves.trials("random", "proposed"), jax.random.fold_in(keys.propose, tried)
        if config.proposes and task.warm is not None and not waves.count("proposed"):
            log.train(within(task.warm(plan.wave, key, known.encodings)), "proposed")
            continue
        proposal = PROPOSERS[config.method](known, plan.wave, key, model)
        model = proposal.model
        log.proposed(time.perf_counter() - started)
        log.train(within(proposal.encodings), "proposed", proposal.r2)

    # cross-validate the finalists: one validation set chooses the lucky
    known, key = waves.trials("random", "proposed"), jax.random.fold_in(keys.propose, 0)
    smooth = config.proposes and not plan.small
    last = ensemble.finalists(known, within(default)[0], plan.finalists, key, smooth)
    splits = task.folds[: plan.folds]
    wave = log.train(last, "final", data=splits)
    goals = np.stack([np.asarray(s.y_judge) for s in splits])
    members = last[ensemble.select(wave, task.classification, goals, len(last))]

    # as many at random
    trained = waves.count()
    if config.baseline:
        while (shared := waves.count("baseline") + (0 if decided else waves.count("random"))) < trained:
            if not (waves.next_is_saved() or clock.allows(log.slowest + log.ending())):
                break
            log.train(drawn(shared // plan.wave), "baseline")
    sources = ("baseline",) if decided else ("random", "baseline")
    rival = None
    if config.baseline and waves.count(*sources) > 1:
        rival = ensemble.best(_without_default(waves.trials(*sources)), 1)[0]
    return Explored(waves, members, default[0], rival, keys.refit)


def _with(space: Space, encodings: np.ndarray, decided: dict[str, Any]) -> np.ndarray:
    """The same configurations with what is decided already."""
    if not decided:
        return encodings
    return np.asarray(space.encode(space.configs([{**c, **decided} for c in space.decode(encodings)])))


class Keys(NamedTuple):
    """One key each for the trainings, the random draws, the proposals and the refits."""

    wave: jax.Array
    draw: jax.Array
    propose: jax.Array
    refit: jax.Array


def search_keys(seed: int) -> Keys:
    return Keys(*jax.random.split(jax.random.key(seed), 4))


def begin(config: Config, directory: RunDirectory, task: Task, show: bool) -> Log:
    """The clock, the waves (those of an earlier process included) and the log of a search."""
    clock = Clock(directory, config.minutes)
    waves = Waves(directory.path / "waves", task, search_keys(config.seed).wave)
    return Log(directory, clock, waves, plan(task, config.trials, config.minutes, config.proposes), config, show)


def _without_default(trials: Trials) -> Trials:
    """The default is the first trial; as a failed one it comes last."""
    return dataclasses.replace(trials, metric=np.concatenate([[np.nan], trials.metric[1:]]))
