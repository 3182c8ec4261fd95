"""A population of trainings in one compiled program against PyTorch, one training after the other.

    python -m experiments.benchmarks.population --out runs/benchmarks/population

There are 256 pairs of learning rate and weight decay for a network 64-32-10 with ReLU on scikit-learn's digits. Each trains
for 30 epochs of AdamW in batches of 64, all on the same rows in the same order, from the same initial weights. PyTorch
(fused AdamW) trains ``alone`` of them, and its time is scaled to all. The validation losses are checked to be the same.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import harness
from experiments.benchmarks import compare, pytorch
from metajax import bilevel, data, hpo, nn


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the population and of a training."""

    side: int = 16
    """Learning rates, and as many weight decays."""
    epochs: int = 30
    """Epochs of a training."""
    width: int = 32
    """Units of the hidden layer."""
    batch: int = 64
    """Rows in a batch."""
    alone: int = 8
    """Trainings of PyTorch that are timed."""
    rounds: int = 5
    """Rounds, in which all programs run in turn."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        harness.check_at_least(self, 1, "epochs", "width", "batch", "alone", "rounds")
        harness.check_at_least(self, 2, "side")


PRESETS = {"paper": {}, "tiny": {"side": 2, "epochs": 1, "alone": 2, "rounds": 1}}


class Peer:
    """The same trainings in PyTorch."""

    def __init__(self, config: Config, params: Any, parts: Any, order: np.ndarray):
        self.torch, self.config = pytorch.load(), config
        tensor = lambda a: self.torch.tensor(np.asarray(a).copy())
        self.train, self.validation = [(tensor(x), tensor(y).long()) for x, y in parts]
        self.order = tensor(order).long()
        layers = [params["layers"][i] for i in sorted(params["layers"])]
        self.initial = [tensor(a) for layer in layers for a in (np.asarray(layer["kernel"]).T, layer["bias"])]

    def loss(self, w: Any, x: Any, y: Any) -> Any:
        f = self.torch.nn.functional
        return f.cross_entropy(f.linear(f.relu(f.linear(x, w[0], w[1])), w[2], w[3]), y)

    def fit(self, rate: float, decay: float) -> float:
        w = [p.clone().requires_grad_() for p in self.initial]
        # decay alone, as here, instead of the rate times the decay
        adam = self.torch.optim.AdamW(w, rate, weight_decay=decay, fused=True)
        for rows in self.order:
            adam.zero_grad()
            self.loss(w, self.train[0][rows], self.train[1][rows]).backward()
            adam.step()
        with self.torch.no_grad():
            return float(self.loss(w, *self.validation))


def rows(seed: int) -> Any:
    """Returns the training and the validation rows of digits, as columns."""
    images = jax.tree.map(jnp.asarray, data.digits(seed).flat())
    return images.train, images.validation


def ours(config: Config, parts: Any, order: np.ndarray) -> tuple[Callable[..., jax.Array], Any]:
    """Returns ``hyper of every member -> validation losses``, and the initial weights."""
    init, apply = nn.functional(lambda rngs: nn.MLP(64, (config.width,), 10, rngs=rngs))
    (x, y), validation = parts
    loss = lambda w, x, y: jnp.mean(optax.softmax_cross_entropy_with_integer_labels(apply(w, x), y))
    initial = init(jax.random.key(config.seed))
    inner = bilevel.Inner.descent(
        lambda hyper, w, rows, key: (loss(w, x[rows], y[rows]), {}),
        lambda hyper, key: initial,
        lambda hyper: hpo.adam(hyper["rate"], weight_decay=hyper["decay"]),
    )
    key = jax.random.key(config.seed)

    def train_one(hyper):
        end, _ = inner.run(hyper, inner.begin(hyper, key), jnp.asarray(order), key)
        return loss(end.params, *validation)

    return jax.jit(jax.vmap(train_one)), initial


def measure(config: Config) -> compare.Measured:
    """Measures both in turn."""
    parts = rows(config.seed)
    rng, n = np.random.default_rng(config.seed), len(parts[0][1])
    steps_per_epoch = n // config.batch
    order = np.concatenate(
        [
            rng.permutation(n)[: steps_per_epoch * config.batch].reshape(steps_per_epoch, config.batch)
            for _ in range(config.epochs)
        ]
    )
    pairs = np.array(
        list(itertools.product(np.geomspace(1e-4, 3e-2, config.side), np.geomspace(1e-4, 1.0, config.side)))
    ).astype(np.float32)
    run, initial = ours(config, parts, order)
    hyper = {"rate": jnp.asarray(pairs[:, 0]), "decay": jnp.asarray(pairs[:, 1])}
    peer = Peer(config, initial, parts, order)
    sampled = np.linspace(0, len(pairs) - 1, config.alone).astype(int)
    alone = lambda: [peer.fit(*map(float, pairs[i])) for i in sampled]
    sampled_losses = np.asarray(run(hyper))[sampled]
    difference = compare.check_difference(compare.difference(sampled_losses, np.array(alone())), 0.02, "population")
    seconds = compare.alternate({"metajax": compare.ready(run, hyper), "PyTorch": alone}, config.rounds)
    seconds["PyTorch"] = seconds["PyTorch"] * len(pairs) / len(sampled)
    _, ratios = compare.against(seconds)
    label = f"population of {len(pairs)} networks on digits: times faster than PyTorch, one at a time"
    protocol = (
        f"{config.rounds} rounds in turn; seconds for {len(pairs)} trainings of {config.epochs} epochs, PyTorch's scaled from "
        f"{len(sampled)}; compilation apart"
    )
    metrics = compare.times(seconds, 1.0, "s") | {"difference": difference}
    return compare.Measured(metrics, [compare.claim(label, 20.0, ratios, note="against PyTorch")], protocol)


EXPERIMENT = compare.benchmark("population", __doc__, Config, PRESETS, measure)

if __name__ == "__main__":
    EXPERIMENT.exit()
