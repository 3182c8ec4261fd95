"""The main job: collect, fit the meta-learner, search through it, train, fine-tune it, and report."""

import json
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from metajax import predictor
from metajax.automl import _ensemble as ensemble
from metajax.automl import _intervals as intervals
from metajax.automl import _report as report
from metajax.automl._explore import Explored, Log, begin, explore
from metajax.automl._image_model import ImageModel
from metajax.automl._images import image_task
from metajax.automl._model import FittedModel
from metajax.automl._prepare import describe, prepare
from metajax.automl._settings import Config
from metajax.automl._tables import table_task
from metajax.automl._task import Model, Task
from metajax.data import tabular
from metajax.data._pictures import Pictures, holds_images, pictures
from metajax.run import Fingerprint, RunDirectory, fingerprint, read_json, to_dict, write_text
from metajax.space import interop
from metajax.types import InputError, stream


class Outcome(NamedTuple):
    """The result as written to ``result.json``, and the model."""

    result: dict[str, Any]
    model: Model


class Described(NamedTuple):
    """A task, and what the report says of its data."""

    task: Task
    told: dict[str, Any]


def load_data(config: Config) -> tabular.Dataset | Pictures:
    """The dataset that is asked for.

    Raises:
        InputError: if it is not to be had, or cannot be learned.
    """
    path = Path(config.data)
    if config.data not in tabular.BUNDLED and holds_images(path):
        if config.task == "regression":
            raise InputError("task='regression': images are classified; give a table of features for regression")
        return pictures(path, config.size)
    if config.method == "supernet":
        raise InputError(
            "method='supernet': needs images (a folder with one folder for each class, or an .npz with x of shape "
            "[n, height, width]); for tables use metalearner, random or optuna"
        )
    return tabular.load(config.data, config.target, config.task)


def identify(dataset: tabular.Dataset | Pictures) -> Fingerprint:
    """What a run records of its data: everything that is learned from."""
    if isinstance(dataset, Pictures):
        return fingerprint(images=dataset.x, labels=dataset.y, classes=dataset.classes)
    return fingerprint(features=dataset.frame, target=dataset.target, classes=dataset.classes)


def describe_task(dataset: tabular.Dataset | Pictures, config: Config) -> Described:
    """Splits, encodes, and says how."""
    if isinstance(dataset, Pictures):
        task, rows, shape, notes = image_task(dataset, config.seed)
        told = {
            "target": "label",
            "task": "classification",
            "classes": len(dataset.classes),
            "features": math.prod(shape),
        }
        parts = dict(zip(("train", "validation", "test"), rows))
        return Described(task, {**told, "inputs": list(shape), "rows": parts, "notes": notes})
    prepared = prepare(dataset, config.seed, minutes=config.minutes)
    return Described(table_task(prepared), describe(dataset, prepared))


def search(
    config: Config, directory: RunDirectory, dataset: tabular.Dataset | Pictures | None = None, show: bool = True
) -> Outcome:
    """Runs or resumes the whole loop in a run directory.

    Raises:
        InputError: on bad data, or if the directory is of other data, before anything is trained.
    """
    began = time.perf_counter()
    dataset = load_data(config) if dataset is None else dataset
    directory.bind_data(identify(dataset))
    task, told = describe_task(dataset, config)
    log = begin(config, directory, task, show, began)
    what = f"{told['features']} features" if isinstance(told["inputs"], int) else "images of " + _times(told["inputs"])
    log.say(
        f"{told['target']}: {' + '.join(str(n) for n in told['rows'].values())} rows, {what}, "
        f"space of 10^{task.space.log10_size:.0f} configurations"
    )
    for note in told["notes"]:
        log.say(f"note: {note}")
    explored = explore(config, log)
    log.say("refitting what was found, the default and the best random configuration on training and validation rows")
    outcome = _finish(config, directory, told, explored, log)
    log.close()
    return outcome


def _times(shape: list[int]) -> str:
    return " x ".join(map(str, shape))


def load_model(directory: Path | str) -> FittedModel | ImageModel:
    """The model of a finished search.

    Raises:
        InputError: if the run has no model or it is damaged.
    """
    path = Path(directory) / "model.json"
    told = read_json(path) if path.is_file() else {}
    if told.get("kind") == "images":
        return ImageModel.load(Path(directory), told)
    return FittedModel.load(directory)


