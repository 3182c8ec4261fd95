"""Memory and time of a hypergradient through many inner steps: everything kept against rematerialized ("sqrt").

    python -m experiments.benchmarks.unroll_memory --out runs/unroll_memory

The inner problem is an MLP of two hidden layers trained by gradient descent with momentum; the hyperparameters are its
rate and one weight decay for each layer. Memory is XLA's count of temporary bytes of the compiled program; time is the
median of alternating runs. Both gradients are checked to be equal.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from experiments import harness
from experiments.benchmarks import compare, memory
from metajax import bilevel, nn
from metajax.types import InputError


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the inner problem."""

    width: int = 64
    """Units of a layer."""
    batch: int = 128
    """Rows in a batch."""
    repeats: int = 7
    """Runs of each program."""
    longest: int = 1024
    """Most inner steps: 64, 256 or 1024."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        if self.longest not in (64, 256, 1024):
            raise InputError(f"--longest must be 64, 256 or 1024, got {self.longest}")
        harness.check_at_least(self, 1, "width", "batch", "repeats")


PRESETS = {"paper": {}, "tiny": {"longest": 256, "repeats": 1}}


def problem(config: Config):
    """Sets up learning from a random teacher; returns the problem, the hyperparameters, and a maker of batches."""
    init, apply = nn.functional(lambda rngs: nn.MLP(16, (config.width, config.width), 1, jnp.tanh, rngs=rngs))
    error = lambda w, batch: jnp.mean((apply(w, batch[0]) - batch[1]) ** 2)

    def inner_loss(h, w, batch, key):
        norms = jnp.stack([jnp.sum(layer["kernel"] ** 2) for layer in w["layers"].values()])
        return error(w, batch) + jnp.exp(h["decay"]) @ norms, {}

    inner = bilevel.Inner.descent(
        inner_loss, lambda h, key: init(key), lambda h: optax.sgd(jnp.exp(h["rate"]), momentum=0.9)
    )
    problem = bilevel.Problem(inner, lambda h, w, batch, key: (error(w, batch), {}))

    def batches(key, steps):
        x = jax.random.normal(key, (steps, config.batch, 16))
        return x, jnp.sin(x.sum(-1, keepdims=True))

    return problem, {"rate": jnp.asarray(-3.0), "decay": jnp.full(3, -8.0)}, batches


def measure_steps(config: Config, steps: int) -> dict[str, float]:
    """Returns bytes and seconds of both programs at a number of steps."""
    unrolled, hyper, batches = problem(config)
    a, b, key = jax.random.split(jax.random.key(config.seed), 3)
    inner, outer = batches(a, steps), jax.tree.map(lambda x: x[0], batches(b, 1))
    args = (hyper, None, inner, outer, key)
    return memory.full_and_sqrt(unrolled, args, config.repeats)


def measure(config: Config) -> compare.Measured:
    """Measures both programs up to the longest."""
    steps = [n for n in (64, 256, 1024) if n <= config.longest]
    return memory.measured(lambda n: measure_steps(config, n), steps, (10.0, 1.6))


EXPERIMENT = compare.benchmark("unroll_memory", __doc__, Config, PRESETS, measure)

if __name__ == "__main__":
    EXPERIMENT.exit()
