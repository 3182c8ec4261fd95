"""The end of a search: the model beside others on the test rows, and everything that is written."""

import json
from typing import Any, NamedTuple

import numpy as np

from metajax import predictor
from metajax.automl import _ensemble as ensemble
from metajax.automl import _intervals as intervals
from metajax.automl import _report as report
from metajax.automl import _report_words as words
from metajax.automl import _residuals as residuals
from metajax.automl._columns import importance as column_importance
from metajax.automl._explore import Exploration, search_keys
from metajax.automl._footprint import footprint
from metajax.automl._metrics import describe
from metajax.automl._model import FittedModel
from metajax.automl._proposing import SPECS
from metajax.automl._recorder import Recorder
from metajax.automl._settings import Config
from metajax.automl._task import Data, Task, TrainedModel
from metajax.automl._verdict import verdict
from metajax.automl._waves import WaveHistory
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
        config: Its configuration, or the one of the largest weight.
        evaluation: Its test score.
    """

    config: dict[str, Any]
    evaluation: ensemble.Evaluation


ENDING_SECONDS = 4.0
"""Seconds that evaluating and drawing the report take."""
_COLUMN_SECONDS = 5.0
"""The time that measuring the importance of columns may take."""
_EXPLAINING_SECONDS = 30.0
"""Comparing the meta-learners and analyzing the variance take about this long, most of it for compilation."""


def finish(
    config: Config, directory: RunDirectory, data: dict[str, Any], exploration: Exploration, recorder: Recorder
) -> SearchOutcome:
    """Evaluates the model and what it is compared with, and writes model, trials, report and, last, the result."""
    history, selection = exploration.history, exploration.selection
    task = history.task
    model = selection.build(task, _refit(task.final if task.is_ordered else None, exploration, recorder))
    contenders = _contenders(model, exploration, recorder, data["notes"])
    refits = _refit(task.everything, exploration, recorder)
    final_model = selection.build(task, refits) if refits else model
    final_model.save(directory.path)
    trials = history.trials("random", "proposed", "promoted", "repeated", "baseline")
    trials.to_frame(f"validation_{task.metric.name}").to_csv(directory.path / "trials.csv", index=False)
    write_text(directory.path / "space.json", interop.to_json(task.space))
    explained = _explain(config, history.trials("random", "proposed"), recorder)
    columns = _columns(model, task, recorder)
    metrics = _metrics(contenders, trials, explained, history, recorder)
    n_refits = sum(refit is not None for refit in refits)
    members = selection.summary(task.space)
    result = {
        "metrics": metrics,
        "metric": task.metric.name,
        "found": members[0]["config"],
        "ensemble": members,
        "contenders": {name: contender.config for name, contender in contenders.items()},
        "data": {"name": config.data, **data},
        "meta_learner": explained.summary(),
        "importance": explained.importance,
        "columns": columns,
        "verdict": verdict(metrics, task.metric.name),
        "protocol": _protocol(config, task, exploration, n_refits),
    }
    result = json.loads(json.dumps(result, default=float))
    _write_report(result, config, directory, final_model, contenders["found"].evaluation, explained, recorder)
    directory.finish(result)
    return SearchOutcome(result, final_model)


def _metrics(
    contenders: dict[str, Contender],
    trials: predictor.Trials,
    explained: "_Explained",
    history: WaveHistory,
    recorder: Recorder,
) -> dict[str, float]:
    """The metrics of ``result.json``: test scores, and how many models were trained in how much time."""
    task, choice = history.task, explained.choice
    metrics = {
        **_test_metrics(contenders, task),
        **residuals.scores(contenders["found"].evaluation, task),
        "models_trained": history.count("random", "proposed", "promoted", "repeated"),
        "configurations_tried": history.count("random", "proposed"),
        "models_failed": int(np.isnan(trials.metric).sum()),
        "log10_space": task.space.log10_size,
        "seconds": round(recorder.schedule.budget.seconds, 1),
    }
    if choice:
        metrics["meta_learner_r2"] = choice.r2[choice.best]
    if "random" in contenders:
        n_initial = 0 if task.fixed_choices and history.count("baseline") else max(1, len(task.initial))
        metrics["configurations_tried_random"] = history.count("random", "baseline") - n_initial
    return metrics


def _write_report(
    result: dict[str, Any],
    config: Config,
    directory: RunDirectory,
    model: TrainedModel,
    evaluation: ensemble.Evaluation,
    explained: "_Explained",
    recorder: Recorder,
) -> None:
    """Writes ``report.html``, for which the size and the speed of the model are measured if there is time."""
    history = recorder.history
    rows = np.asarray(history.task.final.x_eval) if isinstance(model, FittedModel) else None
    allows = lambda seconds: recorder.schedule.budget.allows(seconds + ENDING_SECONDS / 2)
    costs = footprint(model, directory.path, rows, allows)
    findings = report.Findings(history, explained.choice, explained.trials, evaluation, costs)
    write_text(directory.path / "report.html", report.page(result, findings, to_dict(config), directory))


def _contenders(
    model: TrainedModel, exploration: Exploration, recorder: Recorder, notes: list[str]
) -> dict[str, Contender]:
    """Evaluates the ensemble, the default configuration and the best random one.

    The keys are those of ``result.json``. Where no time is left for the best random one, it is left out, with a note.
    """
    history, schedule = exploration.history, recorder.schedule
    task = history.task
    selected = exploration.selection.summary(task.space)[0]["config"]
    contenders = {"found": Contender(selected, ensemble.evaluate_on_test(model, task))}
    compared = {"default": exploration.default}
    if exploration.best_random is not None:
        compared["random"] = exploration.best_random
    for name, encoding in compared.items():
        if name == "random" and not schedule.budget.allows(2 * schedule.default_seconds + ENDING_SECONDS):
            notes.append("No time was left to train the best random configuration on all rows.")
            continue
        refit = ensemble.refit(encoding[None], task, exploration.key)
        contenders[name] = Contender(refit.model.configs[0], ensemble.evaluate_on_test(refit.model, task))
    return contenders


def _columns(model: TrainedModel, task: Task, recorder: Recorder) -> dict[str, float]:
    """How much the model needs each column; nothing for images, or where there is no time."""
    if not isinstance(model, FittedModel):
        return {}
    remaining_seconds = recorder.schedule.budget.total - recorder.schedule.budget.seconds - ENDING_SECONDS / 2
    encoder = model.encoder
    names = [column.name for column in encoder.schema.used]
    return column_importance(model, task, encoder.groups, names, min(_COLUMN_SECONDS, remaining_seconds))


def _refit(data: Data | None, exploration: Exploration, recorder: Recorder) -> list[Any]:
    """What the configurations of the ensemble learn from more rows, as far as there is time."""
    key, budget = stream(exploration.key, "everything"), recorder.schedule.budget
    allows = lambda seconds: budget.allows(seconds + ENDING_SECONDS / 2)
    return exploration.selection.refit(exploration.history.task, data, key, allows)


class _Explained(NamedTuple):
    """What the meta-learner says at the end.

    Attributes:
        trials: The trials that it is fitted to: those on the split of the search.
        choice: How well each of its models predicts them; ``None`` where the budget has no time for it.
        importance: How much each choice of the space matters; empty where the budget has no time for it.
    """

    trials: predictor.Trials
    choice: predictor.Choice | None
    importance: dict[str, float]

    def summary(self) -> dict[str, Any] | None:
        """Returns the best model of the meta-learner and the R² of all, for ``result.json``."""
        return None if self.choice is None else {"chosen": self.choice.best, "r2": self.choice.r2}


def _explain(config: Config, trials: predictor.Trials, recorder: Recorder) -> _Explained:
    """How well the meta-learner predicts, and how much each choice matters to it."""
    schedule = recorder.schedule
    if not schedule.budget.allows(_EXPLAINING_SECONDS + ENDING_SECONDS):
        return _Explained(trials, None, {})
    key, size = stream(search_keys(config.seed).propose, "choice"), schedule.plan.padded_size
    choice = predictor.choose(trials, SPECS, "rank", key, padded_size=size)
    model = predictor.fit(trials, choice.spec, "rank", stream(key, "report"), padded_size=size)
    return _Explained(trials, choice, predictor.importance(model, stream(key, "importance")))


def _test_metrics(contenders: dict[str, Contender], task: Task) -> dict[str, float]:
    """The test metrics of all contenders with 95% intervals, and the gain of the ensemble over each of the others."""
    metrics, metric = {}, task.metric.name
    selected = contenders["found"].evaluation
    for name, contender in contenders.items():
        prefix = "" if name == "found" else f"{name}_"
        tested = contender.evaluation
        metrics |= {
            f"{prefix}test_{metric}": tested.score,
            f"{prefix}test_{metric}_low": tested.interval[0],
            f"{prefix}test_{metric}_high": tested.interval[1],
            f"{prefix}test_loss": tested.loss,
        }
        if task.classification:
            metrics[f"{prefix}test_accuracy"] = tested.accuracy
        if name != "found":
            pair, unit = (selected.outputs, tested.outputs), task.metric.unit(task.target_scale)
            low, high = intervals.difference_of_metric(task.metric, *pair, tested.truth, tested.weights)
            metrics |= {
                f"gain_over_{name}": selected.score - tested.score,
                f"gain_over_{name}_low": unit * low,
                f"gain_over_{name}_high": unit * high,
            }
    return metrics


_MIXTURE = (
    "It is mixed with an ensemble of the defaults alone: its weight grows with the number of standard errors by which it is "
    "better on these rows, and is 0 up to two of them. "
)
"""How the protocol says what ``select`` does, unless the metric is one of labels."""


def _test_rows(config: Config, task: Task) -> str:
    """Where the test rows come from."""
    if config.test is not None:
        return f"The rows of {config.test} are the test"
    n, n_train = len(task.final.y_eval), len(task.final.y)
    if config.time is not None:
        return f"The last {n:,} of the {n + n_train:,} rows, in the order of {config.time}, are the test"
    grouping = "" if config.group is None else f", all of some values of {config.group}"
    return f"{n:,} of the {n + n_train:,} rows{grouping}, drawn by seed {config.seed}, are the test"


def _protocol(config: Config, task: Task, exploration: Exploration, n_refits: int) -> str:
    """How the numbers of the result came about, in sentences."""
    criterion = f"{describe(task.metric)}{' (ties by calibrated log-loss)' if task.classification else ''}"
    folds, selection = len(task.folds), exploration.selection
    training = f"on each of {folds} folds" if folds > 1 else "on all rows but those that it is evaluated on"
    sentences = (
        f"{_test_rows(config, task)}; nothing is learned or selected by it. The search "
        f"compares configurations on one split of the other rows and trains good ones {training}. The selected model is an "
        f"ensemble, picked among {words.count(selection.n_candidates, 'candidate')} by {criterion} of what they predict for "
        f"the rows that they were not trained on. {'' if task.metric.by_label else _MIXTURE}Each of the others is "
        "one training of one configuration on all rows but the test. Intervals are 95% intervals over the test rows."
    )
    if task.is_ordered:
        sentences += (
            " Because the latest rows matter most, the configurations of the ensemble are trained on all of these rows before "
            "it is evaluated."
        )
    if config.weight is not None:
        sentences += f" Rows count as {config.weight} says, in training and in every score."
    if n_refits:
        sentences += (
            f" After the evaluation, {words.count(n_refits, 'configuration')} of the ensemble "
            f"{'was' if n_refits == 1 else 'were'} trained on all rows, the test included; in the model that was saved these "
            f"trainings have {'all' if task.is_ordered else 'half'} of the weight."
        )
    return f"{sentences} {task.protocol_note}".strip()
