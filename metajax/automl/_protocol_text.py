"""How the numbers of a result came about, in sentences."""

from metajax.automl import _report_words as words
from metajax.automl._explore import Exploration
from metajax.automl._metrics import describe
from metajax.automl._settings import Config
from metajax.automl._task import Task

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


def protocol(config: Config, task: Task, exploration: Exploration, n_refits: int) -> str:
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
