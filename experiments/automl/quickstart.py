"""The quickstart on digits, by seeds: the search against as many models at random, and against the untuned default.

    python -m experiments.automl.quickstart --seed 0 --out runs/quickstart_0

It is ``metajax quickstart --trials 192`` as a script. The committed results are of that command, when the space held small
networks alone: 192 models for the search and 192 at random, in about three minutes on 2 cores.
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


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the search."""

    trials: int = 192
    """Number of models that the search trains; as many are trained at random."""
    seed: int = 0
    """Seed of the split and of all randomness."""


def load(config: Config) -> dict[str, Any]:
    """Scikit-learn's digits as a table."""
    return {"digits": tabular.load("digits")[:2]}


def search(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Runs the main job on digits; its own run is a directory below."""
    settings = automl.Config("digits", trials=config.trials, seed=config.seed)
    with run.RunDirectory(directory.path / "search", run.to_dict(settings), resume=directory.resumed) as inside:
        return automl.search(settings, inside, tabular.load("digits")).result


def summary(results: Sequence[Result]) -> str:
    """The seeds side by side, and how the first one came about."""
    rows, gaps = [], []
    for result in results:
        m = result.metrics
        accuracies = [f"{100 * m[f'{kind}test_accuracy']:.2f}" for kind in ("", "random_", "default_")]
        rows.append([result.name, *accuracies, f"{m['seconds']:.0f}"])
        gaps.append(m["test_accuracy"] - m["random_test_accuracy"])
    mean = 100 * sum(gaps) / len(gaps)
    return (
        "## quickstart over seeds\n\nThe numbers are test accuracies on digits in %. The search and random search train 192 "
        f"models each.\n\n{table(['run', 'search', 'random', 'default', 'seconds'], rows)}\n\nThe search is {mean:+.2f} points "
        f"against random search on average, and not below it in {sum(g >= 0 for g in gaps)} of {len(gaps)} runs.\n\n"
        f"{harness.heading(results[0])}\n{metrics_table(results[0].metrics)}\n"
    )


def statement(results: Results) -> list[str]:
    """The search on digits against random search and the untuned default."""
    runs = [result.metrics for name, result in results.items() if name.startswith("quickstart_")]
    gaps = lambda kind: [100 * (m["test_accuracy"] - m[f"{kind}_test_accuracy"]) for m in runs]
    seconds = statistics.mean(m["seconds"] for m in runs)
    random, default = gaps("random"), gaps("default")
    return [
        f"The quickstart on digits, of small networks alone ({len(runs)} seeds of {duration(seconds)}), is "
        f"{statistics.mean(random):+.2f} points against random search ({min(random):+.2f} to {max(random):+.2f} by seed), and "
        f"{statistics.mean(default):+.2f} against the untuned default."
    ]


EXPERIMENT = harness.Experiment(
    "quickstart", __doc__, Config, search, load, summary=summary, sections=False, statement=statement
)

if __name__ == "__main__":
    EXPERIMENT.exit()
