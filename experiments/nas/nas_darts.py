"""The space of DARTS (Liu et al. 2019, arXiv:1806.09055) on CIFAR-10: search, derive the cells, draw them, train them.

    python -m experiments.nas.nas_darts --method gdas --preset quick --out runs/nas_darts
    python -m experiments.nas.nas_darts --genotype "Genotype(normal=[...], ...)" --out runs/retrained

The SuperNet has a normal and a reduction cell with eight operations on every edge: 10^25 mixtures. It is searched with half
of the training images for the weights and half for the encoding. The two strongest edges into every node are kept (10^18
pairs of cells); ``normal.svg`` and ``reduce.svg`` show them. The network of these cells is then trained from scratch on all
50,000 training images (mirrored, shifted, with a square cut out) and tested. With ``--genotype`` nothing is searched. Batch
norm uses the statistics of the batch, in the test those of batches of 250.

Preset ``quick`` (16 x 16 pixels, 3 cells of 4 channels) is for 2 cores. Preset ``paper`` wants a GPU. It is that of the
paper (search: 8 cells of 16 channels, 50 epochs of batches of 64; training: 20 cells of 36 channels, 600 epochs of batches
of 96), without its auxiliary head and without drop-path.
"""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import harness
from experiments.harness.markdown import metrics_table
from experiments.nas import _searching, _versions
from metajax import bilevel, data, fewshot, nn, plot, run, supernet
from metajax.types import InputError


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the search and of the training after it."""

    method: str = "gdas"
    """A name of ``supernet.METHODS`` that ends in strengths of the operations."""
    genotype: str = ""
    """Cells to train, as DARTS prints them; empty to search them."""
    size: int = 16
    """Side of the images in pixels."""
    steps: int = 1500
    """Updates of the search."""
    batch: int = 32
    """Images in a batch of the search."""
    rate: float = 0.1
    """Learning rate of the weights in the search."""
    channels: int = 4
    """Channels of the searched network."""
    layers: int = 3
    """Cells of the searched network, at least 3."""
    nodes: int = 4
    """Nodes of a cell."""
    train_steps: int = 1500
    """Updates of the training from scratch."""
    train_batch: int = 64
    """Images in a batch of that training."""
    train_rate: float = 0.1
    """Learning rate of that training."""
    train_channels: int = 8
    """Channels of the trained network."""
    train_layers: int = 3
    """Cells of the trained network, at least 3."""
    cut: int = 8
    """Side in pixels of the square that is cut out of training images."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        if self.method not in METHODS:
            raise InputError(f"--method must be one of {', '.join(METHODS)}, got {self.method}")
        sizes = ("steps", "batch", "channels", "nodes", "train_steps", "train_batch", "train_channels")
        harness.check_at_least(self, 1, *sizes)
        harness.check_at_least(self, 3, "layers", "train_layers")
        if self.genotype:
            try:
                supernet.spaces.from_genotype(self.genotype)
            except ValueError as error:
                raise InputError(f"--genotype: {error}") from error


OTHERS = ("spos", "fairnas", "sandwich", "enas", "darts-pt", "darts-pt-fixed", "drnas-pruned")
"""Methods without strengths of the operations, by which the two strongest edges into a node are chosen, or whose network
grows."""
METHODS = [name for name in supernet.METHODS if name not in OTHERS]
PRESETS = {
    "quick": {},
    "paper": {
        "size": 32,
        "steps": 50 * 25_000 // 64,
        "batch": 64,
        "rate": 0.025,
        "channels": 16,
        "layers": 8,
        "train_steps": 600 * 50_000 // 96,
        "train_batch": 96,
        "train_rate": 0.025,
        "train_channels": 36,
        "train_layers": 20,
        "cut": 16,
    },
    "tiny": {
        "size": 8,
        "steps": 2,
        "batch": 8,
        "channels": 4,
        "nodes": 1,
        "train_steps": 2,
        "train_batch": 8,
        "train_channels": 4,
    },
}


def search(config: Config, parts: data.Images, directory: run.RunDirectory):
    """Returns the cells that the method decides on, and the seconds of the search."""
    space = supernet.spaces.darts_space(config.nodes)

    def network(partial, single_path: bool) -> nn.Functional:
        return supernet.spaces.darts_supernet(
            10, config.channels, config.layers, 3, config.nodes, partial=partial, single_path=single_path
        ).network

    setting = _searching.Setting(
        space,
        network,
        parts,
        config.steps,
        config.batch,
        config.rate,
        config.size // 8,
        config.seed,
        decide=supernet.spaces.derive,
    )
    search_config = {**run.to_dict(config), "part": "search"}
    with run.RunDirectory(directory.path / "search", search_config, resume=directory.resumed) as search_directory:
        cells = _searching.search(config.method, setting, search_directory).config
        return cells, search_directory.metrics()[-1]["seconds"]


