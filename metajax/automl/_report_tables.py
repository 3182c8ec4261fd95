"""Tables of ``report.html``: model types, classes, and columns."""

import html
from typing import Any

import numpy as np

from metajax.predictor import Trials

_MAX_CLASSES, _MAX_COLUMNS = 12, 20


def leaderboard(trials: Trials, ensemble: list[dict[str, Any]], label: str) -> str:
    """Returns the best score of each model type on the split of the search, what it took, and its weight in the model."""
    models = np.array([config.get("model", "cell") for config in trials.configs()])
    weights: dict[str, float] = {}
    for part in ensemble:
        name = part["config"].get("model", "cell")
        weights[name] = weights.get(name, 0.0) + part["weight"]
    rows = []
    for name in np.unique(models):
        own = models == name
        score = trials.metric[own]
        best = float(np.nanmax(score)) if np.isfinite(score).any() else float("-inf")
        seconds = float(np.nanmedian(trials.settings["seconds"][own]))
        rows.append(
            (
                best,
                [str(name), str(int(own.sum())), f"{best:.4f}", f"{seconds:.2f}", f"{100 * weights.get(name, 0):.0f}%"],
            )
        )
    rows.sort(key=lambda row: -row[0])
    return _table(["model type", "tried", f"best {label}", "median seconds", "weight"], [cells for _, cells in rows])


def classes(truth: np.ndarray, outputs: np.ndarray, names: list[str]) -> str:
    """Returns for each class how many of its test rows are found, and what they are taken for, as a table."""
    predicted, truth = np.argmax(outputs, axis=1), truth.astype(int)
    if len(names) > _MAX_CLASSES:
        wrong = [(np.mean(predicted[truth == c] != c), c) for c in range(len(names)) if (truth == c).any()]
        worst = sorted(wrong, reverse=True)[:_MAX_CLASSES]
        cells = [[names[c], str(int((truth == c).sum())), f"{100 * (1 - share):.1f}%"] for share, c in worst]
        return "<p class='note'>The classes with the smallest share found.</p>" + _table(
            ["class", "rows", "found"], cells
        )
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (truth, predicted), 1)
    head = ["true class", *(f"as {name}" for name in names), "found", "right when said"]
    rows = []
    for c, name in enumerate(names):
        found, said = counts[c].sum(), counts[:, c].sum()
        share = lambda n, c=c: "–" if not n else f"{100 * counts[c, c] / n:.1f}%"
        rows.append([name, *map(str, counts[c]), share(found), share(said)])
    return _table(head, rows)


def columns(importance: dict[str, float]) -> str:
    """Returns the columns that the model needs most."""
    shown = list(importance.items())[:_MAX_COLUMNS]
    return _table(["column", "the score falls by"], [[name, f"{value:.4f}"] for name, value in shown])


def _table(head: list[str], rows: list[list[str]]) -> str:
    """An HTML table."""
    line = lambda cells, tag: f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"
    return f"<div class='wide'><table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table></div>"