def _criterion(task: Task) -> str:
    """By what finalists are compared: the metric that is reported."""
    return "accuracy (ties by calibrated log-loss)" if task.classification else "R²"


def _tested(
    tested: dict[str, ensemble.Judged], singles: dict[str, float], metric: str, classification: bool
) -> dict[str, float]:
    """The metrics of all contenders on the test rows, with intervals, and of what was found less each of the others."""
    metrics = {}
    for name, judged in tested.items():
        kind = "" if name == "found" else f"{name}_"
        metrics |= {
            f"{kind}test_{metric}": judged.score,
            f"{kind}test_{metric}_low": judged.interval[0],
            f"{kind}test_{metric}_high": judged.interval[1],
            f"{kind}test_{metric}_single": singles[name],
            f"{kind}test_loss": judged.loss,
        }
        if name != "found":
            pair = tested["found"].predicted, judged.predicted
            low, high = intervals.difference(judged.truth, *pair, classification)
            metrics |= {
                f"gain_over_{name}": tested["found"].score - judged.score,
                f"gain_over_{name}_low": low,
                f"gain_over_{name}_high": high,
            }
    return metrics


def _finish(config: Config, directory: RunDirectory, told: dict[str, Any], explored: Explored, log: Log) -> Outcome:
    """Everything that is written: model, trials, report, result (last)."""
    waves, task, (number, folds) = explored.waves, explored.waves.task, explored.finals
    choice = explored.choice
    judged = f"{folds}-fold cross-validation on training and validation rows" if folds else "the validation rows"
    space = task.space
    repeat = lambda encoding: np.repeat(encoding[None], ensemble.MEMBERS, axis=0)
    contenders = {"found": explored.members, "default": repeat(explored.default)}
    if explored.rival is not None:
        contenders["random"] = repeat(explored.rival)
    tested, singles, models, took = {}, {}, {}, 0.0
    for name, encodings in contenders.items():
        if name == "default" and not log.spares(took):
            told["notes"].append("no time was left to train the default configuration anew")
            continue
        began = time.perf_counter()
        temperatures = explored.temperatures if name == "found" else None
        models[name], singles[name] = ensemble.refit(encodings, task, explored.key, temperatures)
        tested[name] = ensemble.judge(models[name], task)
        took = time.perf_counter() - began
    model = models["found"]
    metric = "accuracy" if task.classification else "r2"
    model.save(directory.path)
    everything = waves.trials("random", "proposed", "final", "baseline")
    everything.to_frame(f"validation_{metric}").to_csv(directory.path / "trials.csv", index=False)
    write_text(directory.path / "space.json", interop.to_json(space))
    learned = waves.trials("random", "proposed")
    key = jax.random.key(config.seed)
    final = predictor.fit(learned, choice.spec, "rank", stream(key, "report"), room=log.plan.room)
    matters = predictor.importance(final, stream(key, "importance"))
    metrics = {
        **_tested(tested, singles, metric, task.classification),
        "models_trained": waves.count("random", "proposed", "final"),
        "models_failed": int(np.isnan(everything.metric).sum()),
        "meta_learner_r2": choice.r2[choice.best],
        "log10_space": space.log10_size,
        "seconds": round(log.clock.seconds, 1),
    }
    if "random" in tested:
        metrics["models_trained_random"] = waves.count("random", "baseline")
    result = {
        "metrics": metrics,
        "found": ensemble.described(model)[0]["config"],
        "ensemble": ensemble.described(model),
        "contenders": {name: ensemble.described(m)[0]["config"] for name, m in models.items()},
        "data": {"name": config.data, **told},
        "meta_learner": {"chosen": choice.best, "r2": choice.r2},
        "importance": matters,
        "protocol": (
            f"split 60/20/20 by seed {config.seed}; finalists chosen on validation rows; found is an ensemble of "
            f"{ensemble.MEMBERS} trainings selected from {number} finalists by {_criterion(task)} in {judged}, the others are "
            f"{ensemble.MEMBERS} trainings of one configuration; all refitted on both; test score of the mean of the "
            f"trainings ('single': mean score of one); intervals are of 95% over the test rows; {task.norm}"
        ),
    }
    result = json.loads(json.dumps(result, default=float))
    page = report.page(result, waves, choice, learned, to_dict(config), directory)
    write_text(directory.path / "report.html", page)
    directory.finish(result)
    return Outcome(result, model)