def train(config: Config, cells: dict[str, Any], parts: data.Images, directory: run.RunDirectory) -> dict[str, float]:
    """Trains the network of the found cells from scratch and tests it."""
    nodes = max(int(name.rsplit("_", 1)[1]) for name in cells) - 1
    alone = supernet.spaces.darts_supernet(10, config.train_channels, config.train_layers, 3, nodes).build(cells)
    schedule = optax.cosine_decay_schedule(config.train_rate, config.train_steps)
    optimizer = optax.chain(
        optax.clip_by_global_norm(5.0), optax.add_decayed_weights(3e-4), optax.sgd(schedule, momentum=0.9)
    )
    learner = bilevel.supervised(alone.init, fewshot.cross_entropy(alone.apply), optimizer)
    x, y = (jnp.asarray(np.concatenate(pair)) for pair in zip(parts.train, parts.validation))

    def sample(key):
        rows, move, cut = jax.random.split(key, 3)
        index = jax.random.randint(rows, (config.train_batch,), 0, len(y))
        moved = data.flip_and_crop(x[index], move, config.size // 8)
        return data.cut_out(moved, cut, config.cut), y[index]

    state = run.train(
        learner,
        learner.init(jax.random.fold_in(jax.random.key(config.seed), 1)),
        sample,
        config.train_steps,
        directory,
        chunk=min(25, config.train_steps),
        label="training",
    )
    right = jax.jit(lambda x, y: jnp.sum(jnp.argmax(alone.apply(state.params, x), axis=-1) == y))
    batches = zip(*(np.split(part, 40) for part in parts.test))
    correct = sum(int(right(xb, yb)) for xb, yb in batches)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    return {"test_accuracy": 100 * correct / len(parts.test[1]), "parameters": parameters}


def load(config: Config) -> dict[str, Any]:
    """CIFAR-10."""
    return {"images": data.cifar10(config.seed, config.size)}


def search_and_train(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Searches unless cells are given, draws the cells, and trains them."""
    parts: data.Images = loaded["images"]
    metrics: dict[str, float] = {}
    if config.genotype:
        cells = supernet.spaces.from_genotype(config.genotype)
    else:
        space = supernet.spaces.darts_space(config.nodes)
        metrics = {"log10_supernet": space.log10_size, "log10_cells": supernet.spaces.log10_cells(config.nodes)}
        cells, metrics["search_seconds"] = search(config, parts, directory)
    for cell, (nodes, edges) in supernet.spaces.cell_graphs(cells).items():
        run.write_text(directory.path / f"{cell}.svg", plot.graph_svg(nodes, edges, f"{cell} cell"))
    start = time.perf_counter()
    metrics = {
        **metrics,
        "skips": supernet.diagnosis.count_value(cells, "skip"),
        **train(config, cells, parts, directory),
    }
    metrics["train_seconds"] = time.perf_counter() - start
    searched = (
        "cells given"
        if config.genotype
        else (
            f"{config.method} at {config.size} x {config.size}, {config.layers} cells of {config.channels} channels, "
            f"{config.steps} steps of {config.batch}"
        )
    )
    protocol = (
        f"{searched}; trained alone: {config.train_layers} cells of {config.train_channels} channels, {config.train_steps} "
        f"steps of {config.train_batch} on 50,000 images, tested on 10,000; batch norm: transductive, test batches of 250"
    )
    return {"metrics": metrics, "genotype": supernet.spaces.to_genotype(cells), "protocol": protocol}


def markdown(config: dict[str, Any], result: dict[str, Any]) -> str:
    """The cells that were found, the size of the space, and the metrics."""
    m = result["metrics"]
    space = ""
    if "log10_cells" in m:
        space = f"The space has 10^{m['log10_supernet']:.1f} mixtures, 10^{m['log10_cells']:.1f} pairs of cells.\n\n"
    old = "" if _versions.is_current(config["method"], result) else _versions.EARLIER
    return f"{old}{space}`{result['genotype']}`\n\n{metrics_table(m)}"


EXPERIMENT = harness.Experiment(
    "nas_darts",
    __doc__,
    Config,
    search_and_train,
    load,
    PRESETS,
    markdown,
    figures=("normal.svg", "reduce.svg"),
)

if __name__ == "__main__":
    EXPERIMENT.exit()
