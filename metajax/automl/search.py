"""The main job: collect, fit the meta-learner, search through it, train, fine-tune it, and report."""

import json
from typing import Any, NamedTuple

import jax
import numpy as np

from metajax import predictor
from metajax.automl import ensemble, report
from metajax.automl.explore import Explored, Log, begin, explore
from metajax.automl.model import FittedModel
from metajax.automl.prepare import Prepared, describe, prepare
from metajax.automl.propose import SPECS
from metajax.automl.settings import Config
from metajax.data import tabular
from metajax.run import RunDirectory, to_dict, write_text
from metajax.space import interop


class Outcome(NamedTuple):
    """The result as written to ``result.json``, and the model."""

    result: dict[str, Any]
    model: FittedModel


def search(
    config: Config, directory: RunDirectory, dataset: tabular.Dataset | None = None, show: bool = True
) -> Outcome:
    """Runs or resumes the whole loop in a run directory.

    Raises:
        InputError: on bad data, before anything is trained.
    """
    dataset = tabular.load(config.data, config.target, config.task) if dataset is None else dataset
    prepared = prepare(dataset, config.seed, minutes=config.minutes)
    log = begin(config, directory, prepared, show)
    log.say(
        f"{dataset.name}: {' + '.join(map(str, prepared.rows))} rows, {prepared.encoder.features} features, "
        f"space of 10^{log.waves.space.log10_size:.0f} configurations"
    )
    for note in prepared.notes:
        log.say(f"note: {note}")
    explored = explore(config, directory, prepared, log)
    log.say("refitting what was found, the default and the best random configuration on training and validation rows")
    outcome = _finish(config, directory, dataset, prepared, explored, log)
    log.close()
    return outcome


def _finish(
    config: Config,
    directory: RunDirectory,
    dataset: tabular.Dataset,
    prepared: Prepared,
    explored: Explored,
    log: Log,
) -> Outcome:
    """Everything that is written: model, trials, report, result (last)."""
    waves, space = explored.waves, explored.space
    repeat = lambda encoding: np.repeat(encoding[None], ensemble.MEMBERS, axis=0)
    contenders = {"found": explored.members, "default": repeat(explored.default)}
    if explored.rival is not None:
        contenders["random"] = repeat(explored.rival)
    scores, models = {}, {}
    for name, encodings in contenders.items():
        models[name], single = ensemble.refit(encodings, space, prepared, explored.key)
        scores[name] = {**ensemble.score(models[name], prepared), "single": single}
    model = models["found"]
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
        "seconds": round(log.clock.seconds, 1),
    }
    if "random" in scores:
        metrics[f"random_test_{metric}"] = scores["random"]["score"]
        metrics[f"random_test_{metric}_single"] = scores["random"]["single"]
        metrics["models_trained_random"] = waves.count("random", "baseline")
    result = {
        "metrics": metrics,
        "found": ensemble.described(model)[0]["config"],
        "ensemble": ensemble.described(model),
        "contenders": {name: ensemble.described(m)[0]["config"] for name, m in models.items()},
        "data": {"name": config.data, **describe(dataset, prepared)},
        "meta_learner": {"chosen": choice.best, "r2": choice.r2},
        "importance": matters,
        "protocol": (
            f"split 60/20/20 by seed {config.seed}; finalists chosen on validation rows; found is an ensemble of "
            f"{ensemble.MEMBERS} trainings selected from {config.finalists} finalists by {config.folds}-fold cross-validation "
            f"on training and validation rows, the others are {ensemble.MEMBERS} trainings of one configuration; all refitted "
            "on both; test score of the mean of the trainings ('single': mean score of one); no batch norm anywhere"
        ),
    }
    result = json.loads(json.dumps(result, default=float))
    page = report.page(result, waves, choice, learned, to_dict(config), directory)
    write_text(directory.path / "report.html", page)
    directory.finish(result)
    return Outcome(result, model)
