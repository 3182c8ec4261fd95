"""A learned augmentation policy against none and against a fixed one, on a part of CIFAR-10.

    python -m experiments.hpo.augmentation --out runs/augmentation

A four-layer convolutional network learns from 2,000 images of CIFAR-10, and the policy from 2,000 others. The policy is the
widths of eight distributions and the probability of a mirror image. It is learned online by hypergradients of the
validation loss while a first network trains. Then fresh networks learn under it, under none, and under the usual mirror
image and shift by up to an eighth of the image. Lorraine et al. 2020 (arXiv:1911.02590, table 4) learn an augmentation
network on all of CIFAR-10 and compare the same estimators: none 92.6, T1-T2 94.1, three Neumann terms 94.6, three unrolled
steps 94.7.

Test images are read once for each row, in batches of 500, each normalized by its own statistics, as in training. Expect 38%
without a policy, 47 under a learned one and 50 under the fixed one, which knows how far images may be shifted without being
told. It takes 10 minutes on 2 cores.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import harness
from experiments.harness import Results
from experiments.harness.markdown import number, table
from experiments.harness.words import against
from experiments.hpo._two_parts import arrays, check_batch, draw
from metajax import bilevel, data, hpo, nn, run
from metajax.types import InputError, stream

LEARNED = {
    "neumann": {"iterations": 3, "step_size": 0.1},
    "identity": {"step_size": 0.1},
    "truncated": {"steps": 3},
}
ROWS = ("none", "fixed", *LEARNED)


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the data, the network and the trainings."""

    rows: str = "all"
    """Rows of the table, separated by commas, or all."""
    size: int = 16
    """Side of the images in pixels."""
    width: int = 32
    """Filters of a layer."""
    train: int = 2_000
    """Images to learn from."""
    validation: int = 2_000
    """Images to learn the policy from."""
    batch: int = 100
    """Images in a batch."""
    search: int = 1_500
    """Steps of the network while the policy is learned."""
    steps: int = 2_000
    """Steps of a fresh network."""
    inner: int = 3
    """Steps between two hypergradients."""
    rate: float = 0.05
    """Learning rate of the networks."""
    outer_rate: float = 0.05
    """Learning rate of the policy."""
    seeds: int = 3
    """Repetitions, of which each draws its own images."""

    def __post_init__(self):
        _ = self.names  # raises on another name
        check_batch(self.batch, self.train, self.validation)
        if self.search < self.inner:
            raise InputError(f"--search must be at least --inner {self.inner}, got {self.search}")

    @property
    def names(self) -> list[str]:
        return harness.selected(self.rows, ROWS, "rows")


PRESETS = {
    "quick": {},
    "tiny": {
        "size": 8,
        "width": 4,
        "train": 100,
        "validation": 100,
        "batch": 20,
        "search": 6,
        "steps": 4,
        "seeds": 1,
        "rows": "none,fixed,identity",
    },
}


