"""Memory and time of a hypergradient through many inner steps: everything kept against rematerialised ("sqrt").

    python -m experiments.benchmarks.unroll_memory --out runs/unroll_memory

The inner problem is an MLP of two hidden layers trained by gradient descent with momentum; the hyperparameters are its
rate and one weight decay for each layer. Memory is XLA's count of temporary bytes of the compiled program; time is the
median of alternating runs. Both gradients are checked to be equal.
"""

import dataclasses
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import optax

from metajax import bilevel, nn, run
from metajax.types import InputError


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the inner problem."""

    width: int = 64
    batch: int = 128
    repeats: int = 7
    longest: int = 1024
    seed: int = 0

    def __post_init__(self):
        if self.longest not in (64, 256, 1024) or min(self.width, self.batch, self.repeats) < 1:
            raise InputError("longest must be 64, 256 or 1024; width, batch and repeats must be positive")


def problem(config: Config):
    """Learning a random teacher; returns the problem, the hyperparameters, and a maker of batches."""
    init, apply = nn.functional(lambda rngs: nn.MLP(16, (config.width, config.width), 1, jnp.tanh, rngs=rngs))
    error = lambda w, batch: jnp.mean((apply(w, batch[0]) - batch[1]) ** 2)

    def inner_loss(h, w, batch, key):
        norms = jnp.stack([jnp.sum(layer["kernel"] ** 2) for layer in w["layers"].values()])
        return error(w, batch) + jnp.exp(h["decay"]) @ norms, {}

    made = bilevel.Problem(
        inner_loss,
        lambda h, w, batch, key: (error(w, batch), {}),
        lambda h, key: init(key),
        lambda h: optax.sgd(jnp.exp(h["rate"]), momentum=0.9),
    )

    def batches(key, steps):
        x = jax.random.normal(key, (steps, config.batch, 16))
        return x, jnp.sin(x.sum(-1, keepdims=True))

    return made, {"rate": jnp.asarray(-3.0), "decay": jnp.full(3, -8.0)}, batches


def measure(config: Config, steps: int) -> dict[str, float]:
    """Bytes and seconds of both programs at this number of steps."""
    made, hyper, batches = problem(config)
    a, b, key = jax.random.split(jax.random.key(config.seed), 3)
    inner, outer = batches(a, steps), jax.tree.map(lambda x: x[0], batches(b, 1))
    compiled = {}
    for name, estimator in (("full", bilevel.unroll()), ("sqrt", bilevel.unroll(remat="sqrt"))):
        fn = jax.jit(estimator(made))
        compiled[name] = fn.lower(hyper, None, inner, outer, key).compile()
    gradients = {name: fn(hyper, None, inner, outer, key).grad for name, fn in compiled.items()}
    difference = max(
        float(jnp.max(jnp.abs(x - y)) / (jnp.max(jnp.abs(x)) + 1e-12))
        for x, y in zip(jax.tree.leaves(gradients["full"]), jax.tree.leaves(gradients["sqrt"]))
    )
    seconds = {name: [] for name in compiled}
    for _ in range(config.repeats):
        for name, fn in compiled.items():
            began = time.perf_counter()
            jax.block_until_ready(fn(hyper, None, inner, outer, key).grad)
            seconds[name].append(time.perf_counter() - began)
    memory = {name: fn.memory_analysis().temp_size_in_bytes for name, fn in compiled.items()}
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        f"bytes_full_{steps}": memory["full"],
        f"bytes_sqrt_{steps}": memory["sqrt"],
        f"memory_ratio_{steps}": memory["full"] / memory["sqrt"],
        f"seconds_full_{steps}": median["full"],
        f"seconds_sqrt_{steps}": median["sqrt"],
        f"time_ratio_{steps}": median["sqrt"] / median["full"],
        f"difference_{steps}": difference,
    }


def main(argv=None) -> int:
    config, options = run.parse(Config, {"quick": {}}, argv, __doc__, "unroll_memory", "runs/unroll_memory")

    def command():
        with run.RunDirectory(options.out, run.to_dict(config), options.resume, options.overwrite) as directory:
            metrics = {}
            print("steps   full MB   sqrt MB   ratio   full ms   sqrt ms   ratio   largest relative difference")
            for steps in (64, 256, 1024):
                if steps > config.longest:
                    break
                m = measure(config, steps)
                metrics.update(m)
                print(
                    f"{steps:5d} {m[f'bytes_full_{steps}'] / 1e6:9.2f} {m[f'bytes_sqrt_{steps}'] / 1e6:9.2f} "
                    f"{m[f'memory_ratio_{steps}']:7.1f} {1e3 * m[f'seconds_full_{steps}']:9.1f} "
                    f"{1e3 * m[f'seconds_sqrt_{steps}']:9.1f} {m[f'time_ratio_{steps}']:7.2f}   "
                    f"{m[f'difference_{steps}']:.1e}"
                )
            directory.finish({"metrics": metrics})

    return run.main(command)


if __name__ == "__main__":
    sys.exit(main())
