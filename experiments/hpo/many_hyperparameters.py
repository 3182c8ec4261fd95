"""One weight decay for every parameter of a network with more than a million (Lorraine et al. 2020, arXiv:1911.02590).

    python -m experiments.hpo.many_hyperparameters --out runs/many_hyperparameters

An MLP of 1,071,114 parameters learns from 1,000 images of MNIST. Its decays, as many, learn from 1,000 others, online by an
implicit hypergradient (three Neumann terms) after every ten steps. They are compared with no decay and with the best of
seven single decays by validation accuracy, on the official test, which is read once for each row.

Memory is XLA's count for the compiled chunk: arguments, results and temporaries less what is donated. The ratio is to plain
training of the same network by the same optimizer. It takes 15 minutes on 2 cores, with other work beside.
"""

import dataclasses
import functools
import time
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
from metajax.types import InputError, Learner, stream

SINGLE = (0.0, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2)
PER_PARAMETER = ("neumann", "identity")


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the network, the data and the training."""

    hidden: int = 1024
    """Units of the first layer."""
    second: int = 256
    """Units of the second layer."""
    train: int = 1_000
    """Images to learn from."""
    validation: int = 1_000
    """Images to learn decays from."""
    batch: int = 250
    """Images in a batch."""
    steps: int = 3_000
    """Steps of a training."""
    inner: int = 10
    """Steps between two hypergradients."""
    rate: float = 0.1
    """Learning rate of the weights."""
    momentum: float = 0.9
    """Momentum of the weights."""
    outer_rate: float = 0.05
    """Learning rate of the logarithms of the decays."""
    start: float = 1e-4
    """The decay at the beginning."""
    seeds: int = 3
    """Repetitions, of which each draws its own images."""

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if value <= 0:
                raise InputError(f"--{name.replace('_', '-')} must be positive, got {value}")
        if self.steps % self.inner:
            raise InputError(f"--steps must be a multiple of --inner {self.inner}, got {self.steps}")
        check_batch(self.batch, self.train, self.validation)


PRESETS = {
    "paper": {},
    "tiny": {"hidden": 16, "second": 8, "train": 100, "validation": 100, "batch": 50, "steps": 20, "seeds": 1},
}


class Setting:
    """The data, the network and the learners of one seed."""

    def __init__(self, config: Config, seed: int):
        images = data.mnist(seed, config.train, config.validation).flat()
        self.train, self.held_out, self.test = jax.tree.map(jnp.asarray, images)
        sizes = (config.hidden, config.second)
        self.network = nn.functional(lambda rngs: nn.MLP(784, sizes, 10, rngs=rngs))
        self.config, self.key = config, jax.random.key(seed)
        like = jax.eval_shape(self.network.init, self.key)
        self.parameters = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(like))
        self.optimizer = optax.sgd(config.rate, momentum=config.momentum)
        part = hpo.l2(jax.tree.map(lambda s: jnp.zeros(s.shape), like), float(np.log(config.start)))
        self.training = hpo.training_problem(self.network, self.optimizer, 10, penalty=part)

    def draw(self, key: jax.Array, source: Any) -> hpo.IndexedBatch:
        """Draws a batch."""
        return draw(key, source, self.config.batch)

    def accuracy(self, params: Any, source: Any) -> float:
        """Returns the accuracy in %."""
        return 100 * float(jnp.mean(jnp.argmax(self.network.apply(params, source[0]), -1) == source[1]))

    def plain(self, decay: float) -> tuple[Any, float, float]:
        """Trains with one decay; returns the state, the megabytes and the seconds."""

        def loss(params, batch, key):
            losses = optax.softmax_cross_entropy_with_integer_labels(self.network.apply(params, batch.x), batch.y)
            return jnp.mean(losses) + 0.5 * decay * optax.tree.norm(params, squared=True), {}

        learner = bilevel.supervised(self.network.init, loss, self.optimizer)
        chunk = lambda state: self.draw(jax.random.fold_in(stream(self.key, "data"), state.step), self.train)
        return self.run(learner, learner.init(self.key), chunk, self.config.steps)

    def learned(self, name: str) -> tuple[Any, float, float]:
        """Trains with a decay for each parameter; returns the state, the megabytes and the seconds."""
        config = self.config
        settings = {"neumann": {"iterations": 3, "step_size": 0.1}, "identity": {"step_size": 0.1}}[name]
        outer = optax.chain(optax.scale_by_rms(0.9), optax.scale(-config.outer_rate))
        # a step fetches its own images, so that no ten batches lie in memory at once
        inner = lambda hyper, params, rows, key: self.training.problem.inner.loss(
            hyper, params, hpo.IndexedBatch(self.train[0][rows], self.train[1][rows], rows), key
        )
        problem = self.training.problem._replace(inner=dataclasses.replace(self.training.problem.inner, loss=inner))
        learner = bilevel.learner(problem, hpo.make_estimator(name, **settings), outer, config.inner, warm_start=True)

        def chunk(state):
            a, b = jax.random.split(jax.random.fold_in(stream(self.key, "data"), state.step))
            rows = jax.random.randint(a, (config.inner, config.batch), 0, config.train)
            return rows, self.draw(b, self.held_out)

        start = learner.init(self.key, self.training.init(self.key))
        return self.run(learner, start, chunk, config.steps // config.inner)

    def run(self, learner: Learner, state: Any, batches: Callable[[Any], Any], steps: int) -> tuple[Any, float, float]:
        """Runs the steps of a learner; returns the state, the megabytes and the seconds."""
        chunk_steps = min(10, steps)

        @functools.partial(jax.jit, donate_argnums=0)
        def chunk(state):
            body = lambda s, _: (learner.update(s, batches(s))[0], None)
            return jax.lax.scan(body, state, None, chunk_steps)[0]

        state = jax.tree.map(lambda a: jnp.array(a, copy=True), state)
        compiled = chunk.lower(state).compile()
        counted: Any = compiled.memory_analysis()
        total = counted.argument_size_in_bytes + counted.output_size_in_bytes + counted.temp_size_in_bytes
        start = time.perf_counter()
        for _ in range(-(-steps // chunk_steps)):
            state = compiled(state)
        jax.block_until_ready(state)
        return state, (total - counted.alias_size_in_bytes) / 1e6, time.perf_counter() - start


@functools.lru_cache(maxsize=8)
def setting(config: Config, seed: int) -> Setting:
    """Returns the setting of one seed; it is made once."""
    return Setting(config, seed)


def load(config: Config) -> dict[str, Any]:
    """The images of the first seed."""
    return arrays(setting(config, 0))


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Every row of the table."""
    cells = [{"row": f"decay {d:g}", "seed": s} for s in range(config.seeds) for d in SINGLE]
    cells += [{"row": name, "seed": s} for s in range(config.seeds) for name in PER_PARAMETER]

    def work(cell):
        problem, row = setting(config, cell["seed"]), cell["row"]
        single = row.startswith("decay")
        state, megabytes, seconds = problem.plain(float(row.split()[1])) if single else problem.learned(row)
        params = state.params if single else state.inner.params
        parts = {"train": problem.train, "validation": problem.held_out, "test": problem.test}
        scores = {name: problem.accuracy(params, source) for name, source in parts.items()}
        if not single:
            decays = jnp.concatenate([jnp.ravel(a) for a in jax.tree.leaves(state.hyper)])
            spread = jnp.quantile(jnp.exp(decays), jnp.array([0.05, 0.5, 0.95]))
            scores |= {f"decay_{q}": float(v) for q, v in zip((5, 50, 95), spread)}
        return {**scores, "megabytes": megabytes, "training_seconds": seconds}

    records = harness.measure(directory, cells, work, "trainings")
    mean = lambda row, key: float(np.mean([r[key] for r in records if r["row"] == row]))
    rows = list(dict.fromkeys(r["row"] for r in records))
    metrics = {f"{row} {key}": mean(row, key) for row in rows for key in ("train", "validation", "test")}
    metrics |= {f"{row} {key}": mean(row, key) for row in rows for key in ("megabytes", "training_seconds")}
    metrics |= {f"{r} {k}": mean(r, k) for r in PER_PARAMETER for k in ("decay_5", "decay_50", "decay_95")}
    best = max((r for r in rows if r.startswith("decay")), key=lambda r: mean(r, "validation"))
    metrics["best single decay"] = float(best.split()[1])
    metrics["hyperparameters"] = setting(config, 0).parameters
    for name in PER_PARAMETER:
        metrics[f"{name} memory_ratio"] = mean(name, "megabytes") / mean("decay 0", "megabytes")
        metrics[f"{name} time_ratio"] = mean(name, "training_seconds") / mean("decay 0", "training_seconds")
    protocol = (
        f"MNIST, {config.train} images to learn from, {config.validation} to learn decays from, official test; "
        f"{config.steps} steps; means of {config.seeds} seeds, which draw the images; the best single decay is by validation"
    )
    return {"metrics": metrics, "protocol": protocol}


