"""Memory and time of MAML's exact meta-gradient by inner steps, everything kept against rematerialized ("sqrt").

    python -m experiments.benchmarks.maml_memory --out runs/maml_memory

One 5-way 1-shot task of 28 x 28 images with 15 queries a class on Conv-4 of 64 filters, as on Omniglot. Memory is XLA's
count of temporary bytes of the compiled program; time is the median of alternating runs. Both gradients are checked to
agree.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from experiments import harness
from experiments.benchmarks import compare, memory
from metajax import fewshot, nn
from metajax.types import InputError

STEPS = (1, 5, 20, 50)


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the task."""

    width: int = 64
    """Filters of a layer."""
    repeats: int = 5
    """Runs of each program."""
    longest: int = 50
    """Most inner steps."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        if self.longest not in STEPS:
            raise InputError(f"--longest must be one of {STEPS}, got {self.longest}")
        harness.check_at_least(self, 1, "width", "repeats")


PRESETS = {"paper": {}, "tiny": {"longest": 5, "width": 8, "repeats": 1}}


def measure_steps(config: Config, steps: int) -> dict[str, float]:
    """Returns bytes and seconds of both programs at a number of inner steps."""
    init, apply = nn.functional(lambda rngs: nn.Conv4(5, width=config.width, rngs=rngs))
    key, draw = jax.random.split(jax.random.key(config.seed))
    images = jax.random.uniform(draw, (5, 16, 28, 28))
    support, query = fewshot.episodes.classes(images, ways=5, shots=1, queries=15)(draw)
    repeated = jax.tree.map(lambda x: jnp.broadcast_to(x, (steps, *x.shape)), support)
    problem = fewshot.maml_problem(fewshot.cross_entropy(apply), optax.sgd(0.01))
    args = (init(key), None, repeated, query, key)
    return memory.full_and_sqrt(problem, args, config.repeats)


def measure(config: Config) -> compare.Measured:
    """Measures both programs up to the longest."""
    steps = [n for n in STEPS if n <= config.longest]
    return memory.measured(lambda n: measure_steps(config, n), steps, (10.0, 1.6))


EXPERIMENT = compare.benchmark("maml_memory", __doc__, Config, PRESETS, measure)

if __name__ == "__main__":
    EXPERIMENT.exit()