class Setting:
    """Data, network and problem of one seed."""

    def __init__(self, config: Config, seed: int):
        images = data.cifar10(seed, config.size, 50_000 - config.train)
        first = lambda part, n: tuple(map(jnp.asarray, (part[0][:n], part[1][:n])))
        self.train, self.held_out = first(images.train, config.train), first(images.validation, config.validation)
        self.test = first(images.test, None)
        network = nn.functional(lambda rngs: nn.Conv4(10, channels=3, width=config.width, rngs=rngs))
        self.network, self.config, self.key = network, config, jax.random.key(seed)
        self.optimizer = lambda steps: optax.sgd(optax.cosine_decay_schedule(config.rate, steps), momentum=0.9)

    def draw(self, key: jax.Array, source: Any) -> hpo.IndexedBatch:
        """Draws a batch."""
        return draw(key, source, self.config.batch)

    def policy(self, name: str) -> dict[str, jax.Array]:
        """Returns the policy that the hypergradient arrives at."""
        config = self.config
        training = hpo.training_problem(self.network, self.optimizer(config.search), 10, inputs=hpo.augmentation())
        estimator = hpo.make_estimator(name, **LEARNED[name])
        learner = bilevel.learner(
            training.problem, estimator, optax.adam(config.outer_rate), config.inner, warm_start=True
        )

        def body(state, _):
            a, b = jax.random.split(jax.random.fold_in(stream(self.key, "search data"), state.step))
            inner = jax.vmap(lambda k: self.draw(k, self.train))(jax.random.split(a, config.inner))
            return learner.update(state, (inner, self.draw(b, self.held_out)))[0], None

        start = learner.init(self.key, training.init(self.key))
        state = jax.jit(lambda s: jax.lax.scan(body, s, None, config.search // config.inner)[0])(start)
        return state.hyper["inputs"]

    def accuracy(self, augment: Callable[[jax.Array, jax.Array], jax.Array]) -> float:
        """Returns the test accuracy in % of a fresh network that learns under ``augment(x, key) -> x``."""
        config = self.config

        def loss(params, batch, key):
            outputs = self.network.apply(params, augment(batch.x, key))
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(outputs, batch.y)), {}

        learner = bilevel.supervised(self.network.init, loss, self.optimizer(config.steps))

        def body(state, _):
            key = jax.random.fold_in(stream(self.key, "data"), state.step)
            return learner.update(state, self.draw(key, self.train))[0], None

        start = learner.init(stream(self.key, "training"))
        state = jax.jit(lambda s: jax.lax.scan(body, s, None, config.steps)[0])(start)
        folded = [a.reshape(-1, 500, *a.shape[1:]) for a in self.test]
        right = lambda part: jnp.mean(jnp.argmax(self.network.apply(state.params, part[0]), -1) == part[1])
        return 100 * float(jnp.mean(jax.jit(lambda parts: jax.lax.map(right, parts))(tuple(folded))))


@functools.lru_cache(maxsize=8)
def setting(config: Config, seed: int) -> Setting:
    """Returns the setting of one seed; it is made once."""
    return Setting(config, seed)


def load(config: Config) -> dict[str, Any]:
    """The images of the first seed."""
    return arrays(setting(config, 0))


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Every row of the table."""
    part = hpo.augmentation()

    def work(cell):
        problem, row = setting(config, cell["seed"]), cell["row"]
        if row == "none":
            return {"accuracy": problem.accuracy(lambda x, key: x)}
        if row == "fixed":
            return {"accuracy": problem.accuracy(lambda x, key: data.flip_and_crop(x, key, config.size // 8))}
        policy = problem.policy(row)
        return {
            "accuracy": problem.accuracy(lambda x, key: part.apply(policy, x, key)),
            **hpo.augmentation_strengths(policy),
        }

    cells = [{"row": row, "seed": seed} for seed in range(config.seeds) for row in config.names]
    records = harness.measure(directory, cells, work, "trainings")
    metrics = {}
    for row in config.names:
        row_records = [r for r in records if r["row"] == row]
        for key in (k for k in row_records[0] if k not in ("row", "seed", "seconds")):
            metrics[f"{row} {key}"] = float(np.mean([r[key] for r in row_records]))
        accuracies = [r["accuracy"] for r in row_records]
        metrics[f"{row} deviation"] = float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else 0.0
    protocol = (
        f"CIFAR-10 at {config.size} x {config.size} pixels, {config.train} images to learn from, {config.validation} to learn "
        f"the policy from, 10000 for the test; Conv-4 of {config.width} filters, {config.steps} steps of {config.batch}; "
        f"means of {config.seeds} seeds; batch norm: statistics of the batch, everywhere"
    )
    return {"metrics": metrics, "protocol": protocol}


def markdown(config: dict, result: dict) -> str:
    """One row for each policy, with what it does."""
    m = result["metrics"]
    learned = [name for name in LEARNED if f"{name} accuracy" in m]
    names = [key.removeprefix(f"{learned[0]} ") for key in m if key.startswith(f"{learned[0]} ")] if learned else []
    amounts, rows = [name for name in names if name not in ("accuracy", "deviation")], []
    for name in (n for n in ROWS if f"{n} accuracy" in m):
        shown = [number(m.get(f"{name} {a}"), ".2f", "") for a in amounts]
        rows.append([name, f"{m[f'{name} accuracy']:.2f} ± {m[f'{name} deviation']:.2f}", *shown])
    return table(["", "test accuracy", *amounts], rows)


def statement(results: Results) -> list[str]:
    """A learned against a fixed augmentation."""
    m = results["augmentation"].metrics
    learned = {name: m[f"{name} accuracy"] for name in LEARNED if f"{name} accuracy" in m}
    best = max(learned, key=lambda name: learned[name])
    how = against(learned[best], m["fixed accuracy"], m["fixed deviation"])
    return [
        f"A learned augmentation ({best}) reaches {learned[best]:.1f}%, {against(learned[best], m['none accuracy'])} none "
        f"({m['none accuracy']:.1f}%) and {how} a fixed one ({m['fixed accuracy']:.1f} ± {m['fixed deviation']:.1f}%)."
    ]


EXPERIMENT = harness.Experiment(
    "augmentation",
    __doc__,
    Config,
    measure_all,
    data=load,
    presets=PRESETS,
    table=markdown,
    statement=statement,
)

if __name__ == "__main__":
    EXPERIMENT.exit()
