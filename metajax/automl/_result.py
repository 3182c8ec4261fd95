"""The end of a search: the final trainings, their comparison on the test rows, and everything that is written."""

import json
from typing import Any, NamedTuple

import jax
import numpy as np

from metajax import predictor
from metajax.automl import _ensemble as ensemble
from metajax.automl import _intervals as intervals
from metajax.automl import _report as report
from metajax.automl._explore import Exploration, Members
from metajax.automl._metrics import describe
from metajax.automl._recorder import Recorder
from metajax.automl._settings import Config
from metajax.automl._task import Task, TrainedModel
from metajax.run import RunDirectory, to_dict, write_text
from metajax.space import interop
from metajax.types import stream


class SearchOutcome(NamedTuple):
    """What a search returns.

    Attributes:
        result: The content of ``result.json``: the metrics, the selected configurations and the protocol.
        model: The model.
    """

    result: dict[str, Any]
    model: TrainedModel


class Contender(NamedTuple):
    """A model that is compared on the test rows.

    Attributes:
        model: An ensemble.
        member_score: The mean test score of one of its members.
        evaluation: Its test score.
    """

    model: TrainedModel
    member_score: float
    evaluation: ensemble.Evaluation


def finish(
    config: Config, directory: RunDirectory, data: dict[str, Any], exploration: Exploration, recorder: Recorder
) -> SearchOutcome:
    """Trains the final models and writes model, trials, report and, last, the result."""
    history, choice = exploration.history, exploration.choice
    task = history.task
    contenders = _train_contenders(exploration, recorder, data["notes"])
    model = contenders["found"].model
    model.save(directory.path)
    trials = history.trials("random", "proposed", "final", "baseline")
    trials.to_frame(f"validation_{task.metric.name}").to_csv(directory.path / "trials.csv", index=False)
    write_text(directory.path / "space.json", interop.to_json(task.space))
    learned = history.trials("random", "proposed")
    importance = _importance(config, exploration, learned, recorder.schedule.plan.padded_size)
    metrics = {
        **_test_metrics(contenders, task),
        "models_trained": history.count("random", "proposed", "final"),
        "models_failed": int(np.isnan(trials.metric).sum()),
        "meta_learner_r2": choice.r2[choice.best],
        "log10_space": task.space.log10_size,
        "seconds": round(recorder.schedule.budget.seconds, 1),
    }
    if "random" in contenders:
        metrics["models_trained_random"] = history.count("random", "baseline")
    members = ensemble.summarize_members(model)
    configs = {name: ensemble.summarize_members(c.model)[0]["config"] for name, c in contenders.items()}
    result = {
        "metrics": metrics,
        "metric": task.metric.name,
        "found": members[0]["config"],
        "ensemble": members,
        "contenders": configs,
        "data": {"name": config.data, **data},
        "meta_learner": {"chosen": choice.best, "r2": choice.r2},
        "importance": importance,
        "protocol": _protocol(config, task, exploration.members),
    }
    result = json.loads(json.dumps(result, default=float))
    page = report.page(result, history, choice, learned, to_dict(config), directory)
    write_text(directory.path / "report.html", page)
    directory.finish(result)
    return SearchOutcome(result, model)


def _train_contenders(exploration: Exploration, recorder: Recorder, notes: list[str]) -> dict[str, Contender]:
    """Trains and evaluates the ensemble, the default configuration and the best random one, as many members each.

    The keys are those of ``result.json``. Where no time is left the default is left out, with a note.
    """
    task, schedule = exploration.history.task, recorder.schedule
    repeat = lambda encoding, n=ensemble.ENSEMBLE_SIZE: np.repeat(encoding[None], n, axis=0)
    n_default = task.default_members or ensemble.ENSEMBLE_SIZE
    candidates = {"found": exploration.members.encodings, "default": repeat(exploration.default, n_default)}
    if exploration.best_random is not None:
        candidates["random"] = repeat(exploration.best_random)
    contenders = {}
    for name, encodings in candidates.items():
        if name == "default" and not schedule.allows_default():
            notes.append("No time was left to train the default configuration again.")
            continue
        temperatures = exploration.members.temperatures if name == "found" else None
        stop = exploration.history.mean_stop(encodings)
        refit = ensemble.refit(encodings, task, exploration.key, temperatures, stop)
        contenders[name] = Contender(refit.model, refit.member_score, ensemble.evaluate_on_test(refit.model, task))
    return contenders


def _importance(
    config: Config, exploration: Exploration, learned: predictor.Trials, padded_size: int
) -> dict[str, float]:
    """How much each choice matters, by a meta-learner that is fitted to everything that was drawn or proposed."""
    key = jax.random.key(config.seed)
    model = predictor.fit(learned, exploration.choice.spec, "rank", stream(key, "report"), padded_size=padded_size)
    return predictor.importance(model, stream(key, "importance"))


def _test_metrics(contenders: dict[str, Contender], task: Task) -> dict[str, float]:
    """The test metrics of all contenders with 95% intervals, and the gain of the ensemble over each of the others."""
    metrics, metric = {}, task.metric.name
    found = contenders["found"].evaluation
    for name, contender in contenders.items():
        prefix = "" if name == "found" else f"{name}_"
        tested = contender.evaluation
        metrics |= {
            f"{prefix}test_{metric}": tested.score,
            f"{prefix}test_{metric}_low": tested.interval[0],
            f"{prefix}test_{metric}_high": tested.interval[1],
            f"{prefix}test_{metric}_single": contender.member_score,
            f"{prefix}test_loss": tested.loss,
        }
        if task.classification:
            metrics[f"{prefix}test_accuracy"] = tested.accuracy
        if name != "found":
            pair, unit = (found.outputs, tested.outputs), task.metric.unit(task.target_scale)
            low, high = intervals.difference_of_metric(task.metric, *pair, tested.truth)
            metrics |= {
                f"gain_over_{name}": found.score - tested.score,
                f"gain_over_{name}_low": unit * low,
                f"gain_over_{name}_high": unit * high,
            }
    return metrics


def _protocol(config: Config, task: Task, members: Members) -> str:
    """How the numbers of the result came about, in sentences."""
    criterion = f"{describe(task.metric)}{' (ties by calibrated log-loss)' if task.classification else ''}"
    rows = (
        f"{members.n_folds}-fold cross-validation on training and validation rows"
        if members.n_folds
        else "a comparison on the validation rows"
    )
    sentences = (
        f"The rows are split 60/20/20 into training, validation and test rows by seed {config.seed}. The search compares "
        f"configurations on the validation rows. The selected model is an ensemble of {ensemble.ENSEMBLE_SIZE} trainings, "
        f"chosen from {members.n_finalists} finalists by {criterion} in {rows}; each of the others is {ensemble.ENSEMBLE_SIZE} "
        f"trainings of one configuration (one training, where it is no network). All are trained again on training and "
        f"validation rows together. A test score is that "
        f"of the mean prediction of the {ensemble.ENSEMBLE_SIZE} trainings; that of one training ('single' in result.json) is "
        "the mean of their scores. Intervals are 95% intervals over the test rows."
    )
    return f"{sentences} {task.protocol_note}".strip()
