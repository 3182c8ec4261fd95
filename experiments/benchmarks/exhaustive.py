"""The truth of a small space in one program, against a program for every architecture in JAX.

    python -m experiments.benchmarks.exhaustive --out runs/benchmarks/exhaustive

The space has 125 cells of three nodes on scikit-learn's digits, as in ``experiments.nas.nas_digits``.
``supernet.truth.exhaust`` trains them in one program (side by side on an accelerator, by single paths on a CPU). One at a
time, each is the stand-alone network that one would write, with its own operations alone and a program of its own;
``alone`` of them are trained, and their time is scaled to all. The first claim counts compilation, which is most of the
waiting there; the second does not. The accuracies of both are checked to agree.
"""

import dataclasses
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import harness
from experiments.benchmarks import compare
from metajax import data, nn, supernet
from metajax.types import InputError, Key


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the cells and of their training."""

    channels: int = 8
    """Channels of the network."""
    epochs: int = 4
    """Epochs of a training."""
    side_by_side: int = 25
    """Architectures that one program trains side by side."""
    alone: int = 5
    """Architectures that are trained one at a time."""
    cells: int = 125
    """Architectures in all."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        harness.check_at_least(self, 1, "channels", "epochs", "side_by_side", "alone", "cells")
        if self.cells > 125:
            raise InputError(f"--cells must be at most 125, got {self.cells}")


PRESETS = {"paper": {}, "tiny": {"channels": 2, "epochs": 1, "alone": 1, "cells": 25}}


def measure(config: Config) -> compare.Measured:
    """Measures both, with and without compilation."""
    with harness.compiled_anew():
        return _measured(config)


def one_at_a_time(
    cells: Any, training: Any, train: Any, test: Any, index: np.ndarray, key: Key
) -> tuple[np.ndarray, np.ndarray]:
    """Trains each of some cells alone; returns the accuracies, and the seconds of the first and of the second training.

    The first training of a cell compiles its program.
    """
    space, scores, durations = cells.space, [], []
    for number in index:
        built = cells.build(space.dicts(space.at([number]))[0])
        alone = nn.Functional(built.init, lambda params, x, encoding, built=built: built.apply(params, x))
        start = time.perf_counter()
        run = jax.jit(supernet.truth.trainer(alone, training, *train, *test))
        encoding, seed_key = jnp.zeros(space.width), jax.random.split(key, 1)[0]
        scores.append(float(run(encoding, seed_key)))
        middle = time.perf_counter()
        run(encoding, seed_key).block_until_ready()
        durations.append((middle - start, time.perf_counter() - middle))
    return np.array(scores), np.array(durations)


class _Together(NamedTuple):
    """All cells trained side by side.

    Attributes:
        table: Their accuracies.
        seconds: The seconds ``with`` and ``without`` compilation.
    """

    table: supernet.truth.TruthTable
    seconds: dict[str, float]


def _side_by_side(
    config: Config, cells: Any, training: Any, train: Any, test: Any, index: np.ndarray, key: Key
) -> _Together:
    """Trains all cells side by side; a group that is compiled already takes the median time."""
    stamps = [time.perf_counter()]
    table = supernet.truth.exhaust(
        cells.space,
        cells.network,
        train,
        test,
        training,
        key=key,
        index=index,
        side_by_side=config.side_by_side,
        progress=lambda done, total: stamps.append(time.perf_counter()),
    )
    groups = np.diff(stamps)
    compiled = float(np.median(groups[1:] if len(groups) > 1 else groups))
    return _Together(table, {"with": float(groups.sum()), "without": compiled * len(groups)})


def _measured(config: Config) -> compare.Measured:
    images = data.digits(config.seed)
    part = lambda p: (jnp.asarray(p[0]), jnp.asarray(p[1]))
    train, test = part(images.train), part(images.test)
    cells = supernet.spaces.cell_supernet(
        10, config.channels, 1, 1, 1, 2, 3, single_path=supernet.truth.trains_sequentially()
    )
    training, key = supernet.truth.TrainingSetup(config.epochs), jax.random.key(config.seed)
    index = np.linspace(0, 124, config.cells).astype(int)
    table, together = _side_by_side(config, cells, training, train, test, index, key)
    sampled = index[np.linspace(0, len(index) - 1, config.alone + 2).astype(int)[1:-1]]
    scores, durations = one_at_a_time(cells, training, train, test, sampled, key)
    mean_difference = float(np.mean(np.abs(scores - [table.mean[list(index).index(p)] for p in sampled])))
    compare.check_difference(mean_difference, 0.05, "exhaustive")
    scale = len(index)
    first, second = durations.T
    ratios = {"with": first * scale / together["with"], "without": second * scale / together["without"]}
    label = f"truth of {len(index)} cells on digits: times faster than one at a time in JAX"
    claims = [
        compare.claim(f"{label}, compilation counted", 10.0, ratios["with"]),
        compare.claim(f"{label}, compilation apart", 10.0, ratios["without"]),
    ]
    metrics = {
        "metajax s": together["with"],
        "one at a time s": float(first.mean() * scale),
        "metajax s, compiled": together["without"],
        "one at a time s, compiled": float(second.mean() * scale),
        "difference of accuracies": mean_difference,
    }
    protocol = (
        f"{config.epochs} epochs each; one at a time scaled from {config.alone} cells, quartiles over these; batch norm by the "
        "batch"
    )
    return compare.Measured(metrics, claims, protocol)


EXPERIMENT = compare.benchmark("exhaustive", __doc__, Config, PRESETS, measure)

if __name__ == "__main__":
    EXPERIMENT.exit()
