"""The searches on NAS-Bench-201 beside each other and beside the trivial answers: what they cost, what they found, and what
became of them. Results of earlier versions of a method are left out and named."""

import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.harness import published
from experiments.harness._finished import RESULTS, read
from experiments.harness.markdown import table
from experiments.nas import method_versions, nas_trivial
from metajax import plot

_DATASETS = nas_trivial.DATASETS
_TITLES = ("CIFAR-10", "CIFAR-100", "ImageNet16-120")


class Run(NamedTuple):
    """A finished run: what its files say."""

    config: dict[str, Any]
    result: dict[str, Any]
    command: str

    @property
    def method(self) -> str:
        return self.config["method"]

    @property
    def metrics(self) -> dict[str, Any]:
        return self.result["metrics"]

    @property
    def kind(self) -> str:
        """How it searched: asked the ``table``, scored with a ``proxy``, or trained by a preset."""
        if "simulated_seconds" in self.metrics:
            return "table"
        if "evaluations" in self.metrics:
            return "proxy"
        return "paper" if "--preset paper" in self.command else "quick"


def current(directories: Iterable[Path], kinds: Sequence[str] = ("quick", "paper")) -> tuple[list[Run], str]:
    """The runs of some kinds that present versions of their methods made, and the line that names the others."""
    runs = []
    for directory in directories:
        config, result, meta = (read(directory / f"{name}.json") for name in ("config", "result", "meta"))
        runs.append(Run(config, result, meta["command"]))
    runs = [run for run in runs if run.kind in kinds]
    kept = [method_versions.is_current(run.method, run.result) for run in runs]
    old = [run.method for run, good in zip(runs, kept) if not good]
    return [run for run, good in zip(runs, kept) if good], method_versions.left_out(old)


def is_trivial(result: dict[str, Any]) -> bool:
    """Whether these are the answers of ``nas_trivial``."""
    return "share_above_conv3x3" in result["metrics"]


def found(directories: list[Path], trivial: dict[str, Any] | None = None) -> str:
    """The trivial answers and the methods: what a search cost, and the cell that it found.

    Args:
        directories: of finished runs of ``nas_bench_201``.
        trivial: the metrics of ``nas_trivial``.
    """
    searches, old = current(directories, ("quick", "paper", "table"))
    groups: dict[tuple[str, str], list[Run]] = {}
    for one in searches:
        groups.setdefault((one.method, one.kind), []).append(one)
    order = list(published.NAS201)
    place = lambda key: (order.index(key[0]) if key[0] in order else len(order), key)
    rows = [[name, *["–"] * 5, *_between(scores)] for name, *scores in (nas_trivial.rows(trivial) if trivial else ())]
    rows += [_row(*key, groups[key]) for key in sorted(groups, key=place)]
    heads = [head for title in _TITLES for head in (title, "published")]
    made = table(["answer", "searched", "seeds", "steps", "images seen", "minutes a run", *heads], rows)
    absent = [method for method in order if all(method != name for name, _ in groups)]
    missing = f"\nNot measured: {', '.join(absent)}.\n" if absent else ""
    return f"## NAS-Bench-201\n\n{_note(searches)}\n\n{made}\n\n{_verdict(searches, trivial)}{missing}{old}"


def _between(scores: list[str]) -> list[str]:
    """Scores with an empty column for a published number behind each."""
    return [cell for score in scores for cell in (score, "–")]


def _row(method: str, kind: str, runs: list[Run]) -> list[str]:
    config, trained = runs[0].config, kind != "table"
    steps = f"{config['steps']:,}" if trained else "–"
    seen = f"{config['steps'] * config['batch']:,}" if trained else "0"
    row = [method, kind, str(len(runs)), steps, seen, f"{statistics.mean(r.metrics['seconds'] for r in runs) / 60:.1f}"]
    # a published number stands beside a run of the published protocol only
    known = published.NAS201.get(method, (None,) * 3) if kind in ("table", "paper") else (None,) * 3
    for dataset, number in zip(_DATASETS, known):
        row += [mean([r.metrics[f"{dataset}_test"] for r in runs]), number or "–"]
    return row


