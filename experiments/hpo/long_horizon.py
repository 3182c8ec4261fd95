"""Evolution strategies where they belong: few hyperparameters, a long and chaotic inner loop.

    python -m experiments.hpo.long_horizon --out runs/long_horizon

A learning rate falls or rises geometrically from one value to another, two hyperparameters, over ``horizon`` steps of SGD
on scikit-learn's digits. The network has tanh units and is chaotic at large rates. The objective is the validation loss,
averaged over the ends of all segments of ``segment`` steps of the whole training (Vicol et al. 2021, arXiv:2112.13835, tune
schedules of this kind). Every method spends the inner steps of ``budget`` trainings. Forward steps of every particle count;
steps that are also differentiated count once, so that the comparison favors differentiation.

* ``pes``, ``es`` and ``truncated`` see one segment at a time and go on from where it ended. They begin anew after the
  horizon.
* ``full es`` and ``unroll`` see the whole training in each outer step.
* ``random`` draws schedules from the same box in which the others begin.

Gradients are clipped to 1 in each entry, and NaN counts as 0, because in a chaotic loop some are not finite; their share is
reported. Outer steps are Adam's. Its rate is the one of ``rates`` with the lowest objective on seeds that are not reported,
chosen for each method alone. Reported are the objective of the last hyperparameters (for ``random`` of the best draw,
chosen by its own training) on fresh initial weights and batches, and the test accuracy after the whole training.
"""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import harness
from experiments.harness.markdown import number, table
from experiments.hpo._schedules import METHODS, Inner, judge, searcher
from metajax import data, run
from metajax.types import InputError, stream

SINGLE = {"largest_gradient": ".3g", "not_finite": "z.1f", "outer_rate": "g", "search_seconds": ".1f"}
"""Numbers that are measured once for each method (``not_finite`` is % of the gradients), and their formats."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the search."""

    methods: str = "all"
    """Names of the table, separated by commas, or all."""
    horizon: int = 1_000
    """Steps of a training."""
    segment: int = 20
    """Steps of a segment."""
    budget: int = 100
    """Trainings whose steps a search may spend."""
    population: int = 8
    """Particles of evolution."""
    sigma: float = 0.3
    """Deviation of the perturbations."""
    batch: int = 32
    """Images in a batch."""
    width: int = 16
    """Units of the hidden layer."""
    rates: str = "0.03,0.1,0.3"
    """Outer rates to choose from, separated by commas."""
    judged: int = 4
    """Fresh trainings that judge a search."""
    seeds: int = 3
    """Searches of each method."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        _ = self.names  # raises on another name
        sizes = ("horizon", "segment", "budget", "population", "batch", "width", "judged", "seeds")
        harness.check_at_least(self, 1, *sizes)
        if self.horizon % self.segment:
            raise InputError(f"--horizon must be a multiple of --segment {self.segment}, got {self.horizon}")
        _ = self.outer_rates

    @property
    def names(self) -> list[str]:
        return harness.selected(self.methods, METHODS, "methods")

    @property
    def outer_rates(self) -> list[float]:
        """Returns Adam's rates to choose from."""
        try:
            return [float(rate) for rate in self.rates.split(",")]
        except ValueError:
            raise InputError(f"--rates must be numbers separated by commas, got {self.rates}") from None


PRESETS = {
    "paper": {},
    "tiny": {"horizon": 20, "segment": 5, "budget": 20, "rates": "0.03", "judged": 2, "seeds": 2, "width": 4},
}


def measure(method: str, inner: Inner) -> dict[str, Any]:
    """Searches with every seed, with the outer rate that did best on other seeds."""
    config = inner.config
    search = jax.jit(jax.vmap(searcher(method, inner)))
    test = jax.jit(jax.vmap(lambda hyper, key: judge(inner, hyper, key)))
    rates = jnp.asarray(config.outer_rates, jnp.float32)
    key = jax.random.key(config.seed)
    best = 0
    if method != "random":
        keys = jnp.broadcast_to(stream(key, "choice of the rate"), len(rates))
        scores, _ = test(search(keys, rates)[0], keys)
        best = int(jnp.argmin(jnp.where(jnp.isfinite(scores), scores, jnp.inf)))
    keys = jax.random.split(stream(key, "seeds"), config.seeds)
    start = time.perf_counter()
    hypers, norms, not_finite = jax.block_until_ready(search(keys, jnp.broadcast_to(rates[best], config.seeds)))
    seconds = (time.perf_counter() - start) / config.seeds
    values, accuracies = test(hypers, jax.vmap(lambda k: stream(k, "judge"))(keys))
    record = {
        "objective": np.asarray(values).tolist(),
        "test_accuracy": np.asarray(accuracies).tolist(),
        "learning_rates": np.exp(np.asarray(hypers)).tolist(),
        "search_seconds": seconds,
    }
    if method == "random":
        return record
    gradients = {"largest_gradient": float(jnp.max(norms)), "not_finite": 100 * float(jnp.mean(not_finite))}
    return {**record, **gradients, "outer_rate": config.outer_rates[best]}


def load(config: Config) -> dict[str, Any]:
    """Scikit-learn's digits."""
    parts = data.digits().flat()
    return {"train": parts.train, "validation": parts.validation, "test": parts.test}


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Every method; the metrics are means over seeds and their deviations."""
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
