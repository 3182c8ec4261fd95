"""The model and what it is compared with, on the test rows."""

from typing import Any, NamedTuple

from metajax.automl import _ensemble as ensemble
from metajax.automl import _intervals as intervals
from metajax.automl._explore import Exploration
from metajax.automl._recorder import Recorder
from metajax.automl._task import Task, TrainedModel
from metajax.automl._timing import ENDING_SECONDS


class Contender(NamedTuple):
    """A model that is compared on the test rows.

    Attributes:
        config: Its configuration, or the one of the largest weight.
        evaluation: Its test score.
    """

    config: dict[str, Any]
    evaluation: ensemble.Evaluation


def evaluate_contenders(
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


def test_metrics(contenders: dict[str, Contender], task: Task) -> dict[str, float]:
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
