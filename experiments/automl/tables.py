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
from experiments.automl._peers import METHODS, SEARCHES
from experiments.automl._ranks import diagram, ranks
from experiments.automl._table_report import markdown, statement
from metajax import plot, run
from metajax.types import InputError

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
