"""Mean ranks of methods over tables, and which differences between them are more than chance."""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import stats


class Ranks(NamedTuple):
    """Mean ranks, 1 is best.

    Attributes:
        mean: The mean rank of each method.
        p: The p-value of Friedman's test that all methods are equal.
        critical: The critical difference of two mean ranks (Nemenyi, at 5%).
        tables: Number of tables.
    """

    mean: dict[str, float]
    p: float
    critical: float
    tables: int

    def groups(self) -> list[tuple[str, ...]]:
        """Returns the largest sets of methods whose mean ranks do not differ by the critical difference."""
        order = sorted(self.mean, key=lambda name: self.mean[name])
        runs = []
        for first, last in itertools.combinations(range(len(order)), 2):
            if self.mean[order[last]] - self.mean[order[first]] < self.critical:
                runs.append((first, last))
        largest = [r for r in runs if not any(a <= r[0] and r[1] <= b and (a, b) != r for a, b in runs)]
        return [tuple(order[first : last + 1]) for first, last in largest]


def ranks(scores: Mapping[str, Mapping[str, float]]) -> Ranks:
    """Ranks methods on each table, and tests the differences (Demšar 2006, JMLR 7).

    Args:
        scores: For each method its score on every table, larger is better; NaN where it failed, which ranks last. Equal scores
            share a rank.

    Returns:
        The mean ranks.

    Example:
        >>> scores = {"a": {"x": 3.0, "y": 2.0}, "b": {"x": 1.0, "y": 2.0}, "c": {"x": 0.0, "y": float("nan")}}
        >>> ranks(scores).mean
        {'a': 1.25, 'b': 1.75, 'c': 3.0}
    """
    methods = list(scores)
    tables = list(scores[methods[0]])
    values = np.array([[scores[m][t] for m in methods] for t in tables])
    table_ranks = stats.rankdata(-np.nan_to_num(values, nan=-np.inf), axis=1)
    mean = dict(zip(methods, table_ranks.mean(axis=0).tolist()))
    k, n = len(methods), len(tables)
    p = float(stats.friedmanchisquare(*table_ranks.T).pvalue) if k > 2 and n > 1 else float("nan")
    critical = float(stats.studentized_range.ppf(0.95, k, np.inf) / np.sqrt(2) * np.sqrt(k * (k + 1) / (6 * n)))
    return Ranks(mean, p, critical, n)


def diagram(result: Ranks, title: str = ""):
    """Draws a critical-difference diagram: methods at their mean ranks, those that do not differ joined by a line."""
    from metajax import plot

    order = sorted(result.mean, key=lambda name: result.mean[name])
    groups = result.groups()
    figure, (axes,) = plot.subplots(1, width=6.4, height=0.9 + 0.2 * len(order) + 0.12 * len(groups))
    axes.set_title(title)
    low, high = 1, len(order)
    half = (len(order) + 1) // 2
    depth = 0.6 + 0.5 * len(groups)
    for i, name in enumerate(order):
        is_left = i < half
        level = depth + 0.9 * (i if is_left else len(order) - 1 - i)
        edge = low - 0.25 if is_left else high + 0.25
        axes.plot([result.mean[name]] * 2 + [edge], [0, level, level], color="0.4", linewidth=0.8, clip_on=False)
        text = f"{name}  {result.mean[name]:.2f}" if is_left else f"{result.mean[name]:.2f}  {name}"
        weight = "bold" if name == "metajax" else "normal"
        axes.text(edge, level, text, ha="right" if is_left else "left", va="center", fontsize=8, fontweight=weight)
    for i, group in enumerate(groups):
        ends = result.mean[group[0]] - 0.04, result.mean[group[-1]] + 0.04
        axes.plot(ends, [0.35 + 0.5 * i] * 2, color=plot.ACCENT, linewidth=3, solid_capstyle="round")
    axes.set_xlim(low - 0.25, high + 0.25)
    axes.set_ylim(depth + 0.9 * half, 0)
    axes.xaxis.tick_top()
    axes.set_xticks(range(low, high + 1))
    axes.set_xlabel(f"mean rank over {result.tables} tables; critical difference {result.critical:.2f}")
    for side in ("left", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["top"].set_visible(True)
    axes.set_yticks([])
    axes.grid(False)
    return figure
