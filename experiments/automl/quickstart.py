"""The quickstart on digits, by seeds: the search, the same search by chance, and the defaults of all model types.

    python -m experiments.automl.quickstart --seed 0 --out runs/quickstart_0

It is ``metajax quickstart`` as a script, on three searches of three minutes each: the meta-learner proposes, chance proposes,
or nothing but the defaults of all model types is trained, which takes less. All three end with an ensemble. The first also
tests a single model with the default configuration. A run takes about seven minutes on 2 cores.
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from experiments import harness
from experiments.harness import Result, Results
from experiments.harness.markdown import metrics_table, table
from experiments.harness.words import duration
from metajax import automl, run
from metajax.data import tabular

METHODS = {"search": "metalearner", "random": "random", "defaults": "defaults"}
"""Methods of ``metajax search`` by their names in the table."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the searches."""

    minutes: float = 3.0
    """Minutes of each search, as ``metajax quickstart`` has them."""
    seed: int = 0
    """Seed of the split and of all randomness."""


def load(config: Config) -> dict[str, Any]:
    """Scikit-learn's digits as a table."""
    return {"digits": tabular.load("digits")[:2]}


def search(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Runs the three searches; each has a run directory below."""
    digits, results = tabular.load("digits"), {}
    for name, method in METHODS.items():
        settings = automl.Config("digits", method=method, minutes=config.minutes, seed=config.seed)
        with run.RunDirectory(directory.path / name, run.to_dict(settings), resume=directory.resumed) as inside:
            results[name] = automl.search(settings, inside, digits).result
    metrics = {"default_test_accuracy": results["search"]["metrics"]["default_test_accuracy"]}
    for name, result in results.items():
        measured = result["metrics"]
        for key in ("test_accuracy", "test_loss", "models_trained", "seconds"):
            metrics[f"{name}_{key}"] = measured[key]
    return {"metrics": metrics, "protocol": results["search"]["protocol"]}


def summary(results: Sequence[Result]) -> str:
    """The seeds side by side, and how the first one came about."""
    rows, names = [], (*METHODS, "default")
    for result in results:
        m = result.metrics
        accuracies = [f"{100 * m[f'{name}_test_accuracy']:.2f}" for name in names]
        rows.append([result.name, *accuracies, f"{m['search_models_trained']:.0f}", f"{m['search_seconds']:.0f}"])
    means = [f"{100 * statistics.mean(r.metrics[f'{name}_test_accuracy'] for r in results):.2f}" for name in names]
    costs = [
        f"{statistics.mean(r.metrics[f'search_{key}'] for r in results):.0f}" for key in ("models_trained", "seconds")
    ]
    head = ["run", "search", "chance proposes", "defaults", "default", "models", "seconds"]
    return (
        "## quickstart over seeds\n\nThe numbers are test accuracies on digits in %. The search and chance have the same time, "
        "and end with an ensemble, as does that of the defaults of all model types. Default is one model. Models and "
        f"seconds are those of the search.\n\n{table(head, [*rows, ['**mean**', *means, *costs]])}\n\n"
        f"{harness.heading(results[0])}\n{metrics_table(results[0].metrics)}\n"
    )


def statement(results: Results) -> list[str]:
    """The search on digits against chance and the defaults."""
    runs = [result.metrics for name, result in results.items() if name.startswith("quickstart_")]
    seconds = statistics.mean(m["search_seconds"] for m in runs)
    gaps = lambda name: [100 * (m["search_test_accuracy"] - m[f"{name}_test_accuracy"]) for m in runs]
    random, defaults = gaps("random"), gaps("defaults")
    return [
        f"The quickstart on digits ({len(runs)} seeds of {duration(seconds)}) is {statistics.mean(random):+.2f} points against "
        f"chance in the same time ({min(random):+.2f} to {max(random):+.2f} by seed), and {statistics.mean(defaults):+.2f} "
        "against the ensemble of all defaults."
    ]


EXPERIMENT = harness.Experiment(
    "quickstart", __doc__, Config, search, load, summary=summary, sections=False, statement=statement
)

if __name__ == "__main__":
    EXPERIMENT.exit()
