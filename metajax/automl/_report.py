"""``report.html``: what the search selected, how, and what mattered. One file that needs no other."""

import html
import json
from typing import Any

from metajax import plot
from metajax.automl import _data_card
from metajax.automl import _report_figures as figures
from metajax.automl import _report_tables as tables
from metajax.automl._ensemble import Evaluation
from metajax.automl._metrics import describe
from metajax.automl._waves import WaveHistory
from metajax.predictor import Choice, Trials
from metajax.run import RunDirectory

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 2.5rem auto; padding: 0 1.2rem; color: #22252a;
       background: #fff; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
.verdict { font-size: 1.15rem; margin: .4rem 0 .8rem; } .wide { overflow-x: auto; }
.lead { color: #555b63; margin: 0 0 1.6rem; } .note { color: #555b63; font-size: .92rem; max-width: 46rem; }
.scores { display: flex; gap: 1rem; flex-wrap: wrap; } .score { border: 1px solid #d7dade; border-radius: .5rem;
          padding: .8rem 1.1rem; min-width: 11rem; } .score b { display: block; font-size: 1.7rem; }
.score.found { border-color: #c2410c; } .score.found b { color: #c2410c; }
table { border-collapse: collapse; font-size: .95rem; } td, th { text-align: left; padding: .28rem 1rem .28rem 0;
        border-bottom: 1px solid #e6e8eb; font-weight: normal; } th { color: #555b63; }
img { max-width: 100%; height: auto; background: #fff; border-radius: .3rem; }
code { background: #f1f2f4; padding: .1rem .3rem; border-radius: .25rem; font-size: .9em; }
@media (prefers-color-scheme: dark) { body { background: #16181b; color: #e6e8eb; } .lead, .note, th { color: #a2a8b0; }
  .score { border-color: #3a3f45; } td, th { border-color: #2b2f34; } code { background: #2b2f34; }
  img { filter: invert(.9) hue-rotate(180deg); } }
"""


# What the choices of a table's space are; those of other spaces are shown by their names alone.
_MEANINGS = {
    "model": "type of model",
    "depth": "hidden layers",
    "width": "units of a hidden layer",
    "activation": "activation function",
    "norm": "normalization of hidden layers",
    "dropout": "probability that a unit is dropped",
    "learning_rate": "peak learning rate",
    "weight_decay": "of AdamW, decoupled",
    "batch_size": "rows of an update",
    "epochs": "passes over the rows; small tables are repeated within one",
    "selection": "whether all features are used",
    "features": "features used",
    "label_smoothing": "probability spread over all classes",
    "shift": "pixels by which training images are shifted at most",
    "mirror": "whether training images are mirrored at random",
    "leaves": "maximum number of leaves of a tree",
    "min_leaf": "minimum number of rows of a leaf",
    "iterations": "trees, one for each class",
    "l2": "penalty on the values of leaves",
    "columns": "share of the inputs that a split or a tree sees",
    "rows": "share of the rows that a tree sees",
    "penalty": "penalty on squared weights",
    "neighbors": "training rows that vote",
}
_NAMES = {"found": "selected model", "default": "default configuration", "random": "best random configuration"}
_BOOTSTRAP = "The interval is a bootstrap over the test rows; that of a difference is a paired bootstrap."
_INTERVALS = {
    "accuracy": "The interval of an accuracy is Wilson's; that of a difference is a paired bootstrap over the test rows.",
    "r2": "The interval of R² is a bootstrap over the test rows; that of a difference is a paired bootstrap.",
}


def page(
    result: dict[str, Any],
    history: WaveHistory,
    choice: Choice | None,
    learned: Trials,
    config: dict[str, Any],
    directory: RunDirectory,
    tested: Evaluation,
) -> str:
    """Returns the whole report as HTML.

    Args:
        result: The content of ``result.json``.
        history: Everything that was trained.
        choice: The choice of the meta-learner, or ``None`` where there was no time for it.
        learned: The trials that the meta-learner was fitted to.
        config: The settings of the search.
        directory: The run directory.
        tested: What the model predicts for the test rows.
    """
    data = result["data"]
    metric = result["metric"]
    label = describe(metric)
    title = data["name"] if data["target"] in ("target", "y") else data["target"]
    settings = f"{json.dumps(config, indent=2)}\n{(directory.path / 'meta.json').read_text()}"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>metajax: {html.escape(data["name"])}</title><style>{_STYLE}</style></head><body>
<h1>A model for {html.escape(title)}</h1>
<p class="verdict">{html.escape(result["verdict"])}</p>
<p class="lead">{_introduction(result)}</p>
<h2>Test {label}</h2>{_scores(result["metrics"], metric)}
<p>{_gains(result["metrics"], metric)}</p>
<p class="note">{html.escape(result["protocol"])} {_INTERVALS.get(metric, _BOOTSTRAP)} The intervals do not include the
randomness of training.</p>
{_by_class(tested, data)}
{_by_column(result["columns"], label)}
{_data_card.section(data)}
<h2>The selected model</h2>
<p>{_members(result["ensemble"])} {_difference_to_default(result["contenders"])}</p>{_table(result)}
<h2>What was tried</h2>{tables.leaderboard(learned, result["ensemble"], label)}
{_figures(result, history, choice, learned, label)}
<h2>How to use it</h2>
<p><code>metajax predict {html.escape(str(directory.path))} --data FILE.csv</code> predicts new rows that have the columns of
the training data. In Python:</p>
<pre>{_usage(str(directory.path), "columns" in data)}</pre>
<p>Every model that was trained is a row of <code>trials.csv</code>. The numbers of this page are in
<code>result.json</code>.</p>
<details><summary class="note">Settings and versions</summary><pre>{html.escape(settings)}</pre></details>
</body></html>
"""


def _usage(path: str, is_table: bool) -> str:
    """How the model is loaded and asked in Python."""
    rows = "pandas.read_csv('FILE.csv')" if is_table else "images  # f32[n, height, width, channels] in [0, 1]"
    lines = (
        "from metajax import automl",
        f"model = automl.load_model({path!r})",
        f"labels, probabilities = model.predict({rows})",
    )
    return html.escape("\n".join(lines))


def _by_class(tested: Evaluation, data: dict[str, Any]) -> str:
    """The test rows of each class, and what they are taken for."""
    if data["task"] != "classification":
        return ""
    names = data.get("labels") or [str(number) for number in range(data["classes"])]
    return f"<h2>Class by class</h2>{tables.classes(tested.truth, tested.outputs, names)}"


def _by_column(importance: dict[str, float], label: str) -> str:
    """The columns that the model needs."""
    if not importance:
        return ""
    return (
        "<h2>Which columns matter</h2><p class='note'>By how much the test score falls where the values of one column are "
        f"shuffled among the rows ({label}). Columns that say the same stand in for each other.</p>{tables.columns(importance)}"
    )


def _introduction(result: dict[str, Any]) -> str:
    """The dataset and the effort in two sentences."""
    metrics, data = result["metrics"], result["data"]
    rows = data["rows"]
    return (
        f"The dataset {html.escape(data['name'])} has {data['features']} features, {rows['learned']:,} rows that were learned "
        f"from and {rows['test']:,} test rows. The search tried {metrics['configurations_tried']:,} configurations out of a "
        f"space of 10<sup>{metrics['log10_space']:.0f}</sup>, and trained {metrics['models_trained']:,} models. It took "
        f"{metrics['seconds'] / 60:.1f} minutes in all."
    )


def _scores(metrics: dict[str, float], metric: str) -> str:
    """A card with the test score of the selected model and of each of the others."""
    show = (lambda v: f"{100 * v:.2f}%") if metric == "accuracy" else (lambda v: f"{v:.4f}")
    cards = []
    for name, label in _NAMES.items():
        key = f"test_{metric}" if name == "found" else f"{name}_test_{metric}"
        if key not in metrics:
            continue
        if name == "random":
            label = f"best of {metrics['configurations_tried_random']} random configurations"
        cards.append(
            f'<div class="score {name}"><b>{show(metrics[key])}</b>{label}<br>'
            f'<span class="note">95% interval: {show(metrics[key + "_low"])} to {show(metrics[key + "_high"])}</span></div>'
        )
    return f'<div class="scores">{"".join(cards)}</div>'


def _gains(metrics: dict[str, float], metric: str) -> str:
    """The selected model against each of the others, and whether the test rows show a difference.

    Differences of shares and of R² are given in hundredths, those of errors and losses as they are.
    """
    is_share = not metric.startswith("neg_")
    sentences = []
    for name, label in _NAMES.items():
        if f"gain_over_{name}" not in metrics:
            continue
        gain, low, high = (metrics[f"gain_over_{name}{end}"] for end in ("", "_low", "_high"))
        verdict = "the test rows show no difference" if low <= 0 <= high else "the test rows show a difference"
        show = (lambda value: f"{100 * value:+.2f}") if is_share else (lambda value: f"{value:+.4g}")
        unit = " points" if is_share else ""
        sentences.append(
            f"Selected model minus {label}: {show(gain)}{unit} (95% interval {show(low)} to {show(high)}; {verdict})."
        )
    if sentences and is_share:
        sentences.append('<span class="note">A point is a hundredth of the score.</span>')
    return " ".join(sentences)


def _members(parts: list[dict[str, Any]]) -> str:
    """The configurations in the model."""
    if len(parts) == 1:
        return "The model is one configuration, trained on every fold of the rows; its prediction is their mean."
    rest = ", ".join(f"{100 * part['weight']:.0f}%" for part in parts[1:])
    return (
        f"The model is the weighted mean prediction of {len(parts)} configurations, each trained on every fold of the rows: "
        f"{100 * parts[0]['weight']:.0f}% of the one in the table, {rest} of the others, which are in <code>result.json</code>."
    )


def _difference_to_default(contenders: dict[str, dict[str, Any]]) -> str:
    """Whether the selected configuration is the default, and if not, in how many choices it differs."""
    default = contenders.get("default")
    if default is None:
        return ""
    selected = contenders["found"]
    n_differing = sum(selected.get(name) != default.get(name) for name in {**selected, **default})
    if not n_differing:
        return (
            "It is the default: the search found no configuration that does better on held-out rows than the default."
        )
    return f"The table's configuration differs from the default in {n_differing} choices, which are set in bold."


def _table(result: dict[str, Any]) -> str:
    """Every choice of the selected configuration beside those of the others."""
    contenders = result["contenders"]
    choices = list(dict.fromkeys(name for config in contenders.values() for name in config))
    labels = {**_NAMES, "found": f"selected ({100 * result['ensemble'][0]['weight']:.0f}% of the model)"}
    head = "".join(f"<th>{html.escape(labels[name])}</th>" for name in contenders)
    body = "".join(_row(name, contenders) for name in choices)
    dash = any(name not in config for name in choices for config in contenders.values())
    note = "<p class='note'>A dash stands where a choice does not apply.</p>" if dash else ""
    return f"<table><tr><th></th>{head}</tr>{body}</table>{note}"


def _row(name: str, contenders: dict[str, dict[str, Any]]) -> str:
    """One choice of every contender; that of the selected one is bold where the default differs."""
    cells = {contender: _value(config.get(name)) for contender, config in contenders.items()}
    if "default" in contenders and contenders["found"].get(name) != contenders["default"].get(name):
        cells["found"] = f"<b>{cells['found']}</b>"
    meaning = _MEANINGS.get(name.split(".")[-1], "")  # "boosted_trees.leaves" is explained by its last part.
    meaning = f"<br><span class='note'>{meaning}</span>" if meaning else ""
    return (
        f"<tr><th>{html.escape(name)}{meaning}</th>" + "".join(f"<td>{cell}</td>" for cell in cells.values()) + "</tr>"
    )


def _value(value: Any) -> str:
    """A choice as a person writes it."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        items = ": " + ", ".join(map(str, value)) if len(value) <= 12 else ""
        return html.escape(f"{len(value)} selected{items}")
    return html.escape(str(value))


def _figures(result: dict[str, Any], history: WaveHistory, choice: Choice | None, learned: Trials, label: str) -> str:
    """The four figures, each with a heading and a caption."""
    drawn = {
        "How fast the search improved": figures.progress(history, label),
        "Learning curves of the best models": figures.learning_curves(history, label),
    }
    if choice is not None:
        drawn["How well the meta-learner predicts"] = figures.agreement(choice, learned)
        drawn["Which choices matter"] = figures.importance(result["importance"])
    return "".join(
        f"<h2>{heading}</h2><p class='note'>{html.escape(figure.caption)}</p>{plot.as_html(figure.figure, heading)}"
        for heading, figure in drawn.items()
    )
