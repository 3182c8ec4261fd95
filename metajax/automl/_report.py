"""``report.html``: what the search selected, how, and what mattered. One file that needs no other."""

import html
import json
from pathlib import Path
from typing import Any, NamedTuple

from metajax import plot
from metajax.automl import _data_card, _report_model, _residuals
from metajax.automl import _report_figures as figures
from metajax.automl import _report_scores as scores
from metajax.automl import _report_tables as tables
from metajax.automl import _report_words as words
from metajax.automl._ensemble import Evaluation
from metajax.automl._footprint import Footprint
from metajax.automl._metrics import describe
from metajax.automl._report_style import STYLE
from metajax.automl._waves import WaveHistory
from metajax.predictor import Choice, Trials
from metajax.run import RunDirectory, read_json

_BOOTSTRAP = "The interval is a bootstrap over the test rows; that of a difference is a paired bootstrap."
_INTERVALS = {
    "accuracy": "The interval of an accuracy is Wilson's; that of a difference is a paired bootstrap over the test rows.",
    "r2": "The interval of R² is a bootstrap over the test rows; that of a difference is a paired bootstrap.",
}


class Findings(NamedTuple):
    """What a search found beside the content of ``result.json``.

    Attributes:
        history: Everything that was trained.
        choice: The choice of the meta-learner, or ``None`` where there was no time for it.
        trials: The trials that the meta-learner was fitted to.
        tested: What the model predicts for the test rows.
        footprint: What the model costs.
    """

    history: WaveHistory
    choice: Choice | None
    trials: Trials
    tested: Evaluation
    footprint: Footprint


