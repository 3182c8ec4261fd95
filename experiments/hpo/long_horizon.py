"""Evolution strategies where they belong: few hyperparameters, a long and chaotic inner loop.

    python -m experiments.hpo.long_horizon --out runs/long_horizon

A learning rate that falls or rises geometrically from one value to another, two hyperparameters, over ``horizon`` steps of SGD
on scikit-learn's digits; a network with tanh units, which is chaotic at large rates. The objective is the validation loss,
averaged over the ends of all segments of ``segment`` steps of the whole training (Vicol et al. 2021, arXiv:2112.13835, tune
schedules of this kind). Every method spends ``budget`` trainings' worth of inner steps, forward steps of every particle
counted; steps that are also differentiated count once, so that the comparison favors differentiation.

Methods: ``pes``, ``es`` and ``truncated`` see one segment at a time and go on from where it ended, beginning anew after the
horizon; ``full es`` and ``unroll`` see the whole training in each outer step; ``random`` draws schedules from the same box in
which the others begin. Gradients are clipped to 1 in each entry, and NaN counts as 0, for in a chaotic loop some are not
finite; their share is reported. Outer steps are Adam's, with the rate of ``rates`` that has the lowest objective on seeds
that are not reported, chosen for each method alone. What is reported is the objective of the last hyperparameters (of the
best draw for ``random``, chosen by its own training) on fresh initial weights and batches, and the test accuracy after the
whole training.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import harness
from experiments.harness.markdown import number, table
from metajax import bilevel, data, hpo, nn, run
from metajax.types import InputError, Learner, stream

METHODS = ("pes", "es", "truncated", "full es", "unroll", "random")
LOW, HIGH = np.log(1e-3), np.log(10.0)
"""Logarithms of the learning rates at which searches begin, and which ``random`` draws."""
SINGLE = {"largest_gradient": ".3g", "not_finite": "z.1f", "outer_rate": "g", "search_seconds": ".1f"}
"""Measured once for each method (``not_finite``: per cent of the gradients), and how each is written."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the search; ``methods`` are ``all`` or some of the table's, separated by commas."""

    methods: str = "all"
    horizon: int = 1_000
    segment: int = 20
    budget: int = 100
    population: int = 8
    sigma: float = 0.3
    batch: int = 32
    width: int = 16
    rates: str = "0.03,0.1,0.3"
    judged: int = 4
    seeds: int = 3
    seed: int = 0

    def __post_init__(self):
        _ = self.names  # raises on another name
        sizes = (
            self.horizon,
            self.segment,
            self.budget,
            self.population,
            self.batch,
            self.width,
            self.judged,
            self.seeds,
        )
        if min(sizes) < 1 or self.horizon % self.segment:
            raise InputError("sizes and seeds must be positive, and horizon a multiple of segment")
        _ = self.outer_rates

    @property
    def names(self) -> list[str]:
        return harness.selected(self.methods, METHODS, "methods")

    @property
    def outer_rates(self) -> list[float]:
        """Adam's rates to choose from."""
        try:
            return [float(rate) for rate in self.rates.split(",")]
        except ValueError:
            raise InputError(f"--rates {self.rates}: accepted are numbers separated by commas") from None


PRESETS = {
    "paper": {},
    "tiny": {"horizon": 20, "segment": 5, "budget": 20, "rates": "0.03", "judged": 2, "seeds": 2, "width": 4},
}


