"""Steps a second of the `paper` presets, and how long their trainings take.

    python -m experiments.benchmarks.paper_steps --experiment omniglot --method maml --out runs/benchmarks/omniglot_steps
    python -m experiments.benchmarks.paper_steps --experiment nas_bench_201 --method gdas --out runs/benchmarks/nas_steps

The training is that of ``experiments.fewshot.omniglot --preset paper`` or ``experiments.nas.nas_bench_201 --preset paper``,
on images of noise of the same shape, so that no data is needed: chunks of ``steps`` steps in one compiled scan, batches
drawn on the device. There is no peer; the claim is the time that the whole training would take.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from experiments import harness
from experiments.benchmarks import compare
from experiments.fewshot import classify, omniglot
from experiments.nas import _bench_201, nas_bench_201
from metajax import data, fewshot, supernet
from metajax.run import compiled_chunk
from metajax.types import InputError, Learner, stream

EXPERIMENTS = ("omniglot", "nas_bench_201")
GOAL_HOURS = 6.0
"""A `paper` training should end within a working day on one accelerator."""
_SMALL_OMNIGLOT: dict[str, Any] = {"width": 4, "tasks": 2, "chunk": 2, "steps": 100}
_SMALL_SEARCH: dict[str, Any] = {"size": 8, "channels": 4, "cells": 1, "steps": 100, "batch": 8}


@dataclasses.dataclass(frozen=True)
class Config:
    """Which training, and how much of it is timed."""

    experiment: str = "omniglot"
    """omniglot or nas_bench_201."""
    method: str = "maml"
    """The method of the training."""
    ways: int = 5
    """Classes of a task."""
    shots: int = 1
    """Examples of a class in the support."""
    steps: int = 50
    """Steps of a chunk."""
    rounds: int = 5
    """Chunks that are timed."""
    small: bool = False
    """A small network, for a test."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        if self.experiment not in EXPERIMENTS:
            raise InputError(f"--experiment must be one of {', '.join(EXPERIMENTS)}, got {self.experiment}")
        known = list(fewshot.METHODS) if self.experiment == "omniglot" else list(supernet.METHODS)
        if self.method not in known:
            raise InputError(
                f"--method must be one of {', '.join(known)} with --experiment {self.experiment}, got {self.method}"
            )
        harness.check_at_least(self, 1, "ways", "shots", "steps", "rounds")


PRESETS = {"paper": {}, "tiny": {"steps": 2, "rounds": 1, "small": True}}


def omniglot_training(config: Config) -> tuple[Learner, Any, Callable[[jax.Array], Any], int]:
    """Returns the learner, state, sampler of batches and number of steps of the preset of Omniglot."""
    chosen: dict[str, Any] = {"method": config.method, "ways": config.ways, "shots": str(config.shots)}
    chosen["seed"] = config.seed
    values = omniglot.PRESETS["paper"](chosen) | chosen | (_SMALL_OMNIGLOT if config.small else {})
    training = classify.Config(**values)
    rng = np.random.default_rng(config.seed)
    images = rng.integers(0, 256, (60 if config.small else 1200, 20, 28, 28), np.uint8)
    parts = data.split_classes(data.from_array(images), config.seed)
    method = classify.build(training, parts, training.steps)
    sampler = fewshot.episodes.tasks(
        classify.episodes(training, parts.train, "training", train=True), training.tasks or 1
    )
    key = jax.random.key(config.seed)
    return (
        method.learner,
        method.init(stream(key, "state"), method.init_params(stream(key, "params"))),
        sampler,
        training.steps,
    )


def search_training(config: Config) -> tuple[Learner, Any, Callable[[jax.Array], Any], int]:
    """Returns the same of the preset of NAS-Bench-201."""
    chosen: dict[str, Any] = {"method": config.method, "seed": config.seed}
    values = nas_bench_201.PRESETS["paper"](chosen) | chosen | (_SMALL_SEARCH if config.small else {})
    training = nas_bench_201.Config(**values)
    rng, number = np.random.default_rng(config.seed), 64 if config.small else 25_000
    draw = lambda: rng.normal(size=(number, training.size, training.size, 3)).astype(np.float32)
    part = lambda: (draw(), rng.integers(0, 10, number).astype(np.int32))
    setting = _bench_201.setting(training, parts=data.Images(part(), part(), part()))
    recipe = supernet.METHODS[config.method].recipe(setting.space)
    search = recipe.build(
        setting.space,
        setting.network,
        fewshot.cross_entropy,
        steps=setting.steps,
        learning_rate=setting.rate,
        steps_per_epoch=max(1, number // (setting.batch * recipe.inner_steps)),
    )
    sampler = supernet.sampler(setting.parts, setting.batch, recipe.inner_steps, setting.augment)
    return search.learner, search.init(jax.random.key(config.seed)), sampler, training.steps


def measure(config: Config) -> compare.Measured:
    """Measures the seconds of compiling and of a step."""
    make = omniglot_training if config.experiment == "omniglot" else search_training
    learner, state, sampler, steps = make(config)
    run = compiled_chunk(learner, sampler)
    carry = [state]

    def chunk():
        carry[0], _, is_healthy = run(carry[0], None, config.steps)  # the state is donated
        return jax.block_until_ready(is_healthy)

    first = compare.once(chunk)
    seconds = compare.alternate({"step": chunk}, config.rounds)["step"] / config.steps
    hours = steps * seconds / 3600
    label = f"{config.experiment}, {config.method}, preset paper: {steps:,} steps"
    metrics = {"steps a second": float(1 / np.median(seconds)), "first chunk s": first}
    protocol = f"{config.rounds} chunks of {config.steps} steps; images of noise"
    return compare.Measured(metrics, [compare.claim(label, GOAL_HOURS, hours, most=True, unit="h")], protocol)


EXPERIMENT = compare.benchmark("paper_steps", __doc__, Config, PRESETS, measure)

if __name__ == "__main__":
    EXPERIMENT.exit()
