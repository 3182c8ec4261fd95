"""The end of a search: the model beside others on the test rows, and everything that is written."""

import json
from typing import Any, NamedTuple

import numpy as np

from metajax import predictor
from metajax.automl import _ensemble as ensemble
from metajax.automl import _report as report
from metajax.automl import _residuals as residuals
from metajax.automl._columns import importance as column_importance
from metajax.automl._contenders import Contender, evaluate_contenders, test_metrics
from metajax.automl._explore import Exploration, search_keys
from metajax.automl._footprint import footprint
from metajax.automl._model import FittedModel
from metajax.automl._proposing import SPECS
from metajax.automl._protocol_text import protocol
from metajax.automl._recorder import Recorder
from metajax.automl._settings import Config
from metajax.automl._task import Task, TrainedModel
from metajax.automl._timing import ENDING_SECONDS
from metajax.automl._training import Data
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
    contenders = evaluate_contenders(model, exploration, recorder, data["notes"])
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
        "protocol": protocol(config, task, exploration, n_refits),
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
        **test_metrics(contenders, task),
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
