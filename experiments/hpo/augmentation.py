"""A learned augmentation policy against none and against a fixed one, on a part of CIFAR-10.

    python -m experiments.hpo.augmentation --out runs/augmentation

2,000 images of CIFAR-10 to learn from, 2,000 to learn the policy from; a four-layer convolutional network. The policy, the
widths of eight distributions and the probability of a mirror image, is learned online by hypergradients of the validation loss
while a first network trains; then fresh networks learn under it, under none, and under the usual mirror image and shift
by up to an eighth of the image. Lorraine et al. 2020 (arXiv:1911.02590, table 4) learn an augmentation network on all of
CIFAR-10 and compare the same estimators: none 92.6, T1-T2 94.1, three Neumann terms 94.6, three unrolled steps 94.7.

Test images are read once for each row, in batches of 500, each normalized by its own statistics, as in training. Expect 38%
without a policy, 47 under a learned one and 50 under the fixed one, which knows how far images may be shifted without being
told; 10 minutes on 2 cores.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import harness
from experiments.harness import Results
from experiments.harness.markdown import number, table
from experiments.harness.words import against
from metajax import bilevel, data, hpo, nn, run
from metajax.hpo import AUGMENTATION_RANGES
from metajax.types import InputError, stream

LEARNED = {
    "neumann": {"iterations": 3, "step_size": 0.1},
    "identity": {"step_size": 0.1},
    "truncated": {"steps": 3},
}
ROWS = ("none", "fixed", *LEARNED)


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of data, network and training; ``rows`` are ``all`` or some of the table's, separated by commas."""

    rows: str = "all"
    size: int = 16
    width: int = 32
    train: int = 2_000
    validation: int = 2_000
    batch: int = 100
    search: int = 1_500
    steps: int = 2_000
    inner: int = 3
    rate: float = 0.05
    outer_rate: float = 0.05
    seeds: int = 3

    def __post_init__(self):
        _ = self.names  # raises on another name
        if self.batch > min(self.train, self.validation) or self.search < self.inner:
            raise InputError("batch must not exceed train and validation, search must not be below inner")

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
        arrays = lambda part, n: tuple(map(jnp.asarray, (part[0][:n], part[1][:n])))
        self.train, self.held = arrays(images.train, config.train), arrays(images.validation, config.validation)
        self.test = arrays(images.test, None)
        network = nn.functional(lambda rngs: nn.Conv4(10, channels=3, width=config.width, rngs=rngs))
        self.network, self.config, self.key = network, config, jax.random.key(seed)
        self.optimizer = lambda steps: optax.sgd(optax.cosine_decay_schedule(config.rate, steps), momentum=0.9)

    def draw(self, key: jax.Array, source) -> hpo.IndexedBatch:
        rows = jax.random.randint(key, (self.config.batch,), 0, len(source[1]))
        return hpo.IndexedBatch(source[0][rows], source[1][rows], rows)

    def policy(self, name: str) -> dict[str, jax.Array]:
        """What the hypergradient arrives at."""
        config = self.config
        made = hpo.training_problem(self.network, self.optimizer(config.search), 10, inputs=hpo.augmentation())
        estimator = hpo.make_estimator(name, **LEARNED[name])
        learner = bilevel.learner(made.problem, estimator, optax.adam(config.outer_rate), config.inner, warm_start=True)

        def body(state, _):
            a, b = jax.random.split(jax.random.fold_in(stream(self.key, "search data"), state.step))
            inner = jax.vmap(lambda k: self.draw(k, self.train))(jax.random.split(a, config.inner))
            return learner.update(state, (inner, self.draw(b, self.held)))[0], None

        start = learner.init(self.key, made.init(self.key))
        state = jax.jit(lambda s: jax.lax.scan(body, s, None, config.search // config.inner)[0])(start)
        return state.hyper["inputs"]

    def accuracy(self, augment) -> float:
        """Test accuracy in per cent of a fresh network that learns under ``(x, key) -> x``."""
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
    """The data, the network and the learners of one seed; they are made once."""
    return Setting(config, seed)


def load(config: Config) -> dict[str, Any]:
    """The images of the first seed."""
    first = setting(config, 0)
    return {"train": first.train, "validation": first.held, "test": first.test}


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Every row of the table."""
    part = hpo.augmentation()

    def work(cell):
        made, row = setting(config, cell["seed"]), cell["row"]
        if row == "none":
            return {"accuracy": made.accuracy(lambda x, key: x)}
        if row == "fixed":
            return {"accuracy": made.accuracy(lambda x, key: data.flip_and_crop(x, key, config.size // 8))}
        policy = made.policy(row)
        return {
            "accuracy": made.accuracy(lambda x, key: part.apply(policy, x, key)),
            **hpo.augmentation_strengths(policy),
        }

    cells = [{"row": row, "seed": seed} for seed in range(config.seeds) for row in config.names]
    records = harness.measure(directory, cells, work, "trainings")
    metrics = {}
    for row in config.names:
        mine = [r for r in records if r["row"] == row]
        for key in (k for k in mine[0] if k not in ("row", "seed", "seconds")):
            metrics[f"{row} {key}"] = float(np.mean([r[key] for r in mine]))
        metrics[f"{row} deviation"] = float(np.std([r["accuracy"] for r in mine], ddof=1)) if len(mine) > 1 else 0.0
    protocol = (
        f"CIFAR-10 at {config.size} x {config.size} pixels, {config.train} images to learn from, {config.validation} to learn "
        f"the policy from, 10000 for the test; Conv-4 of {config.width} filters, {config.steps} steps of {config.batch}; "
        f"means of {config.seeds} seeds; batch norm: statistics of the batch, everywhere"
    )
    return {"metrics": metrics, "protocol": protocol}


def markdown(config: dict, result: dict) -> str:
    """One row for each policy, with what it does."""
    m = result["metrics"]
    amounts, rows = [*AUGMENTATION_RANGES, "flip"], []
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