def page(result: dict[str, Any], findings: Findings, config: dict[str, Any], directory: RunDirectory) -> str:
    """Returns the whole report as HTML.

    Args:
        result: The content of ``result.json``.
        findings: What else was found.
        config: The settings of the search.
        directory: The run directory.
    """
    data, metric = result["data"], result["metric"]
    has_name = "columns" in data and data["target"] not in ("target", "y")
    title = data["target"] if has_name else Path(data["name"]).name
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>metajax: {html.escape(data["name"])}</title><style>{STYLE}</style></head><body>
<h1>A model for {html.escape(title)}</h1>
<p class="verdict">{html.escape(result["verdict"])}</p>
<p class="lead">{_introduction(result)}</p>
<h2>Test {describe(metric)}</h2>
<p class="note">{html.escape(words.metric(metric))}</p>
{scores.cards(result["metrics"], metric)}
{scores.gains(result["metrics"], metric)}
<details><summary>How this was measured</summary><p class="note">{html.escape(result["protocol"])}
{_INTERVALS.get(metric, _BOOTSTRAP)} The intervals do not include the randomness of training.</p></details>
{_by_row(result, findings, config.get("test") or "the table")}
{_by_column(result, findings.history)}
<h2>The selected model</h2>
{_report_model.section(result)}
<h2>What was tried</h2>
{_leaderboard(result, findings)}
{_figures(result, findings)}
<h2>The data and the run</h2>
{_data_card.section(data, read_json(directory.path / "meta.json"), findings.footprint)}
<h2>How to use the model</h2>
{_usage(str(directory.path), data)}
{_appendix(config, directory)}
</body></html>
"""


def _introduction(result: dict[str, Any]) -> str:
    """The dataset and the effort in three sentences."""
    metrics, data = result["metrics"], result["data"]
    rows, name, is_table = data["rows"], html.escape(data["name"]), "columns" in data
    inputs = f"{words.count(data['features'], 'feature')}, " if is_table else ""
    noun = "row" if is_table else "image"
    return (
        f"The dataset {name} has {inputs}{words.count(rows['learned'], noun)} that were learned from and "
        f"{words.count(rows['test'], f'test {noun}')}. The search tried "
        f"{words.count(metrics['configurations_tried'], 'configuration')} of the "
        f"10<sup>{metrics['log10_space']:.0f}</sup> that are possible, and trained "
        f"{words.count(metrics['models_trained'], 'model')}. It took {words.duration(metrics['seconds'])} in all."
    )


def _by_row(result: dict[str, Any], findings: Findings, table: str) -> str:
    """The test rows of each class, and what they are taken for; the errors of a regression by the rows of a table."""
    data, tested = result["data"], findings.tested
    if data["task"] != "classification":
        errors = _residuals.residuals(tested, findings.history.task)
        section = _residuals.section(errors, data["target"], result["metrics"]["test_r2"], table)
        return f"<h2>Errors on the test rows</h2>{section}"
    names = data.get("labels") or [str(number) for number in range(data["classes"])]
    return f"<h2>Class by class</h2>{tables.classes(tested.truth, tested.outputs, names)}"


def _by_column(result: dict[str, Any], history: WaveHistory) -> str:
    """The columns that the model needs; nothing for images."""
    if "columns" not in result["data"]:
        return ""
    heading, task = "<h2>Which columns matter</h2>", history.task
    if not result["columns"]:
        return f"{heading}<p class='note'>The budget had no time left to measure this.</p>"
    table = tables.columns(result["columns"], result["metric"], task.metric.unit(task.target_scale))
    return (
        f"{heading}<p class='note'>By how much the test score falls where the values of one column are shuffled among the rows "
        "(permutation importance). Columns with the same information stand in for each other: each of them alone may seem not "
        f"to matter.</p>{table}"
    )


def _leaderboard(result: dict[str, Any], findings: Findings) -> str:
    """The leaderboard of model types."""
    board = tables.leaderboard(findings.trials, result["ensemble"], result["metric"])
    return (
        f"<p class='note'>The best validation score of each model type ({describe(result['metric'])} of a single training), "
        "the median seconds of a training, and the weight of the type in the model. Validation scores are the best of many and "
        f"therefore a little too good; the test score is not.</p>{board}"
    )


def _figures(result: dict[str, Any], findings: Findings) -> str:
    """The figures of the search, each with a heading and a caption."""
    label, history = describe(result["metric"]), findings.history
    figure_by_heading = {}
    if history.count("random", "proposed") > 1:
        figure_by_heading["How fast the search improved"] = figures.progress(history, label)
    is_one = history.count("random", "proposed") == 1
    figure_by_heading["Learning curve" if is_one else "Learning curves of the best models"] = figures.learning_curves(
        history, label
    )
    if findings.choice is not None:
        figure_by_heading["How well the meta-learner predicts"] = figures.agreement(findings.choice, findings.trials)
        figure_by_heading["Which choices matter"] = figures.importance(result["importance"])
    return "".join(
        f"<h2>{heading}</h2><p class='note'>{html.escape(figure.caption)}</p>{plot.as_html(figure.figure, heading)}"
        for heading, figure in figure_by_heading.items()
    )


def _usage(path: str, data: dict[str, Any]) -> str:
    """How to load the model and predict with it, on the command line and in Python."""
    is_table = "columns" in data
    outputs = "values, _" if data["task"] == "regression" else "labels, probabilities"
    rows = "pandas.read_csv('FILE.csv')" if is_table else "images"
    lines = [
        "import pandas\n" * is_table + "from metajax import automl\n",
        f"model = automl.load_model({path!r})",
        *([] if is_table else ["# images: float32 array of shape [n, height, width, channels], values in [0, 1]"]),
        f"{outputs} = model.predict({rows})",
    ]
    command = (
        f"<p>This command predicts new rows that have the columns of the training data:</p>"
        f"<pre>metajax predict {html.escape(path)} --data FILE.csv</pre><p>In Python:</p>"
    )
    return (
        f"{command if is_table else ''}<pre>{html.escape(chr(10).join(lines))}</pre>"
        "<p>Every model that was trained is a row of <code>trials.csv</code>. The scores of this page are in "
        "<code>result.json</code>.</p>"
    )


def _appendix(config: dict[str, Any], directory: RunDirectory) -> str:
    """The words of the page, and the settings and versions of the run."""
    terms = "".join(f"<dt>{term}</dt><dd>{meaning}</dd>" for term, meaning in words.GLOSSARY.items())
    settings = f"{json.dumps(config, indent=2)}\n{(directory.path / 'meta.json').read_text(encoding='utf-8')}"
    return (
        f"<details><summary>The words of this page</summary><dl class='note'>{terms}</dl></details>"
        f"<details><summary>Settings and versions</summary><pre>{html.escape(settings)}</pre></details>"
    )