class Inner:
    """The inner training: data, network, segments, the objective of a whole training."""

    def __init__(self, config: Config):
        self.config = config
        self.train, self.held, self.test = jax.tree.map(jnp.asarray, data.digits().flat())
        self.network = nn.functional(lambda rngs: nn.MLP(64, (config.width,), 10, jnp.tanh, rngs=rngs))
        begin = lambda hyper, key: self.network.init(key)
        self.problem = bilevel.Problem(bilevel.Inner.descent(self._loss, begin, self.optimizer), self._held_loss)

    def optimizer(self, hyper: jax.Array) -> optax.GradientTransformation:
        line = hpo.interpolated_schedule(hyper, self.config.horizon)
        return hpo.sgd(lambda step: jnp.exp(line(step)))

    def _loss(self, hyper: Any, params: Any, rows: jax.Array, key: jax.Array):
        return self.cross_entropy(params, self.train[0][rows], self.train[1][rows]), {}

    def _held_loss(self, hyper: Any, params: Any, batch: Any, key: jax.Array):
        return self.cross_entropy(params, *self.held), {}

    def cross_entropy(self, params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(self.network.apply(params, x), y))

    def rows(self, key: jax.Array) -> jax.Array:
        """The training images of each step of a segment."""
        return jax.random.randint(key, (self.config.segment, self.config.batch), 0, len(self.train[1]))

    def whole(self, hyper: jax.Array, key: jax.Array) -> tuple[jax.Array, Any]:
        """The objective of a training from beginning to end, and its last weights; differentiable."""
        segment = bilevel.weights_only()(self.problem)
        state = segment.begin(hyper, stream(key, "weights"))

        @jax.checkpoint
        def body(state, number):
            rows = self.rows(jax.random.fold_in(stream(key, "rows"), number))
            state = segment(hyper, state, rows, None, key).end
            return state, self.cross_entropy(state.params, *self.held)

        state, losses = jax.lax.scan(body, state, jnp.arange(self.config.horizon // self.config.segment))
        return jnp.mean(losses), state.params

    def as_solution(self) -> bilevel.Problem:
        """The whole training as the solution of an inner problem; the inner batch is the key of the training."""
        return bilevel.Problem(
            bilevel.Inner.solution(lambda h, training_key, key: self.whole(h, training_key)[0]),
            lambda h, value, batch, key: (value, {}),
        )


def learner_of(method: str, inner: Inner, rate: jax.Array) -> tuple[Learner, int, bool]:
    """The learner of a method, how many outer steps its budget allows, and whether it sees the whole training in each."""
    config = inner.config
    evolution = lambda persistent: bilevel.evolution(config.population, config.sigma, persistent)
    estimator, particles, whole = {
        "pes": (evolution(True), config.population + 1, False),
        "es": (evolution(False), config.population + 1, False),
        "truncated": (bilevel.unroll(), 1, False),
        "full es": (evolution(False), config.population + 1, True),
        "unroll": (bilevel.through_solution(), 1, True),
    }[method]
    segments = config.horizon // config.segment
    outer_optimizer = optax.chain(optax.zero_nans(), optax.clip(1.0), optax.adam(rate))
    if whole:
        made = bilevel.learner(inner.as_solution(), estimator, outer_optimizer, 1, warm_start=False)
    else:
        made = bilevel.learner(inner.problem, estimator, outer_optimizer, config.segment, True, segments)
    return made, max(1, config.budget * (1 if whole else segments) // particles), whole


def first(key: jax.Array, n: int | None = None) -> jax.Array:
    """Schedules f32[2], or so many of them, evenly in the box."""
    return jax.random.uniform(key, (2,) if n is None else (n, 2), minval=LOW, maxval=HIGH)


def searcher(method: str, inner: Inner) -> Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array, jax.Array]]:
    """``(key, rate) -> (hyper, largest finite norm of a gradient, share of those not finite)`` of one search."""

    def drawn(key: jax.Array, rate: jax.Array):
        hypers = first(stream(key, "first"), inner.config.budget)
        keys = jax.random.split(stream(key, "trainings"), inner.config.budget)
        scores = jax.lax.map(lambda pair: inner.whole(*pair)[0], (hypers, keys), batch_size=10)
        return hypers[jnp.argmin(jnp.where(jnp.isfinite(scores), scores, jnp.inf))], jnp.zeros(()), jnp.zeros(())

    def descended(key: jax.Array, rate: jax.Array):
        made, steps, whole = learner_of(method, inner, rate)

        def body(state, _):
            if whole:
                batch = stream(jax.random.fold_in(state.key, state.step), "init")[None]
            else:
                batch = inner.rows(jax.random.fold_in(stream(key, "rows"), state.step))
            state, info = made.update(state, (batch, ()))
            return state, info["hypergradient_norm"]

        begun = made.init(stream(key, "search"), first(stream(key, "first")))
        state, norms = jax.lax.scan(body, begun, None, steps)
        finite = jnp.isfinite(norms)
        return state.hyper, jnp.max(jnp.where(finite, norms, 0.0)), jnp.mean(~finite, dtype=norms.dtype)

    return drawn if method == "random" else descended


def judge(inner: Inner, hyper: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean objective and test accuracy in per cent over fresh trainings."""

    def one(key: jax.Array):
        value, params = inner.whole(hyper, key)
        said = jnp.argmax(inner.network.apply(params, inner.test[0]), axis=-1)
        return value, 100 * jnp.mean(said == inner.test[1], dtype=jnp.float32)

    values, accuracies = jax.vmap(one)(jax.random.split(key, inner.config.judged))
    return jnp.mean(values), jnp.mean(accuracies)


def measure(method: str, inner: Inner) -> dict[str, Any]:
    """Every seed of a method with the outer rate that did best on other seeds."""
    config = inner.config
    search = jax.jit(jax.vmap(searcher(method, inner)))
    judged = jax.jit(jax.vmap(lambda hyper, key: judge(inner, hyper, key)))
    rates = jnp.asarray(config.outer_rates, jnp.float32)
    key = jax.random.key(config.seed)
    best = 0
    if method != "random":
        keys = jnp.broadcast_to(stream(key, "choice of the rate"), len(rates))
        scores, _ = judged(search(keys, rates)[0], keys)
        best = int(jnp.argmin(jnp.where(jnp.isfinite(scores), scores, jnp.inf)))
    keys = jax.random.split(stream(key, "seeds"), config.seeds)
    began = time.perf_counter()
    hypers, norms, lost = jax.block_until_ready(search(keys, jnp.broadcast_to(rates[best], config.seeds)))
    seconds = (time.perf_counter() - began) / config.seeds
    values, accuracies = judged(hypers, jax.vmap(lambda k: stream(k, "judge"))(keys))
    return {
        "objective": np.asarray(values).tolist(),
        "test_accuracy": np.asarray(accuracies).tolist(),
        "learning_rates": np.exp(np.asarray(hypers)).tolist(),
        "search_seconds": seconds,
    } | (
        {}
        if method == "random"
        else {
            "largest_gradient": float(jnp.max(norms)),
            "not_finite": 100 * float(jnp.mean(lost)),
            "outer_rate": config.outer_rates[best],
        }
    )


def load(config: Config) -> dict[str, Any]:
    """Scikit-learn's digits."""
    parts = data.digits().flat()
    return {"train": parts.train, "validation": parts.validation, "test": parts.test}


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Every method; returns the metrics: means over seeds and their deviations."""
    inner = Inner(config)
    cells = [{"method": name} for name in config.names]
    records = harness.measure(directory, cells, lambda cell: measure(cell["method"], inner), "horizon")
    metrics, schedules = {}, {}
    for record in records:
        name = record["method"]
        for kind in ("objective", "test_accuracy"):
            metrics[f"{name} {kind}"] = float(np.mean(record[kind]))
            if config.seeds > 1:
                metrics[f"{name} {kind} deviation"] = float(np.std(record[kind], ddof=1))
        metrics |= {f"{name} {kind}": record[kind] for kind in SINGLE.keys() & record.keys()}
        schedules[name] = record["learning_rates"]
    protocol = (
        f"Two hyperparameters, the first and the last learning rate of a geometric schedule over {config.horizon} steps of SGD "
        f"(scikit-learn's digits, {config.width} tanh units, batches of {config.batch}). The objective is the validation loss "
        f"averaged over the ends of segments of {config.segment} steps. Each method spends the inner steps of "
        f"{config.budget} trainings; {config.population} particles, sigma {config.sigma:g}; mean and standard deviation over "
        f"{config.seeds} seeds, each judged on {config.judged} fresh trainings."
    )
    return {"metrics": metrics, "schedules": schedules, "protocol": protocol}


def markdown(config: dict, result: dict) -> str:
    """One row for each method."""
    metrics = result["metrics"]

    def cell(name: str, kind: str, form: str) -> str:
        deviation = metrics.get(f"{name} {kind} deviation")
        return number(metrics.get(f"{name} {kind}"), form) + ("" if deviation is None else f" ± {deviation:{form}}")

    def schedule(name: str) -> str:
        return ", ".join(f"{a:.3g} to {b:.3g}" for a, b in result["schedules"][name])

    head = ["", "objective", "test accuracy", "learning rates found", *(kind.replace("_", " ") for kind in SINGLE)]
    rows = (
        [
            name,
            cell(name, "objective", ".4f"),
            cell(name, "test_accuracy", ".2f"),
            schedule(name),
            *(cell(name, kind, form) for kind, form in SINGLE.items()),
        ]
        for name in METHODS
        if f"{name} objective" in metrics
    )
    return table(head, rows)


EXPERIMENT = harness.Experiment(
    "long_horizon",
    __doc__,
    Config,
    measure_all,
    data=load,
    presets=PRESETS,
    table=markdown,
)

if __name__ == "__main__":
    EXPERIMENT.exit()
