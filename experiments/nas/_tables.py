"""The searches on NAS-Bench-201 beside each other and beside the trivial answers: what they cost, and what they found.

Results of earlier versions of a method are left out and named.
"""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from experiments.harness import Result, Results
from experiments.harness.markdown import table
from experiments.harness.words import against, listed
from experiments.nas import _versions, nas_trivial

DATASETS = nas_trivial.DATASETS
TITLES = ("CIFAR-10", "CIFAR-100", "ImageNet16-120")
PUBLISHED = {
    "random": ("93.70 ± 0.36", None, None),
    "reinforce": ("93.85 ± 0.37", "71.71 ± 1.09", "45.24 ± 1.18"),
    "evolution": (None, None, None),
    "local-search": (None, None, None),
    "darts-1": ("54.30 ± 0.00", "15.61 ± 0.00", "16.32 ± 0.00"),
    "darts-2": ("54.30 ± 0.00", "15.61 ± 0.00", "16.32 ± 0.00"),
    "gdas": ("93.61 ± 0.09", "70.70 ± 0.30", "41.71 ± 0.98"),
    "snas": ("92.77 ± 0.83", "69.34 ± 1.98", "43.16 ± 2.64"),
    "pc-darts": ("93.41 ± 0.30", "67.48 ± 0.89", "41.31 ± 0.22"),
    "idarts": ("93.58 ± 0.32", "70.83 ± 0.48", "40.89 ± 0.68"),
    "darts-minus": ("93.80 ± 0.40", "71.53 ± 1.51", "45.12 ± 0.82"),
    "darts-pt": ("88.11", None, None),
    "darts-pt-fixed": ("93.80", None, None),
    "drnas": ("94.36 ± 0.00", "73.51 ± 0.00", "46.34 ± 0.00"),
    "beta-darts": ("94.36 ± 0.00", "73.51 ± 0.00", "46.34 ± 0.00"),
    "spos": (None, None, None),
    "enas": ("54.30 ± 0.00", "15.61 ± 0.00", "16.32 ± 0.00"),
}
"""Test accuracy in % of the found cell on CIFAR-10, CIFAR-100 and ImageNet16-120, searched on CIFAR-10, with the deviation
over seeds as printed. Numbers that could not be confirmed are left out."""


def kind(run: Result) -> str:
    """Returns how a run searched: it asked the ``table``, scored with a ``proxy``, or trained by a preset."""
    if "simulated_seconds" in run.metrics:
        return "table"
    if "evaluations" in run.metrics:
        return "proxy"
    return "paper" if "--preset paper" in run.command else "quick"


def current(runs: Iterable[Result], kinds: Sequence[str] = ("quick", "paper")) -> tuple[list[Result], str]:
    """Returns the runs of some kinds that the present versions of their methods made, and the line that names the others."""
    runs = [run for run in runs if kind(run) in kinds]
    is_new = [_versions.is_current(run.config["method"], run.result) for run in runs]
    old = [run.config["method"] for run, new in zip(runs, is_new) if not new]
    return [run for run, new in zip(runs, is_new) if new], _versions.left_out(old)


def size(run: Result) -> str:
    """Returns the size of the searched network in words."""
    c = run.config
    return f"{c['size']} x {c['size']} pixels, {c['channels']} channels, {c['cells']} cells a stage"


def methods(runs: Iterable[Result], trivial: dict[str, Any] | None = None) -> str:
    """Returns the section on the trivial answers and the methods: what a search cost, and the cell that it found.

    Args:
        runs: Finished runs of ``nas_bench_201``.
        trivial: The metrics of ``nas_trivial``.
    """
    searches, old = current(runs, ("quick", "paper", "table"))
    groups: dict[tuple[str, str], list[Result]] = {}
    for run in searches:
        groups.setdefault((run.config["method"], kind(run)), []).append(run)
    order = list(PUBLISHED)
    sort_key = lambda key: (order.index(key[0]) if key[0] in order else len(order), key)
    rows = [[name, *["–"] * 5, *_between(scores)] for name, *scores in (nas_trivial.rows(trivial) if trivial else ())]
    rows += [_row(*key, groups[key]) for key in sorted(groups, key=sort_key)]
    heads = [head for title in TITLES for head in (title, "published")]
    text = table(["answer", "searched", "seeds", "steps", "images seen", "minutes a run", *heads], rows)
    absent = [method for method in order if all(method != name for name, _ in groups)]
    missing = f"\nNot measured: {', '.join(absent)}.\n" if absent else ""
    return f"## NAS-Bench-201\n\n{_note(searches)}\n\n{text}\n\n{_verdict(searches, trivial)}{missing}{old}"


def _between(scores: list[str]) -> list[str]:
    """Scores with an empty column for a published number after each."""
    return [cell for score in scores for cell in (score, "–")]


def _row(method: str, how: str, runs: list[Result]) -> list[str]:
    config, is_trained = runs[0].config, how != "table"
    steps = f"{config['steps']:,}" if is_trained else "–"
    examples = f"{config['steps'] * config['batch']:,}" if is_trained else "0"
    row = [
        method,
        how,
        str(len(runs)),
        steps,
        examples,
        f"{statistics.mean(r.metrics['seconds'] for r in runs) / 60:.1f}",
    ]
    # a published number stands beside a run of the published protocol only
    published = PUBLISHED.get(method, (None,) * 3) if how in ("table", "paper") else (None,) * 3
    for dataset, number in zip(DATASETS, published):
        row += [mean([r.metrics[f"{dataset}_test"] for r in runs]), number or "–"]
    return row


