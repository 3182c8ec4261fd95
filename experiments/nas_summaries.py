"""The searches on NAS-Bench-201 beside each other: what they found, what became of them, and what cost they kept."""

import statistics
from pathlib import Path

from experiments import published
from experiments.finished import RESULTS, read
from experiments.markdown import table
from metajax import plot


def found(directories: list[Path]) -> str:
    """Methods by datasets: mean and deviation over seeds of the found cell, and the published number."""
    runs: dict[tuple[str, str], list[dict[str, float]]] = {}
    for directory in directories:
        config, result, meta = (read(directory / f"{name}.json") for name in ("config", "result", "meta"))
        preset = "paper" if "--preset paper" in meta["command"] else "quick"
        kind = "table" if "simulated_seconds" in result["metrics"] else preset
        if _is_proxy(result["metrics"]):
            continue
        runs.setdefault((config["method"], kind), []).append(result["metrics"])
    heads = [head for name in ("CIFAR-10", "CIFAR-100", "ImageNet16-120") for head in (name, "published")]
    rows, order = [], list(published.NAS201)
    for (method, kind), mine in sorted(
        runs.items(), key=lambda r: (order.index(r[0][0]) if r[0][0] in order else 99, r)
    ):
        row = [method, kind, str(len(mine))]
        for name, known in zip(("cifar10", "cifar100", "imagenet16"), published.NAS201.get(method, (None,) * 3)):
            scores = [m[f"{name}_test"] for m in mine]
            spread = f" ± {statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
            row += [f"{statistics.mean(scores):.2f}{spread}", known or "–"]
        rows.append([*row, f"{statistics.mean(m['seconds'] for m in mine) / 60:.1f}"])
    missing = [method for method in order if not any(method == known for known, _ in runs)]
    note = (
        "Test accuracy in % of the found cell by the benchmark's table (mean of its seeds after 200 epochs), mean and "
        "deviation over searches. `quick` and `paper` search a SuperNet on CIFAR-10; `table` asks the table for validation "
        "accuracies after 12 epochs within 12,000 simulated seconds. Published: Dong and Yang 2020 and the methods' papers."
    )
    absent = f"\nNot measured: {', '.join(missing)}.\n" if missing else ""
    made = table(["method", "searched", "seeds", *heads, "minutes a run"], rows)
    return f"## NAS-Bench-201\n\n{note}\n\n{made}\n{absent}"


def _is_proxy(metrics: dict[str, float]) -> bool:
    """Scored drawn cells, and neither trained nor asked the table."""
    return "evaluations" in metrics and "simulated_seconds" not in metrics


def proxies(directories: list[Path]) -> str:
    """What scores at initial weights are worth."""
    rows = []
    for directory in directories:
        config, m = read(directory / "config.json"), read(directory / "result.json")["metrics"]
        if _is_proxy(m):
            scores = [f"{m[f'{name}_test']:.2f}" for name in ("cifar10", "cifar100", "imagenet16")]
            rows.append(
                (-m["kendall_tau"], [config["method"], f"{m['kendall_tau']:.3f}", *scores, f"{m['seconds']:.0f}"])
            )
    if not rows:
        return ""
    head = ["proxy", "Kendall τ", "CIFAR-10 of the best", "CIFAR-100", "ImageNet16-120", "seconds"]
    note = (
        "300 drawn cells of preset `quick` by one batch at initial weights, nothing trained: Kendall τ against the table's "
        "test accuracy on CIFAR-10, and the cell of the best score."
    )
    return f"## NAS-Bench-201: zero-cost proxies\n\n{note}\n\n{table(head, [row for _, row in sorted(rows)])}\n"


# how searches end up with cells of skips, and what keeps them from it
CURES = ("darts-1", "r-darts-l2", "s-darts-random", "darts-minus", "beta-darts")


def diagnosis(directories: list[Path]) -> str:
    """What became of the searches, and the figure of the collapse, drawn from the seed 0 of each method."""
    rows, first = [], {}
    names = ("entropy", "eigenvalue", "conflict", "discretisation_gap", "kendall_tau")
    for directory in directories:
        config, result = read(directory / "config.json"), read(directory / "result.json")
        if not result.get("history"):
            continue
        if config["seed"] == 0:
            first[config["method"]] = result["history"]
        m = result["metrics"]
        told = lambda name, m=m: f"{m[name]:.3g}" if name in m else "–"
        row = [config["method"], str(config["seed"]), f"`{result['arch'].replace('|', '/')}`", str(m["skips"])]
        rows.append([*row, *map(told, names)])
    shown = [name for name in CURES if name in first]
    if shown:
        panels = ("eigenvalue", "skips", "cifar10_test")
        figure, axes = plot.subplots(len(panels), 4.2, 3.2)
        for ax, panel in zip(axes, panels):
            for name in shown:
                ax.plot(first[name]["step"], first[name][panel], label=name)
            ax.set(xlabel="step", title=panel.replace("_", " "))
        axes[0].legend(fontsize=8)
        plot.save(figure, RESULTS / "collapse.png")
    drawn = "\n![Eigenvalue, skips and accuracy over a search](results/collapse.png)\n" if shown else ""
    head = ["method", "seed", "found", "skips", *(n.replace("_", " ") for n in names[:-1]), "Kendall τ"]
    note = (
        "Entropy: of the encoding, as a share of the greatest; eigenvalue: the dominant one of the outer loss's Hessian in the "
        "logits, at the end; conflict: mean cosine between gradients of drawn paths; discretisation gap: accuracy of the "
        "mixture minus that of the decided cell, with shared weights, in points; Kendall τ: of 100 drawn cells by shared "
        "weights against the table; in cells, `/` stands for `|`."
    )
    return f"## NAS-Bench-201: diagnosis\n\n{note}\n\n{table(head, rows)}\n{drawn}"


def cost(directories: list[Path]) -> str:
    """Searches with an expected cost in the outer loss."""
    rows = []
    head = ["method", "cost", "weight", "seed", "cost of the cell / mean", "parameters, M", "CIFAR-10"]
    for directory in directories:
        config, m = read(directory / "config.json"), read(directory / "result.json")["metrics"]
        row = [config["method"], config["cost"], f"{config['cost_weight']:g}", str(config["seed"])]
        row += [f"{m['cost'] / m['mean_cost']:.2f}", f"{m['params_M']:.3f}", f"{m['cifar10_test']:.2f}"]
        rows.append(row)
    note = "The expected cost of the cell, fitted to stand-alone networks of the searched size, is a part of the outer loss."
    return f"## NAS-Bench-201: cost-aware searches\n\n{note}\n\n{table(head, rows)}\n"