def mean(scores: list[float]) -> str:
    """The mean, and the deviation over several.

    Example:
        >>> mean([93.0, 94.0]), mean([93.0])
        ('93.50 ± 0.71', '93.00')
    """
    spread = f" ± {statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
    return f"{statistics.mean(scores):.2f}{spread}"


def _note(searches: list[Run]) -> str:
    sizes = sorted({_size(one) for one in searches if one.kind == "quick"})
    small = f" (`quick`: {'; '.join(sizes)})" if sizes else ""
    return (
        "Test accuracy in % of the found cell by the benchmark's table (mean of its seeds after 200 epochs), mean and "
        "deviation over searches; trivial answers are on top, with the deviation over cells. `quick` and `paper` train a "
        f"SuperNet on CIFAR-10{small}; `table` asks the table for validation accuracies after 12 epochs within 12,000 "
        "simulated seconds. Images seen are those that the weights learn from; the encoding learns from as many others. "
        "Published numbers (Dong and Yang 2020 and the methods' papers) are searches of 50 to 250 epochs at 32 x 32 with 16 "
        "channels and 5 cells a stage: they stand beside `paper` and `table` alone, and say nothing about the short searches "
        "of `quick`."
    )


def _size(one: Run) -> str:
    c = one.config
    return f"{c['size']} x {c['size']} pixels, {c['channels']} channels, {c['cells']} cells a stage"


def _verdict(searches: list[Run], trivial: dict[str, Any] | None) -> str:
    """Which of the SuperNets' rows are above the cell of 3 x 3 convolutions."""
    scores = supernet_scores(searches)
    if trivial is None or not scores:
        return ""
    bar = trivial["conv3x3_cifar10_test"]
    above = [f"{name} {score:.2f}" for name, score in scores.items() if score > bar]
    which = f"above it are {', '.join(above)}" if above else "none is above it"
    return (
        f"All 3 x 3 convolutions reach {bar:.2f}% on CIFAR-10 without a search. "
        f"Of the {len(scores)} SuperNet rows, {which}.\n"
    )


def supernet_scores(searches: list[Run]) -> dict[str, float]:
    """Mean accuracy on CIFAR-10 of each method that trained a SuperNet, the best first."""
    groups: dict[str, list[float]] = {}
    for one in searches:
        if one.kind in ("quick", "paper"):
            groups.setdefault(one.method, []).append(one.metrics["cifar10_test"])
    means = {name: statistics.mean(scores) for name, scores in groups.items()}
    return dict(sorted(means.items(), key=lambda each: -each[1]))


def proxies(directories: list[Path], trivial: dict[str, Any] | None = None) -> str:
    """What scores at initial weights are worth, beside the number of parameters."""
    runs, old = current(directories, ("proxy",))
    scored = sorted(runs, key=lambda one: -one.metrics["kendall_tau"])
    if not scored:
        return f"## NAS-Bench-201: zero-cost proxies\n{old}" if old else ""
    rows = []
    for one in scored:
        m, name = one.metrics, one.method + (" (trivial)" if one.method == "parameters" else "")
        scores = [f"{m[f'{dataset}_test']:.2f}" for dataset in _DATASETS]
        rows.append([name, tau(m), str(m["evaluations"]), *scores, f"{m['seconds_a_cell']:.2f}"])
    head = ["proxy", "Kendall τ", "cells", "CIFAR-10 of the best", "CIFAR-100", "ImageNet16-120", "seconds a cell"]
    note = (
        "Drawn cells, the same for every proxy, at initial weights and by one batch, nothing trained "
        f"({'; '.join(sorted({_size(one) for one in scored if one.method != 'parameters'}))}): Kendall τ against the table's "
        "test accuracy on CIFAR-10 with its standard error over cells (jackknife), the cell of the best score, and the median "
        "time of a cell."
    )
    whole = (
        f"\nOver all {trivial['cells']:,} cells, the number of parameters has τ {tau(trivial, 'parameters_kendall_tau')}.\n"
        if trivial
        else ""
    )
    return f"## NAS-Bench-201: zero-cost proxies\n\n{note}\n\n{table(head, rows)}\n{whole}{old}"


