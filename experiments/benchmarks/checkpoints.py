"""What a checkpoint a minute costs a training: the seconds that the loop waits for it, over sixty.

    python -m experiments.benchmarks.checkpoints --out runs/benchmarks/checkpoints

``run.train`` saves between two chunks and goes on when the checkpoint is complete on the disk, so that this wait is the
whole cost. The states are MAML's on Conv-4 of 64 filters with Adam, and arrays of ``megabytes`` in all.
"""

import dataclasses
import itertools
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp

from experiments import harness
from experiments.benchmarks import compare, maml
from metajax.run import Checkpoints


@dataclasses.dataclass(frozen=True)
class Config:
    """The size of the large state, and how often it is saved."""

    megabytes: int = 100
    """Size of the large state."""
    rounds: int = 7
    """Rounds, in which all programs run in turn."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        harness.check_at_least(self, 1, "megabytes", "rounds")


PRESETS = {"paper": {}, "tiny": {"megabytes": 1, "rounds": 1}}


def measure(config: Config) -> compare.Measured:
    """Saves both states in turn."""
    method, params = maml.ours(maml.Config())
    small = method.init(jax.random.key(config.seed), params)
    large = {f"layer_{i}": jnp.full((config.megabytes, 25_000), 1.0 * i) for i in range(10)}
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = {name: Checkpoints(Path(folder) / name) for name in ("MAML", "large")}
        counters = {name: itertools.count() for name in checkpoints}
        save = lambda name, state: lambda: checkpoints[name].save(next(counters[name]), state)
        programs = {"MAML": save("MAML", small), "large": save("large", large)}
        seconds = compare.alternate(programs, config.rounds)
    claims = [
        compare.claim(
            "a checkpoint of MAML on Conv-4 every minute: share of the time", 0.02, seconds["MAML"] / 60, most=True
        ),
        compare.claim(
            f"a checkpoint of {config.megabytes} MB every minute: share of the time",
            0.02,
            seconds["large"] / 60,
            most=True,
        ),
    ]
    protocol = f"{config.rounds} rounds in turn; ms that a training waits for one checkpoint"
    return compare.Measured(compare.times(seconds), claims, protocol)


EXPERIMENT = compare.benchmark("checkpoints", __doc__, Config, PRESETS, measure)

if __name__ == "__main__":
    EXPERIMENT.exit()
