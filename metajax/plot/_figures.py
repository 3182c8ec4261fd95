"""Figures. Matplotlib is imported when one is drawn; no display is needed."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

INK, ACCENT, SECOND, THIRD, MUTED = "#22252a", "#c2410c", "#1d4ed8", "#15803d", "#9aa0a6"
_STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "font.size": 10,
    "legend.frameon": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "savefig.dpi": 130,
}


def subplots(columns: int = 1, width: float = 5.2, height: float = 3.6) -> tuple[Any, list[Any]]:
    """A figure with ``columns`` axes in one row, in the project's style."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width * columns, height), layout="constrained")
        FigureCanvasAgg(figure)
        return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def save(figure: Any, path: Path | str) -> None:
    figure.savefig(path, dpi=130)


def as_html(figure: Any, alt: str) -> str:
    """The figure as an ``<img>`` that needs no other file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return f'<img alt="{alt}" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def adaptation(panels: Sequence[tuple[np.ndarray, Mapping[str, np.ndarray], Any, Any]]) -> Any:
    """Regression before and after adaptation; a panel is ``(x, {label: y}, truth, support)``."""
    figure, axes = subplots(len(panels), 4.2, 3.2)
    for ax, (x, curves, truth, support) in zip(axes, panels):
        ax.plot(*truth, color=MUTED, linewidth=4, alpha=0.5, label="truth")
        for (label, y), color, style in zip(curves.items(), (SECOND, THIRD, ACCENT), (":", "--", "-")):
            ax.plot(x, y, color=color, linestyle=style, label=label)
        ax.plot(*support, "o", color=INK, markersize=5, label="support")
        ax.set_xlabel("x")
    axes[0].legend(fontsize=8)
    return figure


def curves(series: Mapping[str, tuple[Any, ...]], xlabel: str, ylabel: str, title: str = "") -> Any:
    """Labeled lines; a series is ``(x, y)``, or ``(x, y, half)`` with half the width of an interval."""
    many = len(series) > 6  # their legend stands beside the lines
    figure, (ax,) = subplots(1, 7.6 if many else 5.2)
    colors = (ACCENT, SECOND, THIRD, INK, MUTED)
    for i, (label, (x, y, *half)) in enumerate(series.items()):
        color, style = colors[i % len(colors)], ("-", "--", ":", "-.")[i // len(colors) % 4]
        ax.plot(x, y, color=color, linestyle=style, label=label)
        if half:
            ax.fill_between(x, np.subtract(y, half[0]), np.add(y, half[0]), color=color, alpha=0.15, linewidth=0)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if many:
        ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    elif len(series) > 1:
        ax.legend(fontsize=8)
    return figure


def scatter(x: Any, y: Any, xlabel: str, ylabel: str, title: str = "", diagonal: bool = True) -> Any:
    """Points against each other, with the line on which they would agree."""
    figure, (ax,) = subplots(1, 4.6, 3.8)
    ax.plot(x, y, "o", color=ACCENT, markersize=3.5, alpha=0.6)
    if diagonal and len(x):
        ends = [min(np.min(x), np.min(y)), max(np.max(x), np.max(y))]
        ax.plot(ends, ends, color=MUTED, linewidth=1)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    return figure


def bars(values: Mapping[str, float], xlabel: str, title: str = "") -> Any:
    """Horizontal bars, in the order given from the top."""
    figure, (ax,) = subplots(1, 5.6, 0.9 + 0.3 * len(values))
    ax.barh(list(values)[::-1], list(values.values())[::-1], color=SECOND, height=0.65)
    ax.set(xlabel=xlabel, title=title)
    return figure