def mean(scores: list[float]) -> str:
    """Returns the mean, and the deviation over several scores.

    Example:
        >>> mean([93.0, 94.0]), mean([93.0])
        ('93.50 ± 0.71', '93.00')
    """
    spread = f" ± {statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
    return f"{statistics.mean(scores):.2f}{spread}"


def _note(searches: list[Result]) -> str:
    sizes = sorted({size(run) for run in searches if kind(run) == "quick"})
    small = f" (`quick`: {'; '.join(sizes)})" if sizes else ""
    return (
        "The numbers are test accuracies in % of the found cell by the benchmark's table (mean of its seeds after 200 epochs), "
        "with mean and deviation over searches. The trivial answers are on top, with the deviation over cells. `quick` and "
        f"`paper` train a SuperNet on CIFAR-10{small}. `table` asks the table for validation accuracies after 12 epochs, "
        "within 12,000 simulated seconds. The column of images counts those that the weights learn from; the encoding learns "
        "from as many others. The published numbers (Dong and Yang 2020, and the methods' papers) are of searches of 50 to 250 "
        "epochs at 32 x 32 pixels with 16 channels and 5 cells a stage. They stand beside `paper` and `table` only, because "
        "they say nothing about the short searches of `quick`."
    )


def _verdict(searches: list[Result], trivial: dict[str, Any] | None) -> str:
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


def supernet_scores(searches: Iterable[Result]) -> dict[str, float]:
    """Returns the mean accuracy on CIFAR-10 of each method that trained a SuperNet, the best first."""
    groups: dict[str, list[float]] = {}
    for run in searches:
        if kind(run) in ("quick", "paper"):
            groups.setdefault(run.config["method"], []).append(run.metrics["cifar10_test"])
    means = {name: statistics.mean(scores) for name, scores in groups.items()}
    return dict(sorted(means.items(), key=lambda item: -item[1]))


def cost(runs: Iterable[Result]) -> str:
    """Returns the section on searches with an expected cost in the outer loss."""
    searches, old = current(runs)
    head = ["method", "cost", "weight", "seed", "cost of the cell / mean", "parameters, M", "CIFAR-10"]
    rows = []
    for run in searches:
        config, m = run.config, run.metrics
        row = [config["method"], config["cost"], f"{config['cost_weight']:g}", str(config["seed"])]
        row += [f"{m['cost'] / m['mean_cost']:.2f}", f"{m['params_M']:.3f}", f"{m['cifar10_test']:.2f}"]
        rows.append(row)
    note = (
        "The outer loss includes the expected cost of the cell, as fitted to stand-alone networks of the searched size."
    )
    text = f"\n{table(head, rows)}\n" if rows else ""
    return f"## NAS-Bench-201: cost-aware searches\n\n{note}\n{text}{old}"


def on_the_benchmark(results: Results) -> list[Result]:
    """Returns the runs of ``nas_bench_201`` without a cost in the loss."""
    runs = [run for name, run in results.items() if name.startswith("nas201_")]
    return [run for run in runs if "method" in run.config and not run.config.get("cost")]


def supernets(results: Results) -> list[str]:
    """What SuperNets on NAS-Bench-201 found, against the trivial answers."""
    trivial = results["nas201_trivial"].metrics
    searches, _ = current(on_the_benchmark(results))
    means, seconds = supernet_scores(searches), [run.metrics["seconds"] for run in searches]
    best = max(means, key=lambda name: means[name])
    seeds = sum(run.config["method"] == best for run in searches)
    all_convolutions, random_mean = trivial["conv3x3_cifar10_test"], trivial["convolutions_cifar10_test"]
    above = [name for name in means if means[name] > all_convolutions]
    better = [name for name in means if means[name] > random_mean]
    return [
        f"On NAS-Bench-201, {len(means)} methods searched a small SuperNet for {min(seconds) / 60:.1f} to "
        f"{max(seconds) / 60:.1f} minutes each. The best on average is {best} with {means[best]:.2f}% on CIFAR-10 "
        f"({seeds} seed{'s' * (seeds > 1)}). The table's best cell has {trivial['best_cifar10_test']:.2f}%, a random one "
        f"{trivial['random_cifar10_test']:.2f}%.",
        f"The trivial answer, 3 x 3 convolutions everywhere, has {all_convolutions:.2f}% without any search. Methods above it: "
        f"{listed(above)}; above a random cell of convolutions ({random_mean:.2f}%): {len(better)} of {len(means)}.",
    ]


def table_searches(results: Results) -> list[str]:
    """What searches reach that look trainings up, beside the SuperNets."""
    runs = on_the_benchmark(results)
    scores: dict[str, list[float]] = {}
    for run in runs:
        if kind(run) == "table":
            scores.setdefault(run.config["method"], []).append(run.metrics["cifar10_test"])
    means = {name: statistics.mean(values) for name, values in scores.items()}
    best = max(means, key=lambda name: means[name])
    trained = max(run.metrics["cifar10_test"] for run in current(runs)[0])
    return [
        f"By looking trainings up in the table, within 12,000 simulated seconds, {best} reaches {means[best]:.2f}% on average, "
        f"{against(means[best], trained)} the best single SuperNet search ({trained:.2f}%)."
    ]
