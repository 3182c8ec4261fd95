"""What became of the searches on NAS-Bench-201: entropy, eigenvalue, conflict of gradients, discretization gap, skips."""

import math
from collections.abc import Iterable
from pathlib import Path

from experiments.harness import Result
from experiments.harness.markdown import table
from experiments.nas import _proxies, _tables
from metajax import plot

CURES = ("darts-1", "r-darts-l2", "s-darts-random", "darts-minus", "beta-darts")
"""The searches whose eigenvalues and skips are drawn."""

FIGURE = "collapse.png"
"""The figure of eigenvalues and skips."""


def section(runs: Iterable[Result]) -> str:
    """Returns the section on the diagnosis; it shows what ``overview`` draws."""
    current, old = _tables.current(runs)
    searches = [run for run in current if run.result.get("history")]
    names = ("entropy", "eigenvalue", "conflict", "discretization_gap")
    rows = []
    for run in searches:
        value = lambda name, m=run.metrics: f"{m[name]:.3g}" if name in m else "–"
        cell = f"`{run.result['arch'].replace('|', '/')}`"
        rank = _proxies.tau(run.metrics) if "kendall_tau" in run.metrics else "–"
        start = [run.config["method"], str(run.config["seed"]), cell, str(run.metrics["skips"])]
        rows.append([*start, *map(value, names), rank])
    figure = f"\n![Eigenvalue, skips and accuracy over a search](results/{FIGURE})\n" if _histories(current) else ""
    head = ["method", "seed", "found", "skips", *(name.replace("_", " ") for name in names), "Kendall τ"]
    note = (
        "Entropy is that of the encoding, as a share of the largest possible. The eigenvalue is the dominant one of the outer "
        "loss's Hessian in the logits at the end. Conflict is the mean cosine between the gradients of drawn paths. The "
        "discretization gap is the accuracy of the mixture minus that of the decided cell, with shared weights, in points. "
        "Kendall τ compares 100 drawn cells by shared weights with the table; scores without any relation have a standard "
        f"error of {chance(100):.3f}. In cells, `/` stands for `|`."
    )
    return f"## NAS-Bench-201: diagnosis\n\n{note}\n\n{table(head, rows)}\n{figure}{old}"


def chance(n: int) -> float:
    """Returns the standard error of τ between unrelated scores of n items (Kendall 1945).

    Example:
        >>> round(chance(100), 3)
        0.068
    """
    return math.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))


def _histories(runs: Iterable[Result]) -> dict[str, dict[str, list[float]]]:
    """Returns what the searches of seed 0 logged, by method, of those that are drawn."""
    histories = {run.config["method"]: run.result.get("history") for run in runs if run.config["seed"] == 0}
    return {name: history for name in CURES if (history := histories.get(name))}


def overview(runs: Iterable[Result], directory: Path) -> None:
    """Draws eigenvalue, skips and accuracy over the searches of seed 0."""
    histories = _histories(_tables.current([run for run in runs if not run.config.get("cost")])[0])
    if not histories:
        return
    panels = ("eigenvalue", "skips", "cifar10_test")
    figure, axes = plot.subplots(len(panels), 4.2, 3.2)
    for ax, panel in zip(axes, panels):
        for name, history in histories.items():
            ax.plot(history["step"], history[panel], label=name)
        ax.set(xlabel="step")
        ax.set_title({"cifar10_test": "test accuracy, %"}.get(panel, panel))
    axes[0].legend()
    plot.save(figure, directory / FIGURE)
