"""What each part of the main job's search gives: the whole search against the same one with a part changed, in the same time.

    python -m experiments.automl.search_ablation --out runs/ablation        # 26 tables, a minute each: four hours
    python -m experiments.automl.search_ablation --preset short --out runs/ablation  # nine, half a minute: 45 minutes

The trivial answer stands beside it: the ensemble of the defaults of all model types, without a search. The parts are the
prior of other tables; the meta-learner, in whose place chance or Optuna's TPE proposes; boosted trees and forests; LightGBM,
XGBoost and CatBoost; and the ensemble. (What the embeddings of numbers give is measured by ``network_ablation``.) Every variant
is a program of its own, on the same cores, one after the other, on the tables of ``tables.py``, none of which was used to
choose a setting. A quarter of the rows is held back, and only the experiment sees its targets.

Every configuration is first tried on validation rows that all variants share. The best metric there tells how good the
configurations are that a proposer finds, without the luck of the test rows and without what the ensemble adds.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np

from experiments import harness
from experiments.automl import _suite as suite
from experiments.automl import tables
from experiments.automl._contest import VARIANTS
from experiments.automl._table_report import sign_test
from experiments.harness import Results
from experiments.harness.markdown import number, table
from metajax import run
from metajax.types import InputError

WORDS = {
    "metajax": "the whole search",
    "defaults_alone": "the defaults alone",
    "no_prior": "no prior of other tables",
    "random_proposals": "chance proposes",
    "tpe": "TPE proposes",
    "no_trees": "no trees",
    "scikit_learn_trees": "trees of scikit-learn alone",
    "no_ensemble": "no ensemble",
}
METHODS = ("metajax", *VARIANTS)
VALIDATION = "validation "
"""What the names of metrics on validation rows begin with, after that of the variant."""


@dataclasses.dataclass(frozen=True)
class Config(tables.Contest):
    """Settings of the ablation."""

    seconds: float = 60.0
    """Seconds of each search."""
    known: ClassVar[tuple[str, ...]] = METHODS

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.seconds < math.inf:
            raise InputError("seconds must be positive")


_EVERY_THIRD = ",".join(list(suite.TABLES)[::3])
PRESETS = {"paper": {}, "short": {"tables": _EVERY_THIRD, "seconds": 30.0}}


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Every variant on every table."""
    cells = [
        {"split": split, "table": name, "method": method, "budget": config.seconds}
        for split, name, method in itertools.product(range(config.splits), config.names, config.contestants)
    ]
    records = tables.contest(config, directory, loaded, cells, config.seconds)
    scores = tables.scores(records, config.seconds)
    metrics = {f"{m} {t}": 100 * v for m, each in scores.items() for t, v in each.items()}
    metrics |= {f"{m} rank": value for m, value in tables.ranked(records, config.seconds).mean.items()}
    for method in scores:
        own = [record for record in records if record["method"] == method]
        for key in ("fit_seconds", "models"):
            metrics[f"{method} {key}"] = float(np.mean([record[key] for record in own if key in record] or [math.nan]))
        for name in config.names:
            best = [record["validation"] for record in own if record["table"] == name and "validation" in record]
            if best:
                metrics[f"{method} {VALIDATION}{name}"] = 100 * float(np.mean(best))
    protocol = (
        f"{len(config.names)} tables, {config.splits} splits, a quarter of the rows held back; AUC of two classes, accuracy of "
        f"more, R² of numbers; {config.seconds:g} seconds for each search, alone on {config.cores} cores"
    )
    return {"metrics": metrics, "protocol": protocol, "records": records}


class Gain(NamedTuple):
    """How much better the whole search is than a variant.

    Attributes:
        points: The mean over tables.
        wins: Number of tables on which it is better.
        losses: Number of tables on which it is worse.
        p: The chance of as many wins or losses if neither was better.
    """

    points: float
    wins: int
    losses: int
    p: float


def gain(m: Mapping[str, float], method: str, of: str = "") -> Gain:
    """Returns how much better the whole search is than a variant, on test rows or ``of`` the validation rows."""
    shared = [f"{of}{t}" for t in suite.TABLES if f"metajax {of}{t}" in m and f"{method} {of}{t}" in m]
    points = [value for t in shared if math.isfinite(value := m[f"metajax {t}"] - m[f"{method} {t}"])]
    wins, losses = sum(value > 0 for value in points), sum(value < 0 for value in points)
    return Gain(float(np.mean(points or [math.nan])), wins, losses, sign_test(wins, wins + losses))


def markdown(config: dict[str, Any], result: dict[str, Any]) -> str:
    """One row for each variant."""
    m, rows = result["metrics"], []
    for method in (name for name in METHODS if f"{name} rank" in m):
        compared = ["", "", "", ""]
        if method != "metajax":
            own, found = gain(m, method), gain(m, method, VALIDATION)
            compared = [f"{own.points:+.2f}", f"{own.wins} : {own.losses}", f"{own.p:.2g}"]
            compared.append(f"{found.wins} : {found.losses} (p {found.p:.2g})")
        costs = [number(m[f"{method} models"], ",.0f"), number(m[f"{method} fit_seconds"], ".0f")]
        rows.append([WORDS[method], number(m[f"{method} rank"], ".2f"), *compared, *costs])
    head = [
        "",
        "mean rank",
        "points that the whole gains",
        "tables better : worse",
        "p (sign test)",
        "best configuration on validation rows better : worse",
        "models",
        "seconds",
    ]
    return table(head, rows)


def statement(results: Results) -> list[str]:
    """What the meta-learner gives beside chance, and the search beside the defaults."""
    metrics = results["search_ablation"].metrics

    def wins(method: str, of: str = "") -> str:
        own = gain(metrics, method, of)
        return f"{own.wins} of {own.wins + own.losses}"

    compared = {"random_proposals": "chance", "defaults_alone": "the defaults alone"}
    parts = [f"{name} on {wins(method)}" for method, name in compared.items() if f"{method} rank" in metrics]
    if not parts:
        return []
    sentence = f"In a minute it beats {', '.join(parts)} tables"
    if any(VALIDATION in name for name in metrics):
        sentence += (
            f"; its best configuration beats chance's on {wins('random_proposals', VALIDATION)} by validation rows"
        )
    return [f"{sentence}."]


EXPERIMENT = harness.Experiment(
    "search_ablation",
    __doc__,
    Config,
    measure_all,
    data=tables.load,
    presets=PRESETS,
    table=markdown,
    statement=statement,
)

if __name__ == "__main__":
    EXPERIMENT.exit()