def markdown(config: dict, result: dict) -> str:
    """One row for each way to decay."""
    m = result["metrics"]
    rows = []
    names = list(dict.fromkeys(key.rsplit(" ", 1)[0] for key in m if key.endswith(" test")))
    for name in names:
        best = " (best single)" if name == f"decay {m['best single decay']:g}" else ""
        scores = [f"{m[f'{name} {k}']:.2f}" for k in ("train", "validation", "test")]
        cost = [f"{m[f'{name} {k}']:.1f}" for k in ("training_seconds", "megabytes")]
        rows.append([name + best, *scores, *cost, number(m.get(f"{name} memory_ratio"), ".2f", "")])
    text = table(["", "train", "validation", "test", "seconds", "MB", "memory over plain"], rows)
    return f"{m['hyperparameters']:,} hyperparameters.\n\n{text}"


def statement(results: Results) -> list[str]:
    """A decay for every weight against one for all."""
    m = results["many_hyperparameters"].metrics
    single = m[f"decay {m['best single decay']:g} test"]
    return [
        f"Learning {m['hyperparameters']:,} weight decays takes {m['neumann time_ratio']:.1f} times the time and "
        f"{m['neumann memory_ratio']:.1f} times the memory of plain training. The test accuracy is {m['neumann test']:.2f}%, "
        f"{against(m['neumann test'], single)} one well-chosen decay for all ({single:.2f}%)."
    ]


EXPERIMENT = harness.Experiment(
    "many_hyperparameters",
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
