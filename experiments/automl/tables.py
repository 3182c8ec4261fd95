"""The main job against what a user would take instead, on 26 tables that nothing of metajax was chosen on.

    python -m experiments.automl.tables --out runs/tables                       # 3 splits, 10 s, 1 and 5 minutes: days
    python -m experiments.automl.tables --preset short --out runs/tables_short  # one split, a minute: four hours
    python -m experiments.automl.tables --preset trees --out runs/tables_minute # against AutoGluon and trees: 75 minutes

Every contestant is a program of its own, on the same cores, one after the other: metajax's estimators, the same search with
Optuna's TPE in place of the meta-learner, scikit-learn's histogram boosting, LightGBM and CatBoost with their defaults, RealMLP
and TabM with theirs (pytabkit), FLAML, and AutoGluon in medium quality. The searches (metajax, TPE, FLAML, AutoGluon) get the
seconds; the others are one fit with defaults and take what they take. A quarter of the rows is held back, and only the
experiment sees its targets. Two classes are scored by the area under the ROC curve, more by accuracy, numbers by R². A
contestant that fails, or is not done after five times the seconds and ten minutes, ranks last.

Tables are downloaded with packages (``_peers.py``), and each library lives in an environment that the first run makes.
"""

import dataclasses
import itertools
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from experiments import harness
from experiments.automl import _peers as peers
from experiments.automl import _suite as suite
from experiments.automl._ranks import diagram, ranks
from experiments.harness import Results
from experiments.harness.markdown import number, table
from experiments.harness.words import listed
from metajax import plot, run
from metajax.types import InputError

SEARCHES = ("metajax", "tpe", "flaml", "autogluon")
METHODS = (*SEARCHES, "boosting", "lightgbm", "catboost", "realmlp", "tabm")
_COSTS = ("fit_seconds", "predict_seconds", "megabytes", "models")


@dataclasses.dataclass(frozen=True)
class Contest:
    """What every comparison on these tables is asked."""

    tables: str = "all"
    """Names of the tables, separated by commas, or all."""
    methods: str = "all"
    """Names of the contestants, separated by commas, or all."""
    splits: int = 1
    """Splits of each table."""
    cores: int = 2
    """Processor cores of each contestant."""
    environments: str = "~/.cache/metajax/environments"
    """The folder in which the environments of the libraries are kept."""
    known: ClassVar[tuple[str, ...]] = METHODS

    def __post_init__(self):
        _ = self.names, self.contestants  # raise on another name
        if self.splits < 1 or self.cores < 1:
            raise InputError(f"--splits and --cores must be integers >= 1, got {self.splits} and {self.cores}")

    @property
    def names(self) -> list[str]:
        return harness.selected(self.tables, suite.TABLES, "tables")

    @property
    def contestants(self) -> list[str]:
        return harness.selected(self.methods, self.known, "methods")

    @property
    def folder(self) -> Path:
        return Path(self.environments).expanduser()


@dataclasses.dataclass(frozen=True)
class Config(Contest):
    """Settings of the comparison."""

    seconds: str = "10,60,300"
    """Seconds of the searches, separated by commas."""
    splits: int = 3
    """Splits of each table."""

    def __post_init__(self):
        super().__post_init__()
        if not all(_is_positive(s) for s in self.seconds.split(",")):
            raise InputError(f"--seconds must be positive numbers separated by commas, got {self.seconds!r}")

    @property
    def budgets(self) -> list[float]:
        return [float(s) for s in self.seconds.split(",")]


_MINUTE = {"seconds": "60", "splits": 1}
PRESETS = {
    "paper": {},
    "short": _MINUTE,
    "trees": {**_MINUTE, "methods": "metajax,autogluon,boosting,lightgbm,catboost"},
}


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def load(config: Contest) -> dict[str, Any]:
    """The rows of every table."""
    packages = peers.environment("packages", config.folder) / "files"
    return {name: suite.read(name, packages) for name in config.names}


def cells_of(config: Config) -> list[harness.Cell]:
    """The measurements: a search for every budget, and each default once."""
    cells = []
    for split, name, method in itertools.product(range(config.splits), config.names, config.contestants):
        budgets = config.budgets if method in SEARCHES else [0.0]
        cells += [{"split": split, "table": name, "method": method, "budget": budget} for budget in budgets]
    return cells


