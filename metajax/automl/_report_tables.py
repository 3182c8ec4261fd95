"""Tables of ``report.html``: model types, classes, and columns."""

import html
from typing import Any

import numpy as np

from metajax.automl import _report_words as words
from metajax.automl._metrics import describe
from metajax.data.schema._show import listed
from metajax.predictor import Trials

_MAX_CLASSES, _MAX_COLUMNS = 12, 20
_LEAST_DROP = 5e-4  # Smaller drops of the score are not shown.


def leaderboard(trials: Trials, ensemble: list[dict[str, Any]], metric: str) -> str:
    """Returns the best score of each model type on the split of the search, what it took, and its weight in the model.

    Args:
        trials: What was tried.
        ensemble: The configurations of the model, each with its weight.
        metric: The name of the metric.
    """
    models = np.array([config.get("model", "cell") for config in trials.configs()])
    weights: dict[str, float] = {}
    for part in ensemble:
        name = part["config"].get("model", "cell")
        weights[name] = weights.get(name, 0.0) + part["weight"]
    rows = []
    for name in np.unique(models).tolist():
        of_type = models == name
        score = trials.metric[of_type]
        is_known = bool(np.isfinite(score).any())
        best = float(np.nanmax(score)) if is_known else float("-inf")
        seconds = trials.settings["seconds"][of_type]
        median_seconds = f"{np.nanmedian(seconds):.1f}" if np.isfinite(seconds).any() else "–"
        best_score = words.score(best, metric) if is_known else "failed"
        share = f"{100 * weights.get(name, 0):.0f}%"
        rows.append((best, [words.model(name), f"{of_type.sum():,}", best_score, median_seconds, share]))
    rows.sort(key=lambda row: -row[0])
    head = ["model type", "tried", "best score", "seconds", "weight"]
    return table(head, [cells for _, cells in rows])


def classes(truth: np.ndarray, outputs: np.ndarray, names: list[str]) -> str:
    """Returns for each class how many of its test rows are found, and what they are taken for, as a table.

    Args:
        truth: i64[rows], the class numbers of the test rows.
        outputs: f[rows, classes], their probabilities.
        names: Names of the classes.
    """
    predicted, truth = np.argmax(outputs, axis=1), truth.astype(int)
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (truth, predicted), 1)
    notes = _remarks(counts, names)
    share = lambda part, total: "–" if not total else f"{100 * part / total:.1f}%"
    if len(names) > _MAX_CLASSES:
        recalls = [(counts[c, c] / counts[c].sum(), c) for c in range(len(names)) if counts[c].any()]
        lowest = [c for _, c in sorted(recalls)[:_MAX_CLASSES]]
        cells = [[names[c], f"{counts[c].sum():,}", share(counts[c, c], counts[c].sum())] for c in lowest]
        return (
            f"{notes}<p class='note'>The classes of which the smallest share of rows is predicted correctly.</p>"
            f"{table(['class', 'test rows', 'predicted correctly'], cells)}"
        )
    rows = [
        [name, *map(str, counts[c]), share(counts[c, c], counts[c].sum()), share(counts[c, c], counts[:, c].sum())]
        for c, name in enumerate(names)
    ]
    return (
        f"{notes}<p class='note'>A line for each true class: how many of its test rows are predicted as which class. Recall is "
        "the share of the rows of a class that are predicted as it, precision the share of the rows predicted as a class that "
        "are of it.</p>"
        f"{table(['true class', *(f'predicted {name}' for name in names), 'recall', 'precision'], rows)}"
    )


def _remarks(counts: np.ndarray, names: list[str]) -> str:
    """What always predicting the most frequent class reaches, and which classes are never predicted."""
    frequent = int(counts.sum(axis=1).argmax())
    accuracy, constant = np.trace(counts) / counts.sum(), counts[frequent].sum() / counts.sum()
    text = (
        f"{100 * accuracy:.1f}% of the test rows are predicted correctly; always predicting the most frequent class, "
        f"“{names[frequent]}”, would be correct for {100 * constant:.1f}%."
    )
    never = [name for c, name in enumerate(names) if counts[c].any() and not counts[:, c].any()]
    if never:
        metric = "f1" if len(names) == 2 else "balanced_accuracy"
        text += (
            f" Never predicted: {listed([f'“{name}”' for name in never])}. A rare class seldom has the largest probability: "
            f"order rows by its probability instead, or search with --metric {metric}, which gives rare classes more weight."
        )
    return f"<p>{html.escape(text)}</p>"


def columns(importance: dict[str, float], metric: str, unit: float = 1.0) -> str:
    """Returns the columns that the model needs most, and the names of those that it does not need.

    Args:
        importance: By how much the score falls where a column is shuffled, the largest first.
        metric: The name of the metric.
        unit: By what the numbers are multiplied, for scores in the units of the target.
    """
    is_share, min_drop = not metric.startswith("neg_"), _LEAST_DROP
    needed = {name: value for name, value in importance.items() if value >= min_drop}
    format_drop = (
        (lambda value: f"{100 * value:.1f} points") if is_share else (lambda value: words.number(unit * value))
    )
    rows = [[name, format_drop(value)] for name, value in list(needed.items())[:_MAX_COLUMNS]]
    parts = [table(["column", f"{describe(metric)} falls by"], rows)] if rows else []
    unneeded = [name for name in importance if name not in needed]
    if len(needed) > _MAX_COLUMNS:
        parts.append(f"<p class='note'>{len(needed) - _MAX_COLUMNS} more are in <code>result.json</code>.</p>")
    if unneeded:
        parts.append(
            f"<p class='note'>Without a measurable fall on these test rows: {html.escape(listed(unneeded))}.</p>"
        )
    return "".join(parts)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Returns an HTML table whose first column is text and whose others are numbers; a wide one scrolls by itself.

    Args:
        head: The headings.
        rows: The cells of each row; they are escaped.
    """
    line = lambda cells, tag: f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"
    body = "".join(line(row, "td") for row in rows)
    return f"<div class='wide'><table class='numbers'>{line(head, 'th')}{body}</table></div>"
