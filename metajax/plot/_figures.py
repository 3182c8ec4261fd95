"""Figures of runs and results."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from metajax.plot._style import ACCENT, COLORS, INK, MUTED, SECOND, THIRD, subplots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MAX_LEGEND_INSIDE = 6  # with more lines, the legend stands beside them
_LINES = ("-", "--", ":", "-.")


class Panel(NamedTuple):
    """One regression task before and after adaptation.

    Attributes:
        x: Array[points] at which the curves are drawn.
        curves: Label -> array[points], in the order of adaptation.
        truth: The pair ``(x, y)`` of the function to be learned.
        support: The pair ``(x, y)`` of the points that were adapted to.
    """

    x: ArrayLike
    curves: Mapping[str, ArrayLike]
    truth: tuple[ArrayLike, ArrayLike]
    support: tuple[ArrayLike, ArrayLike]


def adaptation(panels: Sequence[Panel | tuple[Any, Mapping[str, Any], Any, Any]]) -> "Figure":
    """Draws regression before and after adaptation, one task beside the other.

    Args:
        panels: Each a ``Panel``, or a tuple of the same four.

    Returns:
        The figure.

    Example:
        >>> x = np.linspace(-3, 3, 50)
        >>> panel = Panel(x, {"before": 0 * x, "5 steps": np.sin(x)}, (x, np.sin(x)), ([0.0], [0.0]))
        >>> figure = adaptation([panel])
    """
    figure, axes = subplots(len(panels), 4.2, 3.2)
    for ax, (x, lines, truth, support) in zip(axes, panels):
        ax.plot(*truth, color=MUTED, linewidth=4, alpha=0.5, label="truth")
        for (label, y), color, style in zip(lines.items(), (SECOND, THIRD, ACCENT), (":", "--", "-")):
            ax.plot(x, y, color=color, linestyle=style, label=label)
        ax.plot(*support, "o", color=INK, markersize=5, label="support")
        ax.set_xlabel("x")
    axes[0].legend()
    return figure


def curves(series: Mapping[str, tuple[Any, ...]], xlabel: str, ylabel: str, title: str = "") -> "Figure":
    """Draws labeled lines, with bands where there are several seeds or intervals.

    Args:
        series: Label -> ``(x, y)`` or ``(x, y, half)``. A y of shape [points] is a line. A y of shape [seeds, points] is the
            line of the mean, in a band of one standard deviation over the seeds. ``half`` is half the width of a given
            interval.
        xlabel: The label of the horizontal axis.
        ylabel: The label of the vertical axis.
        title: The title.

    Returns:
        The figure.

    Example:
        >>> steps = np.arange(10)
        >>> accuracy = np.random.default_rng(0).random((5, 10)).cumsum(axis=1)  # five seeds
        >>> figure = curves({"maml": (steps, accuracy), "chance": (steps, 0 * steps)}, "steps", "accuracy")
        >>> len(figure.axes[0].lines), len(figure.axes[0].collections)  # lines and bands
        (2, 1)
    """
    is_wide = len(series) > _MAX_LEGEND_INSIDE
    figure, (ax,) = subplots(1, 7.6 if is_wide else 5.2)
    for i, (label, (x, y, *half)) in enumerate(series.items()):
        color, style = COLORS[i % len(COLORS)], _LINES[i // len(COLORS) % len(_LINES)]
        values = np.asarray(y, np.float64)
        center = values.mean(axis=0) if values.ndim == 2 else values
        band = half[0] if half else values.std(axis=0) if values.ndim == 2 and len(values) > 1 else None
        ax.plot(x, center, color=color, linestyle=style, label=label)
        if band is not None:
            ax.fill_between(x, np.subtract(center, band), np.add(center, band), color=color, alpha=0.15, linewidth=0)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.set_title(title)
    if is_wide:
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    elif len(series) > 1:
        ax.legend()
    return figure


def scatter(x: ArrayLike, y: ArrayLike, xlabel: str, ylabel: str, title: str = "", diagonal: bool = True) -> "Figure":
    """Draws points of two quantities against each other.

    Args:
        x: Array[points] of the horizontal quantity.
        y: Array[points] of the vertical quantity.
        xlabel: The label of the horizontal axis.
        ylabel: The label of the vertical axis.
        title: The title.
        diagonal: Whether to draw the line on which both quantities agree.

    Returns:
        The figure.

    Example:
        >>> figure = scatter([0.1, 0.5, 0.9], [0.2, 0.4, 0.8], "predicted rank", "measured rank")
    """
    across, up = np.asarray(x), np.asarray(y)
    figure, (ax,) = subplots(1, 4.6, 3.8)
    ax.plot(across, up, "o", color=ACCENT, markersize=3.5, alpha=0.6)
    if diagonal and len(across):
        ends = [min(np.min(across), np.min(up)), max(np.max(across), np.max(up))]
        ax.plot(ends, ends, color=MUTED, linewidth=1)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.set_title(title)
    return figure


def bars(values: Mapping[str, float], xlabel: str, title: str = "") -> "Figure":
    """Draws horizontal bars.

    Args:
        values: Label -> length, in the order from the top.
        xlabel: The label of the horizontal axis.
        title: The title.

    Returns:
        The figure.

    Example:
        >>> figure = bars({"learning rate": 0.6, "depth": 0.3}, "share of the predicted variation")
    """
    figure, (ax,) = subplots(1, 5.6, 0.9 + 0.3 * len(values))
    ax.barh(list(values)[::-1], list(values.values())[::-1], color=SECOND, height=0.65)
    ax.set(xlabel=xlabel)
    ax.set_title(title)
    return figure