def contest(
    config: Contest, directory: run.RunDirectory, loaded: Mapping[str, Any], cells: list[harness.Cell], longest: float
) -> list[dict[str, Any]]:
    """Runs contestants on tables.

    Args:
        config: The settings.
        directory: The run directory.
        loaded: The tables.
        cells: The measurements, as ``cells_of`` makes them.
        longest: The largest budget in seconds, by which one without a budget counts as stuck.

    Returns:
        A record of each, with its score and its costs.
    """

    def work(cell: harness.Cell) -> dict[str, Any]:
        frame, shape = loaded[cell["table"]], suite.TABLES[cell["table"]]
        seconds = cell["budget"] or longest
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            suite.write(frame, shape, cell["split"], folder, seconds=seconds, cores=config.cores)
            cost = peers.run(cell["method"], folder, config.folder, config.cores, 600 + 5 * seconds)
        target = frame[shape.target].to_numpy()[suite.split(frame, shape, cell["split"]).test]
        score = {} if cost.predictions is None else {"score": score_of(cost.predictions, target, shape.task)}
        return {**cost.record, **score}

    return harness.measure(directory, cells, work, "models")


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Every contestant on every table."""
    records = contest(config, directory, loaded, cells_of(config), max(config.budgets))
    metrics = summarized(config, records)
    budget_of_figure = next((budget for budget in sorted(config.budgets) if budget >= 60), max(config.budgets))
    figure = diagram(
        ranked(records, budget_of_figure), f"{budget_of_figure:g} s for the searches, defaults for the others"
    )
    plot.save(figure, directory.path / "ranks.png")
    protocol = (
        f"{len(config.names)} tables, {config.splits} splits, a quarter of the rows held back; AUC of two classes, accuracy of "
        f"more, R² of numbers; searches get {config.seconds} seconds, the others are one fit with defaults; each contestant "
        f"alone on {config.cores} cores"
    )
    return {"metrics": metrics, "protocol": protocol, "records": records}


def score_of(predictions: np.ndarray, target: np.ndarray, task: str) -> float:
    """Returns the score of predictions: AUC of two classes, accuracy of more, or R².

    Args:
        predictions: Probabilities f64[rows, classes] in the order of the sorted labels, or values f64[rows].
        target: The labels or values of the rows.
        task: ``classification`` or ``regression``.
    """
    from sklearn import metrics

    if task == "regression":
        return float(metrics.r2_score(np.asarray(target, np.float64), predictions))
    labels, codes = np.unique(target, return_inverse=True)
    if predictions.shape[1] == 2:
        return float(metrics.roc_auc_score(codes == 1, predictions[:, 1]))
    return float(np.mean(np.argmax(predictions, axis=1) == codes)) if len(labels) == predictions.shape[1] else math.nan


def scores(records: list[dict[str, Any]], budget: float) -> dict[str, dict[str, float]]:
    """Returns the score of each method on each table, the mean over splits; NaN where a split failed."""
    by_method: dict[str, dict[str, list[float]]] = {}
    for record in records:
        if record["budget"] in (0.0, budget):
            by_method.setdefault(record["method"], {}).setdefault(record["table"], []).append(
                record.get("score", math.nan)
            )
    return {m: {t: float(np.mean(v)) for t, v in by_table.items()} for m, by_table in by_method.items()}


def ranked(records: list[dict[str, Any]], budget: float):
    """Returns the mean ranks of all methods where searches have this budget."""
    return ranks(scores(records, budget))


def summarized(config: Config, records: list[dict[str, Any]]) -> dict[str, float]:
    """Returns scores, mean ranks, costs, and how far metajax is behind the boosting default, for every budget."""
    metrics: dict[str, float] = {}
    for budget in config.budgets:
        result, by_method = ranked(records, budget), scores(records, budget)
        at = f"{budget:g} s"
        metrics |= {f"{at} {m} rank": value for m, value in result.mean.items()}
        metrics |= {f"{at} critical difference": result.critical, f"{at} friedman p": result.p}
        metrics |= {f"{at} {m} {t}": 100 * v for m, by_table in by_method.items() for t, v in by_table.items()}
        for m, key in itertools.product(by_method, _COSTS):
            own_records = [r for r in records if r["method"] == m and r["budget"] in (0.0, budget)]
            values = [r[key] for r in own_records if key in r]
            if values:
                metrics[f"{at} {m} {key}"] = float(np.mean(values))
        if {"metajax", "boosting"} <= set(by_method):
            gaps = [by_method["metajax"][t] - by_method["boosting"][t] for t in config.names]
            metrics |= {f"{at} mean over boosting": 100 * float(np.nanmean(gaps))}
            metrics |= {f"{at} worst against boosting": 100 * float(np.nanmin(gaps))}
    return metrics


def markdown(config: dict[str, Any], result: dict[str, Any]) -> str:
    """One table for every budget: the scores, then the ranks and the costs."""
    m = result["metrics"]
    parts = []
    for budget in config["seconds"].split(","):
        at = f"{float(budget):g} s"
        methods = [name for name in METHODS if f"{at} {name} rank" in m]
        names = [t for t in suite.TABLES if f"{at} {methods[0]} {t}" in m]
        line = lambda key, form, at=at, methods=methods: [number(m.get(f"{at} {name} {key}"), form) for name in methods]
        rows = [[t, *line(t, ".2f")] for t in names]
        rows += [
            ["**mean rank**", *line("rank", ".2f")],
            ["seconds to fit", *line("fit_seconds", ".1f")],
            ["seconds to predict", *line("predict_seconds", ".2f")],
            ["megabytes", *line("megabytes", ",.0f")],
            ["models started", *line("models", ",.0f")],
        ]
        parts.append(f"**{at} for the searches**\n\n{table(['', *methods], rows)}")
        parts.append(
            f"Two mean ranks differ by more than chance above {m[f'{at} critical difference']:.2f} (Nemenyi, 5%)."
            + (
                f" metajax less boosting: {m[f'{at} mean over boosting']:+.2f} points on average, "
                f"{m[f'{at} worst against boosting']:+.2f} at worst."
                if f"{at} mean over boosting" in m
                else ""
            )
        )
    return "\n\n".join(parts)


def statement(results: Results) -> list[str]:
    """The main job in a minute against what a user would pick instead."""
    m, at = results["tables_minute"].metrics, "60 s"
    mean_ranks = {name: m[f"{at} {name} rank"] for name in METHODS if f"{at} {name} rank" in m}
    rivals = [name for name in mean_ranks if name != "metajax"]
    names = [t for t in suite.TABLES if f"{at} metajax {t}" in m]
    gaps = {n: {t: m[f"{at} metajax {t}"] - m[f"{at} {n} {t}"] for t in names if f"{at} {n} {t}" in m} for n in rivals}
    wins = {name: sum(gap > 0 for gap in gaps[name].values()) for name in rivals}
    order = ", ".join(
        f"{name} {mean_ranks[name]:.2f}" for name in sorted(mean_ranks, key=lambda name: mean_ranks[name])
    )
    nearest = min(rivals, key=lambda name: mean_ranks[name])
    chance = f"p {sign_test(wins[nearest], len(names)):.2g} by a sign test"
    sentences = [
        f"On {len(names)} new tables, a minute for each search, the mean ranks (1 is best) are: {order}. metajax is better "
        f"than {nearest} on {wins[nearest]} ({chance})."
    ]
    losses = {t: -gap for t, gap in gaps.get("boosting", {}).items() if gap < 0}
    if losses:
        worst_table = max(losses, key=lambda t: losses[t])
        where = f" ({worst_table})" if len(losses) > 1 else ""
        sentences.append(
            f"Default boosted trees are better on {listed(sorted(losses))}, by at most {losses[worst_table]:.2f} points{where}."
        )
    return [*sentences, *_in_ten_seconds(results)]


def _in_ten_seconds(results: Results) -> list[str]:
    """The shortest budget against defaults."""
    if "tables_ten" not in results:
        return []
    m, at = results["tables_ten"].metrics, "10 s"
    mean_ranks = {name: m[f"{at} {name} rank"] for name in METHODS if f"{at} {name} rank" in m}
    order = ", ".join(f"{name} {mean_ranks[name]:.2f}" for name in sorted(mean_ranks, key=mean_ranks.__getitem__))
    return [f"In ten seconds: {order}."]


def sign_test(wins: int, n: int) -> float:
    """Returns the chance of as many wins or losses, or more, if each were as likely as the other.

    Example:
        >>> sign_test(9, 10), sign_test(5, 10)
        (0.021484375, 1.0)
    """
    tail = sum(math.comb(n, k) for k in range(max(wins, n - wins), n + 1)) / 2**n
    return min(1.0, 2 * tail)


EXPERIMENT = harness.Experiment(
    "tables",
    __doc__,
    Config,
    measure_all,
    data=load,
    presets=PRESETS,
    table=markdown,
    figures=("ranks.png",),
    statement=statement,
)

if __name__ == "__main__":
    EXPERIMENT.exit()
