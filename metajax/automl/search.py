"""The main job: collect, fit the meta-learner, search through it, train, fine-tune it, and report."""

import dataclasses
import json
import math
import sys
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from metajax import predictor
from metajax.automl import population, report
from metajax.automl.model import FittedModel
from metajax.automl.prepare import Prepared, describe, folds, prepare
from metajax.automl.propose import SPECS, propose
from metajax.automl.space import default_config, tabular_space
from metajax.automl.waves import Wave, Waves, scaled
from metajax.data import tabular
from metajax.predictor import Trials
from metajax.run import Progress, RunDirectory, to_dict, write_text
from metajax.space import Space, interop
from metajax.types import InputError

WAVE = 32
FINALISTS, FOLDS, REFITS = 8, 4, 8


@dataclasses.dataclass(frozen=True)
class Config:
    """What to search.

    Attributes:
        data: a bundled dataset, a CSV or an ``.npz``.
        target: the column to predict (CSV).
        task: ``classification``, ``regression`` or ``None`` to judge by the target.
        minutes: budget of wall time; ``None`` for none.
        trials: models trained by the search; ``None`` is 192, or no limit if ``minutes`` is given.
        baseline: also train as many models at random, to compare with.
        seed: of the split and of all randomness.
    """

    data: str
    target: str | None = None
    task: str | None = None
    minutes: float | None = None
    trials: int | None = None
    baseline: bool = True
    seed: int = 0

    def __post_init__(self):
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise InputError(f"--minutes {self.minutes:g}: accepted are numbers above 0")
        if self.trials is not None and self.trials < 2 * WAVE:
            raise InputError(f"--trials {self.trials}: accepted are whole numbers from {2 * WAVE}")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"--seed {self.seed}: accepted are whole numbers from 0 to 2147483647")

    @property
    def wanted(self) -> int | None:
        """Models that the search trains; ``None`` if only the budget limits it."""
        return self.trials or (192 if self.minutes is None else None)

    @property
    def first(self) -> int:
        """Models drawn at random before the meta-learner proposes any: one or two waves, a third of all at most."""
        third = 2 * WAVE if self.wanted is None else min(self.wanted // 3, 2 * WAVE)
        return max(WAVE, third // WAVE * WAVE)


# seconds of compilation and drawing that no wave tells of beforehand
_FIRST_PROPOSAL, _REPORT = 15.0, 8.0


class Outcome(NamedTuple):
    """The result as written to ``result.json``, and the model."""

    result: dict[str, Any]
    model: FittedModel


class _Clock:
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


def search(
    config: Config, directory: RunDirectory, dataset: tabular.Dataset | None = None, show: bool = True
) -> Outcome:
    """Runs or resumes the whole loop in a run directory.

    Raises:
        InputError: on bad data, before anything is trained.
    """
    dataset = tabular.load(config.data, config.target, config.task) if dataset is None else dataset
    clock = _Clock(directory, config.minutes)
    prepared = prepare(dataset, config.seed)
    space = tabular_space(prepared.features, prepared.classification)
    wave_key, draw_key, propose_key, refit_key = jax.random.split(jax.random.key(config.seed), 4)
    waves = Waves(directory, space, prepared, wave_key)
    log = _Log(directory, clock, waves, config, show)
    log.say(
        f"{dataset.name}: {' + '.join(map(str, prepared.rows))} rows, {prepared.encoder.features} features, "
        f"space of 10^{space.log10_size:.0f} configurations"
    )
    for note in prepared.notes:
        log.say(f"note: {note}")

    most = sys.maxsize if config.wanted is None else config.wanted
    drawn = lambda number: np.asarray(space.encode(space.sample(jax.random.fold_in(draw_key, number), WAVE)))

    # collect: the default, then random configurations, which the baseline shares
    default = np.asarray(space.encode(space.configs([default_config(prepared.classification)])))
    log.train(np.concatenate([default, drawn(0)[1:]]), "random")
    for number in range(1, config.first // WAVE):
        log.train(drawn(number), "random")

    # fit, search, train, fine-tune, repeat
    model = None
    while (tried := waves.count()) + WAVE + FINALISTS * FOLDS <= most:
        if not (waves.next_is_saved() or clock.allows(log.needed())):
            break
        started = time.perf_counter()
        known = waves.trials("random", "proposed")
        proposal = propose(known, WAVE, jax.random.fold_in(propose_key, tried), model)
        model, log.proposing = proposal.model, time.perf_counter() - started
        log.train(proposal.encodings, "proposed", proposal.r2)
    # cross-validate the finalists: one validation set chooses the lucky
    finalists = _finalists(waves.trials("random", "proposed"), default[0], jax.random.fold_in(propose_key, 0))
    winner = _winner(finalists, log.train(finalists, "final", data=folds(prepared)[:FOLDS]))

    # as many at random
    trained = waves.count()
    if config.baseline:
        while (shared := waves.count("random", "baseline")) < trained:
            if not (waves.next_is_saved() or clock.allows(log.slowest + log.ending())):
                break
            log.train(drawn(shared // WAVE), "baseline")
    rival = _best(_without_default(waves.trials("random", "baseline")), 1)[0] if config.baseline else None

    log.say("refitting the found, the default and the best random configuration on training and validation rows")
    contenders = {"found": winner, "default": default[0], **({"random": rival} if rival is not None else {})}
    scores, model_found = _refit(contenders, space, prepared, refit_key)
    outcome = _finish(config, directory, dataset, prepared, space, waves, contenders, scores, model_found, clock)
    log.close()
    return outcome


class _Log:
    """Trains waves with progress, and writes their metrics."""

    def __init__(self, directory: RunDirectory, clock: _Clock, waves: Waves, config: Config, show: bool):
        self.directory, self.clock, self.waves, self.config, self.show = directory, clock, waves, config, show
        self.slowest, self.proposing = 0.0, _FIRST_PROPOSAL
        self.bar = None
        if config.wanted is not None:
            total = 2 * config.wanted - config.first if config.baseline else config.wanted
            self.bar = Progress(total, label="models", show=show)
        self.logged = len(directory.metrics())

    def ending(self) -> float:
        """Seconds that refits and the report will take, guessed from the waves."""
        return _REPORT + 1.5 * self.slowest

    def needed(self) -> float:
        """Seconds to finish well if one more wave is proposed: it, the finalists, the baseline, the end."""
        waves = 2 + ((len(self.waves.done) + 2 - self.config.first // WAVE) if self.config.baseline else 0)
        return self.proposing + waves * self.slowest + self.ending()

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
        wave = self.waves.run(encodings, source, data or [self.waves.prepared.search], tick)
        took = time.perf_counter() - began
        if len(self.waves.done) > 1:  # the first wave compiles
            self.slowest = max(self.slowest, took)
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


def _without_default(trials: Trials) -> Trials:
    """The default is the first trial; as a failed one it comes last."""
    return dataclasses.replace(trials, metric=np.concatenate([[np.nan], trials.metric[1:]]))


def _best(trials: Trials, n: int) -> np.ndarray:
    """Encodings of the n best distinct configurations: by score, equal scores by loss."""
    loss = np.where(np.isfinite(trials.settings["loss"]), trials.settings["loss"], np.inf)
    order = np.lexsort((loss, -np.nan_to_num(trials.metric, nan=-np.inf)))
    distinct: list[np.ndarray] = []
    for i in order:
        if not any(np.array_equal(trials.encodings[i], d) for d in distinct):
            distinct.append(trials.encodings[i])
        if len(distinct) == n:
            break
    return np.stack([*distinct, *distinct[-1:] * (n - len(distinct))])


def _finalists(trials: Trials, default: np.ndarray, key: jax.Array) -> np.ndarray:
    """The default, and the configurations best by the mean of two ranks: the measured one, which is noisy, and the one
    that the meta-learner predicts without having seen that training, which is smooth."""
    choice = predictor.choose(trials, SPECS, "rank", key)
    measured = predictor.targets.make(trials, "rank")
    blend = 0.5 * (measured.y * measured.scale + measured.shift) + 0.5 * choice.predicted[choice.best]
    best = _best(dataclasses.replace(trials, metric=np.where(np.isnan(trials.metric), np.nan, blend)), FINALISTS)
    return best if any(np.array_equal(b, default) for b in best) else np.concatenate([best[:-1], default[None]])


def _winner(finalists: np.ndarray, wave: Wave) -> np.ndarray:
    """The finalist with the best mean score over the folds, equal ones by loss."""
    fold = lambda v: np.nan_to_num(v.reshape(-1, len(finalists)), nan=-1e9).mean(axis=0)
    score, loss = fold(wave.score), fold(-wave.loss)
    return finalists[np.lexsort((-loss, -score))[0]]


def _refit(contenders: dict[str, np.ndarray], space: Space, prepared: Prepared, key: jax.Array):
    """Trains every contender ``REFITS`` times on training and validation rows; test scores of each and of their mean."""
    scores, found = {}, None
    for name, encoding in contenders.items():
        configs = scaled(space, np.repeat(encoding[None], REFITS, axis=0), len(prepared.search.x))
        outcome = population.train(configs, prepared.groups, prepared.final, prepared.outputs, key, keep=True)
        params = jax.tree.map(lambda *leaves: np.stack(leaves), *outcome.params)
        model = FittedModel(space.decode(encoding[None])[0], prepared.encoder, prepared.groups, params)
        scores[name] = {**_test(model, prepared), "single": float(np.nanmean(outcome.score))}
        if name == "found":
            found = model
    assert found is not None
    return scores, found


def _test(model: FittedModel, prepared: Prepared) -> dict[str, float]:
    x, y = np.asarray(prepared.final.x_judge), np.asarray(prepared.final.y_judge)
    output = model.predict_inputs(x)
    if prepared.classification:
        return {
            "score": float(np.mean(np.argmax(output, axis=1) == y)),
            "loss": float(-np.mean(np.log(np.maximum(output[np.arange(len(y)), y], 1e-12)))),
        }
    truth = y.astype(np.float64) * prepared.encoder.scale + prepared.encoder.shift
    error = float(np.mean((output - truth) ** 2))
    return {"score": float(1 - error / max(np.var(truth), 1e-300)), "loss": math.sqrt(error)}


def _finish(config, directory, dataset, prepared, space, waves, contenders, scores, model, clock) -> Outcome:
    """Everything that is written: model, trials, report, result (last)."""
    metric = "accuracy" if prepared.classification else "r2"
    model.save(directory.path)
    everything = waves.trials("random", "proposed", "final", "baseline")
    everything.to_frame(f"validation_{metric}").to_csv(directory.path / "trials.csv", index=False)
    write_text(directory.path / "space.json", interop.to_json(space))
    learned = waves.trials("random", "proposed")
    choice = predictor.choose(learned, SPECS, "rank", jax.random.key(config.seed))
    final = predictor.fit(learned, choice.spec, "rank", jax.random.key(config.seed))
    matters = predictor.importance(final, jax.random.key(config.seed))
    metrics = {
        f"test_{metric}": scores["found"]["score"],
        f"test_{metric}_single": scores["found"]["single"],
        f"default_test_{metric}": scores["default"]["score"],
        f"default_test_{metric}_single": scores["default"]["single"],
        "test_loss": scores["found"]["loss"],
        "models_trained": waves.count("random", "proposed", "final"),
        "models_failed": int(np.isnan(everything.metric).sum()),
        "meta_learner_r2": choice.r2[choice.best],
        "log10_space": space.log10_size,
        "seconds": round(clock.seconds, 1),
    }
    if "random" in scores:
        metrics[f"random_test_{metric}"] = scores["random"]["score"]
        metrics[f"random_test_{metric}_single"] = scores["random"]["single"]
        metrics["models_trained_random"] = waves.count("random", "baseline")
    result = {
        "metrics": metrics,
        "found": model.config,
        "contenders": {name: space.decode(np.asarray(e)[None])[0] for name, e in contenders.items()},
        "data": {"name": config.data, **describe(dataset, prepared)},
        "meta_learner": {"chosen": choice.best, "r2": choice.r2},
        "importance": matters,
        "protocol": (
            f"split 60/20/20 by seed {config.seed}; finalists chosen on validation rows, the winner by {FOLDS}-fold "
            "cross-validation on training and validation rows; refitted on both; "
            f"test score of the mean of {REFITS} refits ('single': mean score of one); no batch norm anywhere"
        ),
    }
    result = json.loads(json.dumps(result, default=float))
    page = report.page(result, waves, choice, learned, to_dict(config), directory)
    write_text(directory.path / "report.html", page)
    directory.finish(result)
    return Outcome(result, model)
