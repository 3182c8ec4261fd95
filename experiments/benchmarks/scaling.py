"""How cost grows: with tasks, inner steps, operations of a SuperNet, members of a population, and trials of the meta-learner.

    python -m experiments.benchmarks.scaling --out runs/benchmarks/scaling

Each is measured at sizes that double, all sizes of one kind in turn, and drawn in ``scaling.png``. The claim is on the
exponent of the growth from the second largest size to the largest; 1 is linear. Fixed costs make it smaller; memory that no
longer fits a cache makes it larger. In theory all five are at most linear.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import harness
from experiments.benchmarks import compare, maml, population
from metajax import bilevel, fewshot, plot, predictor, supernet
from metajax.space import Categorical, Space


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes that double."""

    doublings: int = 5
    """Sizes of each kind."""
    width: int = 32
    """Filters of a layer of MAML's network."""
    rounds: int = 5
    """Rounds, in which all programs run in turn."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        harness.check_at_least(self, 2, "doublings")
        harness.check_at_least(self, 1, "width", "rounds")


PRESETS = {"paper": {}, "tiny": {"doublings": 2, "rounds": 1, "width": 4}}
Program = Callable[[], Any]


def meta_step(config: Config, tasks: int, inner_steps: int) -> Program:
    """Returns a meta-step of MAML."""
    settings = maml.Config(width=config.width, tasks=tasks, inner_steps=inner_steps, seed=config.seed)
    method, params = maml.ours(settings)
    state = method.init(jax.random.key(config.seed), params)
    return compare.ready(jax.jit(method.update), state, maml.episodes(settings))


def search_step(config: Config, operations: int) -> Program:
    """Returns a first-order step of a SuperNet whose three layers each choose between this number of bottlenecks."""
    names = {f"operation_{i}": supernet.spaces.inverted_bottleneck(3, 3) for i in range(operations)}
    chain = supernet.spaces.chain_supernet(3, 10, names, layers=(3,), channels=(8,))
    learner = supernet.compose_search(
        chain.space,
        chain.network,
        fewshot.cross_entropy,
        optax.sgd(0.025),
        optax.adam(3e-4),
        10**4,
        estimator=bilevel.first_order(),
    )
    batch = jnp.ones((32, 16, 16, 3)), jnp.zeros(32, jnp.int32)
    state = learner.init(jax.random.key(config.seed))
    return compare.ready(jax.jit(learner.update), state, (jax.tree.map(lambda a: a[None], batch), batch))


def members(config: Config, number: int) -> Program:
    """Returns one epoch of a population of networks on digits."""
    parts = population.rows(config.seed)
    order = np.random.default_rng(config.seed).integers(0, len(parts[0][1]), (len(parts[0][1]) // 64, 64))
    run, _ = population.ours(population.Config(), parts, order)
    hyper = {"rate": jnp.geomspace(1e-4, 1e-2, number), "decay": jnp.full(number, 1e-2)}
    return compare.ready(run, hyper)


def fitting(config: Config, trials: int) -> Program:
    """Returns the fit of the meta-learner, a network, to this number of trials."""
    space = Space({f"choice_{i}": Categorical(tuple(range(10))) for i in range(8)})
    configs = space.sample(jax.random.key(config.seed), trials)
    metric = np.random.default_rng(config.seed).normal(size=trials)
    table = predictor.Trials.from_arrays(space, configs, metric)
    spec = predictor.mlp()
    return lambda: jax.block_until_ready(predictor.fit(table, spec, "value").params)


KINDS: dict[str, tuple[int, Callable[[Config, int], Program]]] = {
    "tasks": (1, lambda config, n: meta_step(config, n, 1)),
    "inner steps": (1, lambda config, n: meta_step(config, 4, n)),
    "operations": (2, search_step),
    "members": (16, members),
    "trials": (256, fitting),
}
"""Name -> the smallest size, and what makes the program of a size."""


def measure(config: Config) -> compare.Measured:
    """Measures every kind at every size."""
    metrics, claims = {}, []
    for kind, (smallest, make) in KINDS.items():
        sizes = [smallest * 2**i for i in range(config.doublings)]
        seconds = compare.alternate({str(n): make(config, n) for n in sizes}, config.rounds)
        growth = np.log2(seconds[str(sizes[-1])] / seconds[str(sizes[-2])])
        claims.append(
            compare.claim(f"cost against {kind}, {sizes[-2]} to {sizes[-1]}: exponent", 1.1, growth, most=True)
        )
        metrics |= {f"{kind} {n} ms": 1e3 * float(np.median(seconds[str(n)])) for n in sizes}
    protocol = f"{config.rounds} rounds in turn; ms of a meta-step, a search step, an epoch of a population, a fit"
    return compare.Measured(metrics, claims, protocol)


def draw(config: dict[str, Any], result: dict[str, Any], directory: Path) -> None:
    """Draws the time by the size, both as multiples of the smallest, beside linear growth."""
    reach = [2**i for i in range(config["doublings"])]
    curves: dict[str, tuple[Any, ...]] = {}
    for kind, (smallest, _) in KINDS.items():
        times = [result["metrics"][f"{kind} {smallest * n} ms"] for n in reach]
        curves[kind] = (reach, [time / times[0] for time in times])
    curves["linear"] = (reach, reach)
    figure = plot.curves(curves, "size over the smallest", "time over the smallest's")
    figure.axes[0].set(xscale="log", yscale="log")
    plot.save(figure, directory / "scaling.png")


EXPERIMENT = compare.benchmark("scaling", __doc__, Config, PRESETS, measure, draw)

if __name__ == "__main__":
    EXPERIMENT.exit()
