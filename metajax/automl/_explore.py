"""Collect, fit, search, train, repeat, until the models or the time are spent."""

import contextlib
import dataclasses
import sys
from typing import Any, NamedTuple

import jax
import numpy as np

from metajax import predictor
from metajax.automl import _ensemble as ensemble
from metajax.automl._pace import REPORT, Clock, Pace
from metajax.automl._propose import SPECS
from metajax.automl._proposers import PROPOSERS
from metajax.automl._settings import Config
from metajax.automl._task import GROUP, Plan, Task, plan
from metajax.automl._waves import Wave, Waves
from metajax.predictor import Trials
from metajax.run import Progress, RunDirectory
from metajax.space import Space
from metajax.space._rows import power_of_two
from metajax.types import stream

# what the meta-learner first proposes takes so many times as long to train as what was drawn
_LARGER = 2.0
# how many waves a proposal may be for
_SEVERAL = (4, 2)
# share of the budget that is little
_LITTLE = 0.05


class Log:
    """Trains waves with progress, and writes their metrics."""

    def __init__(self, directory: RunDirectory, clock: Clock, waves: Waves, plan: Plan, config: Config, show: bool):
        self.directory, self.clock, self.waves, self.plan = directory, clock, waves, plan
        self.config, self.show = config, show
        self.pace = Pace()
        self.bar = None
        if plan.wanted is not None:
            total = 2 * plan.wanted - plan.first if config.baseline else plan.wanted
            self.bar = Progress(total, label="models", show=show)
        self.logged = len(directory.metrics())

    def proposable(self, most: int, proposal: bool) -> int:
        """Models that the next wave may have, up to ``most``: several waves', one, a part of one, or none, by what the budget
        allows; as many as an earlier process trained, if it did.

        Several, where by the clock the training has had less than half of the time: small models on a small table train
        faster than the meta-learner thinks. A part, where it trains longer than the meta-learner thinks.
        """
        saved = self.waves.saved()
        if saved is not None:
            return saved.size if saved.source == "proposed" else 0
        thinking, whole = self.pace.proposing(self.size(0)) if proposal else 0.0, self.plan.wave
        spare = self.clock.seconds + thinking - 2 * self.pace.training
        many = [n * whole for n in _SEVERAL if proposal and self.config.minutes is not None and n * self.wave <= spare]
        few = [n for n in (whole // 2, GROUP) if GROUP <= n < whole and n / whole * self.wave >= thinking]
        sizes = [*many, whole, *few]
        return next((n for n in sizes if n <= most and self.clock.allows(thinking + self.needed(n))), 0)

    def needed(self, number: int) -> float:
        """Seconds to finish well if so many are trained next: them, the finalists on one split if that costs little, the
        baseline, the end."""
        final = self.finals(1)
        waves = number / self.plan.wave + (final if self.cheap(final * self.wave) else 0.0)
        if self.config.baseline:
            waves += waves + (self.waves.count() - self.plan.first) / self.plan.wave
        return waves * self.wave + self.ending(number)

    def cheap(self, seconds: float) -> bool:
        """So little of the budget that it is always set aside."""
        return seconds <= _LITTLE * self.clock.budget

    @property
    def wave(self) -> float:
        """Seconds that a whole wave is expected to take: what is proposed first is larger than what was drawn."""
        larger = _LARGER if self.config.proposes and not self.waves.count("proposed") else 1.0
        return larger * self.pace.slowest

    def finals(self, folds: int) -> float:
        """The trainings of the finalists on so many splits, in waves."""
        return self.plan.finalists * min(folds, len(self.waves.task.folds)) / self.plan.wave

    def ending(self, more: int = 0) -> float:
        """Seconds from the last wave to the end, with so many more trials: the meta-learner's last fit, refits, the report."""
        return self.pace.proposing(self.size(more)) + self.refits()

    def refits(self) -> float:
        """Seconds that refits and the report will take; the default is trained anew if that costs little."""
        task = self.waves.task
        refit = self.wave * ensemble.MEMBERS / self.plan.wave * len(task.final.x) / len(task.search.x)
        refits = 1 + self.config.baseline + self.cheap(refit)
        return refits * refit + REPORT

    def spares(self, refit: float) -> bool:
        """Is there time to train the default anew, which takes so many seconds?"""
        return self.cheap(refit) or self.clock.allows(refit + REPORT)

    def folds(self) -> int:
        """On how many splits the finalists are cross-validated: on one, or on none, where the budget has no time for more."""
        saved = self.waves.saved()
        if saved is not None:  # by an earlier process, which had another clock
            return saved.size // self.plan.finalists if saved.source == "final" else 0
        sizes = (self.plan.folds, 1)
        return next((n for n in sizes if self.clock.allows(self.finals(n) * self.wave + self.refits())), 0)

    def size(self, more: int) -> int:
        """What the meta-learner's programs are compiled for, with so many more trials."""
        return power_of_two(self.waves.count("random", "proposed") + more, self.plan.room)

    def say(self, text: str) -> None:
        if self.show:
            print(text, file=sys.stderr)

    def train(
        self, encodings: np.ndarray, source: str, r2: dict[str, float] | None = None, data: list[Any] | None = None
    ) -> Wave:
        before = self.waves.count()
        best = max([np.nanmax(w.score, initial=-np.inf) for w in self.waves.done], default=-np.inf)
        shown = {} if best == -np.inf else {"best_validation": float(best)}
        bar = self.bar
        tick = None if bar is None else lambda n: bar.update(before + n, shown)
        share, known = len(encodings) * len(data or [0]) / self.plan.wave, self.waves.saved() is not None
        with contextlib.nullcontext() if known else self.pace.wave(share):
            wave = self.waves.run(encodings, source, data or [self.waves.task.search], tick, whole=source == "final")
        if known:
            self.pace.remember(float(wave.seconds.sum()), share)
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
        choice: of the meta-learner, by all that was drawn or proposed.
        members: encodings f32[MEMBERS, width] of the final model, with repetition.
        temperatures: f64[MEMBERS], with which the members predict.
        finals: how many finalists they were selected from, on how many splits; 0 are the rows of the search.
        default: encoding of the default configuration.
        rival: the best of as many random ones, or ``None``.
        key: for refits.
    """

    waves: Waves
    choice: predictor.Choice
    members: np.ndarray
    temperatures: np.ndarray
    finals: tuple[int, int]
    default: np.ndarray
    rival: np.ndarray | None
    key: jax.Array


def explore(config: Config, log: Log) -> Explored:
    """The whole search in a run directory, up to the choice of the members of the final model."""
    waves, clock, plan = log.waves, log.clock, log.plan
    task, space, keys = waves.task, waves.task.space, search_keys(config.seed)
    most = sys.maxsize if plan.wanted is None else plan.wanted
    decided = task.fixed(config.method, log.directory.path) if task.fixed else {}
    within = lambda encodings: _with(space, encodings, decided)

    def drawn(count: int) -> np.ndarray:
        """The rest of the wave of random configurations of which so many are drawn already."""
        number, begun = divmod(count, plan.wave)
        return np.asarray(space.encode(space.sample(jax.random.fold_in(keys.draw, number), plan.wave)))[begun:]

    # collect: the default, then random configurations, which the baseline shares
    default = np.asarray(space.encode(space.configs([task.default])))
    log.train(np.concatenate([within(default), within(drawn(0)[1 : plan.first])]), "random")
    while (count := waves.count()) < plan.first:
        log.train(within(drawn(count)), "random")

    # what other datasets promise of this one, then: fit, search, train, fine-tune, repeat
    model, ending = None, plan.finalists * plan.folds
    while (left := most - (tried := waves.count()) - ending) >= plan.wave:
        warm = config.proposes and task.warm is not None and not waves.count("proposed")
        if not (number := log.proposable(left, proposal=not warm)):
            break
        known, key = waves.trials("random", "proposed"), jax.random.fold_in(keys.propose, tried)
        if warm:
            assert task.warm is not None
            log.train(within(task.warm(number, key, known.encodings)), "proposed")
            continue
        with log.pace.proposal(log.size(0)):
            proposal = PROPOSERS[config.method](known, number, key, model, plan.room)
        model = proposal.model
        log.train(within(proposal.encodings), "proposed", proposal.r2)

    # cross-validate the finalists: one validation set chooses the lucky
    known, key = waves.trials("random", "proposed"), stream(keys.propose, "choice")
    choice = predictor.choose(known, SPECS, "rank", key, room=plan.room)
    smooth = choice if config.proposes and not plan.small else None
    splits = task.folds[: log.folds()]
    if splits:
        last = ensemble.finalists(known, within(default)[0], plan.finalists, smooth)
        outputs = log.train(last, "final", data=splits).outputs
        outputs, goals = outputs.reshape(len(splits), len(last), *outputs.shape[1:]), [s.y_judge for s in splits]
    else:  # no time: by what the best of every wave said of the rows that they were judged on
        kept, said = waves.said("random", "proposed")
        last, at = ensemble.kept_finalists(known, kept, plan.finalists, smooth)
        outputs, goals = said[None, at], [task.search.y_judge[: said.shape[1]]]
    goals = np.stack([np.asarray(y) for y in goals])
    picks = ensemble.select(outputs, task.classification, goals)
    members, temperatures = last[picks], ensemble.temperatures(outputs, task.classification, goals)[picks]

    # as many at random
    trained = waves.count()
    if config.baseline:
        while (shared := waves.count("baseline") + (0 if decided else waves.count("random"))) < trained:
            if waves.saved() is None and not clock.allows(log.wave + log.refits()):
                break
            log.train(drawn(shared), "baseline")
    sources = ("baseline",) if decided else ("random", "baseline")
    rival = None
    if config.baseline and waves.count(*sources) > 1:
        rival = ensemble.best(_without_default(waves.trials(*sources)), 1)[0]
    return Explored(waves, choice, members, temperatures, (len(last), len(splits)), default[0], rival, keys.refit)


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
    return Keys(*(stream(jax.random.key(seed), name) for name in Keys._fields))


def begin(config: Config, directory: RunDirectory, task: Task, show: bool, began: float) -> Log:
    """The clock, the waves (those of an earlier process included) and the log of a search."""
    clock = Clock(directory, config.minutes, began)
    waves = Waves(directory.path / "waves", task, search_keys(config.seed).wave)
    return Log(directory, clock, waves, plan(task, config.trials, config.minutes, config.proposes), config, show)


def _without_default(trials: Trials) -> Trials:
    """The default is the first trial; as a failed one it comes last."""
    return dataclasses.replace(trials, metric=np.concatenate([[np.nan], trials.metric[1:]]))