def tau(metrics: dict[str, Any], name: str = "kendall_tau") -> str:
    """τ, with its standard error where that is known.

    Example:
        >>> tau({"kendall_tau": 0.5, "kendall_tau_error": 0.03}), tau({"kendall_tau": 0.5})
        ('0.500 ± 0.030', '0.500')
    """
    error = metrics.get(f"{name}_error")
    return f"{metrics[name]:.3f}" + (f" ± {error:.3f}" if error is not None else "")


def chance(number: int) -> float:
    """The standard error of τ between unrelated scores of so many items (Kendall 1945).

    Example:
        >>> round(chance(100), 3)
        0.068
    """
    return math.sqrt(2 * (2 * number + 5) / (9 * number * (number - 1)))


# searches whose eigenvalues and skips are drawn
CURES = ("darts-1", "r-darts-l2", "s-darts-random", "darts-minus", "beta-darts")


def diagnosis(directories: list[Path]) -> str:
    """What became of the searches; draws eigenvalue, skips and accuracy over those of seed 0."""
    runs, old = current(directories)
    searches = [one for one in runs if one.result.get("history")]
    names = ("entropy", "eigenvalue", "conflict", "discretization_gap")
    rows = []
    for one in searches:
        told = lambda name, m=one.metrics: f"{m[name]:.3g}" if name in m else "–"
        found = f"`{one.result['arch'].replace('|', '/')}`"
        rank = tau(one.metrics) if "kendall_tau" in one.metrics else "–"
        rows.append([one.method, str(one.config["seed"]), found, str(one.metrics["skips"]), *map(told, names), rank])
    drawn = _collapse({one.method: one.result["history"] for one in searches if one.config["seed"] == 0})
    head = ["method", "seed", "found", "skips", *(n.replace("_", " ") for n in names), "Kendall τ"]
    note = (
        "Entropy: of the encoding, as a share of the greatest; eigenvalue: the dominant one of the outer loss's Hessian in the "
        "logits, at the end; conflict: mean cosine between gradients of drawn paths; discretization gap: accuracy of the "
        "mixture minus that of the decided cell, with shared weights, in points; Kendall τ: of 100 drawn cells by shared "
        f"weights against the table, where scores without any relation have a standard error of {chance(100):.3f}; in cells, "
        "`/` stands for `|`."
    )
    return f"## NAS-Bench-201: diagnosis\n\n{note}\n\n{table(head, rows)}\n{drawn}{old}"


def _collapse(histories: dict[str, dict[str, list[float]]]) -> str:
    """Draws eigenvalue, skips and accuracy over the searches; the line that shows the figure."""
    shown = [name for name in CURES if name in histories]
    if not shown:
        return ""
    panels = ("eigenvalue", "skips", "cifar10_test")
    figure, axes = plot.subplots(len(panels), 4.2, 3.2)
    for ax, panel in zip(axes, panels):
        for name in shown:
            ax.plot(histories[name]["step"], histories[name][panel], label=name)
        ax.set(xlabel="step", title=panel.replace("_", " "))
    axes[0].legend(fontsize=8)
    plot.save(figure, RESULTS / "collapse.png")
    return "\n![Eigenvalue, skips and accuracy over a search](results/collapse.png)\n"


def cost(directories: list[Path]) -> str:
    """Searches with an expected cost in the outer loss."""
    runs, old = current(directories)
    head = ["method", "cost", "weight", "seed", "cost of the cell / mean", "parameters, M", "CIFAR-10"]
    rows = []
    for one in runs:
        config, m = one.config, one.metrics
        row = [one.method, config["cost"], f"{config['cost_weight']:g}", str(config["seed"])]
        row += [f"{m['cost'] / m['mean_cost']:.2f}", f"{m['params_M']:.3f}", f"{m['cifar10_test']:.2f}"]
        rows.append(row)
    note = "The expected cost of the cell, fitted to stand-alone networks of the searched size, is a part of the outer loss."
    made = f"\n{table(head, rows)}\n" if rows else ""
    return f"## NAS-Bench-201: cost-aware searches\n\n{note}\n{made}{old}"
