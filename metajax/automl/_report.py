"""``report.html``: what was found, how, and what mattered; one file that needs no other."""

import html
import json
from typing import Any

import numpy as np

from metajax import plot
from metajax.automl._waves import Waves
from metajax.predictor import Choice, Trials, targets
from metajax.run import RunDirectory

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 2.5rem auto; padding: 0 1.2rem; color: #22252a;
       background: #fff; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
.lead { color: #555b63; margin: 0 0 1.6rem; } .note { color: #555b63; font-size: .92rem; }
.scores { display: flex; gap: 1rem; flex-wrap: wrap; } .score { border: 1px solid #d7dade; border-radius: .5rem;
          padding: .8rem 1.1rem; min-width: 11rem; } .score b { display: block; font-size: 1.7rem; }
.score.found { border-color: #c2410c; } .score.found b { color: #c2410c; }
table { border-collapse: collapse; font-size: .95rem; } td, th { text-align: left; padding: .28rem 1rem .28rem 0;
        border-bottom: 1px solid #e6e8eb; font-weight: normal; } th { color: #555b63; }
img { max-width: 100%; height: auto; background: #fff; border-radius: .3rem; }
code { background: #f1f2f4; padding: .1rem .3rem; border-radius: .25rem; font-size: .9em; }
@media (prefers-color-scheme: dark) { body { background: #16181b; color: #e6e8eb; } .lead, .note, th { color: #a2a8b0; }
  .score { border-color: #3a3f45; } td, th { border-color: #2b2f34; } code { background: #2b2f34; } }
"""


def page(
    result: dict[str, Any],
    waves: Waves,
    choice: Choice,
    learned: Trials,
    config: dict[str, Any],
    directory: RunDirectory,
) -> str:
    """The whole report as HTML."""
    m, data = result["metrics"], result["data"]
    metric = "accuracy" if data["task"] == "classification" else "r2"
    name = "accuracy" if metric == "accuracy" else "R²"
    show = (lambda v: f"{100 * v:.2f}%") if metric == "accuracy" else (lambda v: f"{v:.4f}")
    rows = data["rows"]
    scores = [("found", "found by the search", f"test_{metric}")]
    if f"default_test_{metric}" in m:
        scores.append(("", "default configuration", f"default_test_{metric}"))
    if f"random_test_{metric}" in m:
        scores.append(("", f"best of {m['models_trained_random']} at random", f"random_test_{metric}"))
    cards = "".join(
        f'<div class="score {css}"><b>{show(m[key])}</b>{label}<br>'
        f'<span class="note">95% interval: {show(m[key + "_low"])} to {show(m[key + "_high"])}<br>'
        f"one refit alone: {show(m[key + '_single'])}</span></div>"
        for css, label, key in scores
    )
    contenders = result["contenders"]
    names = list(dict.fromkeys(k for c in contenders.values() for k in c))
    members = f"found ({result['ensemble'][0]['members']} of the members)"
    head = "".join(f"<th>{html.escape(members if n == 'found' else n)}</th>" for n in contenders)
    body = "".join(_row(k, contenders) for k in names)
    title = data["name"] if data["target"] in ("target", "y") else data["target"]
    notes = "".join(f"<li>{html.escape(n)}</li>" for n in data["notes"])
    pictures = [
        ("How good the best model was, by models trained", _progress(waves, name)),
        ("Learning curves of the best models", _curves(waves, name)),
        ("Predicted against measured", _agreement(choice, learned)),
        ("Which choices matter", _importance(result["importance"])),
    ]
    figures = "".join(f"<h2>{html.escape(t)}</h2><p class='note'>{c}</p>{plot.as_html(f, t)}" for t, (f, c) in pictures)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>metajax: {html.escape(data["name"])}</title><style>{_STYLE}</style></head><body>
<h1>A model for {html.escape(title)}</h1>
<p class="lead">{html.escape(data["name"])}: {rows["train"]} rows to train on, {rows["validation"]} to choose by,
{rows["test"]} to test on; {data["features"]} features. {m["models_trained"]} models trained out of a space of
10<sup>{m["log10_space"]:.0f}</sup>, in {m["seconds"] / 60:.1f} minutes in all.</p>
<h2>Test {name}</h2><div class="scores">{cards}</div>
<p>{_gains(m)}</p>
<p class="note">{html.escape(result["protocol"])}. Intervals of one score are {_KINDS[metric]}, of a difference by a paired
bootstrap of the {rows["test"]} test rows; they do not hold the randomness of training.</p>
{f"<ul class='note'>{notes}</ul>" if notes else ""}
<h2>What was found</h2>
<p>{_mixture(result["ensemble"])} {_against(contenders)}</p><table><tr><th></th>{head}</tr>{body}</table>
{figures}
<h2>How to use it</h2>
<p><code>metajax predict {html.escape(str(directory.path))} --data FILE.csv</code> writes predictions for new rows with the
same columns. Everything that was tried is in <code>trials.csv</code>, the numbers of this page in
<code>result.json</code>.</p>
<details><summary class="note">Settings and versions</summary><pre>{html.escape(json.dumps(config, indent=2))}
{html.escape((directory.path / "meta.json").read_text())}</pre></details>
</body></html>
"""


def _mixture(parts: list[dict[str, Any]]) -> str:
    """How many configurations the model is made of."""
    members = sum(part["members"] for part in parts)
    if len(parts) == 1:
        return f"The model is the mean of {members} trainings of one configuration."
    rest = ", ".join(str(part["members"]) for part in parts[1:])
    return (
        f"The model is the mean of {members} trainings of {len(parts)} configurations: {parts[0]['members']} of the one below, "
        f"{rest} of the others (<code>result.json</code> has them all)."
    )


def _against(contenders: dict[str, dict[str, Any]]) -> str:
    """Whether the configuration found is the default, and if not, where it differs."""
    default = contenders.get("default")
    if default is None:
        return ""
    found = contenders["found"]
    differing = sum(found.get(k) != default.get(k) for k in {**found, **default})
    if not differing:
        return "The search found no configuration that does better on held-out rows than the default."
    return f"It differs from the default in {differing} choices, set in bold."


_KINDS = {"accuracy": "Wilson's", "r2": "by the bootstrap"}
_OTHERS = {"default": "the default configuration", "random": "the best configuration drawn at random"}


def _gains(metrics: dict[str, float]) -> str:
    """What was found against each of the others, in points of a hundred, and whether the test rows show a difference."""
    sentences = []
    for name, text in _OTHERS.items():
        if f"gain_over_{name}" not in metrics:
            continue
        gain, low, high = (100 * metrics[f"gain_over_{name}{end}"] for end in ("", "_low", "_high"))
        shown = "the test rows show no difference" if low <= 0 <= high else "the test rows show a difference"
        sentences.append(f"Found less {text}: {gain:+.2f} points (95% interval {low:+.2f} to {high:+.2f}; {shown}).")
    return " ".join(sentences)


def _row(name: str, contenders: dict[str, dict[str, Any]]) -> str:
    """One choice of every contender; what was found stands out where it is not what the default has."""
    cells = {who: _plain(config.get(name)) for who, config in contenders.items()}
    if "default" in contenders and contenders["found"].get(name) != contenders["default"].get(name):
        cells["found"] = f"<b>{cells['found']}</b>"
    return f"<tr><th>{html.escape(name)}</th>" + "".join(f"<td>{cell}</td>" for cell in cells.values()) + "</tr>"


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return f"{len(value)} chosen" + (": " + ", ".join(map(str, value)) if len(value) <= 12 else "")
    return html.escape(str(value))


def _progress(waves: Waves, name: str):
    series = {}
    for label, sources in (("search", ("random", "proposed")), ("random", ("random", "baseline"))):
        if label == "random" and not any(w.source == "baseline" for w in waves.done):
            continue
        metric = np.nan_to_num(waves.trials(*sources).metric, nan=-np.inf)
        series[label] = (np.arange(1, len(metric) + 1), np.maximum.accumulate(metric))
    figure = plot.curves(series, "models trained", f"best validation {name} so far")
    axes = figure.axes[0]
    low = min(float(y[min(len(y) - 1, 8)]) for _, y in series.values())
    high = max(float(y[-1]) for _, y in series.values())
    axes.set_ylim(low - 0.05 * (high - low + 1e-3), high + 0.1 * (high - low + 1e-3))
    return figure, "Validation scores of single trainings; the first wave is random for both."


def _curves(waves: Waves, name: str):
    trials, curves = waves.trials("random", "proposed"), waves.curves("random", "proposed")
    order = np.argsort(-trials.utility, kind="stable")[:8]
    configs = trials.configs()
    series = {}
    for rank, i in enumerate(order, 1):
        epochs = configs[i]["epochs"]
        series[f"{rank}: {configs[i].get('model', 'cell')}"] = (
            np.linspace(0, epochs, curves.shape[1] + 1)[1:],
            curves[i],
        )
    return plot.curves(series, "epochs", f"validation {name}"), "The eight best of the search while they trained."


def _agreement(choice: Choice, learned: Trials):
    goal = targets.make(learned, "rank")
    rank = goal.y * goal.scale + goal.shift
    figure = plot.scatter(choice.predicted[choice.best], rank, "predicted rank", "measured rank")
    r2 = ", ".join(f"{k} {v:.2f}" for k, v in choice.r2.items())
    return figure, f"The meta-learner on trainings it had not seen (cross-validation; R²: {r2})."


def _importance(importance: dict[str, float]):
    top = dict(list(importance.items())[:12])
    return plot.bars(top, "share of the predicted variation"), (
        "Total Sobol index by the meta-learner: how much the predicted rank varies when this choice alone is redrawn."
    )
