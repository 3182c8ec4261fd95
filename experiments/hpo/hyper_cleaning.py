"""Data hyper-cleaning (Franceschi et al. 2017, arXiv:1703.01785, section 5.1): which labels are wrong?

    python -m experiments.hpo.hyper_cleaning --out runs/hyper_cleaning

MNIST: 5,000 training images, half of them with a random wrong label; 5,000 clean ones for validation, the official test.
Softmax regression learns on the training images, each with a weight that is descended by the hypergradient of the validation
loss. An image whose weight ends below 1/2 counts as found; then a fresh model learns on the weighted training images and the
validation images together, as in the paper, whose "oracle" (the clean half) has 90.46, "no cleaning" 87.74, and its method
about 90.07 with an F1 of .914 to .924. Test images are used once, at the end of each row.

Every estimator runs the same schedule: ``outer`` hypergradient steps of Adam, warm-started, each after ``inner`` full-batch
steps of gradient descent. Persistent evolution begins the inner loop anew after every ``RESTARTS`` outer steps: its particles
gather all perturbations since they began, so that the variance of its gradient grows with their number. Its validation loss is
that after so many steps only. Each row is the mean
over ``seeds`` (images, wrong labels and initial weights). Bytes are XLA's count of temporary memory of one outer step; seconds
are those of all steps, without compilation. 13 minutes for each seed on 2 cores, with other work beside.
"""

import dataclasses
import functools
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import harness
from experiments.harness import Results
from experiments.harness.markdown import number, table
from experiments.harness.words import against, duration
from metajax import bilevel, data, hpo, nn, run
from metajax.types import InputError, stream

ESTIMATORS = {
    "unroll": {},
    "unroll sqrt": {"remat": "sqrt"},
    "truncated": {"steps": 5},
    "cg": {"iterations": 10, "damping": 1e-3},
    "neumann": {"iterations": 20, "step_size": 0.1},
    "identity": {},
    "evolution": {"population": 32, "sigma": 0.1},
    "pes": {"population": 32, "sigma": 0.1},
}
RESTARTS = {"pes": 8}
ROWS = ("oracle", "none", "validation alone", *ESTIMATORS)


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of the data and of the search; ``rows`` are ``all`` or some of the table's, separated by commas."""

    rows: str = "all"
    train: int = 5_000
    validation: int = 5_000
    flipped: float = 0.5
    inner: int = 25
    outer: int = 200
    rate: float = 0.5
    outer_rate: float = 0.2
    final_steps: int = 1_000
    seeds: int = 3
    seed: int = 0

    def __post_init__(self):
        _ = self.names  # raises on another name
        if (
            min(self.train, self.validation, self.inner, self.outer, self.final_steps, self.seeds) < 1
            or not 0 <= self.flipped < 1
        ):
            raise InputError("sizes, steps and seeds must be positive, flipped a share below 1")

    @property
    def names(self) -> list[str]:
        return harness.selected(self.rows, ROWS, "rows")


PRESETS = {
    "paper": {},
    "tiny": {
        "train": 200,
        "validation": 200,
        "inner": 5,
        "outer": 3,
        "final_steps": 20,
        "seeds": 2,
        "rows": "none,unroll,identity",
    },
}


class Setting(NamedTuple):
    """The data of one seed and the bilevel problem on it."""

    train: hpo.IndexedBatch
    held: hpo.IndexedBatch
    test: tuple[jax.Array, jax.Array]
    wrong: np.ndarray
    network: nn.Functional
    made: hpo.HyperProblem
    key: jax.Array


@functools.lru_cache(maxsize=1)
def prepare(config: Config, seed: int) -> Setting:
    """Training images, a share of them with a random wrong label, and clean ones."""
    images = data.mnist(seed, config.train, config.validation).flat()
    (x, y), (x_held, y_held), test = jax.tree.map(jnp.asarray, images)
    rng = np.random.default_rng(seed)
    wrong = np.zeros(len(y), bool)
    wrong[rng.permutation(len(y))[: int(config.flipped * len(y))]] = True
    given = jnp.where(jnp.asarray(wrong), (y + jnp.asarray(rng.integers(1, 10, len(y)))) % 10, y)
    train = hpo.IndexedBatch(x, given, jnp.arange(len(y)))
    held = hpo.IndexedBatch(x_held, y_held, jnp.arange(len(y_held)))
    network = nn.functional(lambda rngs: nn.MLP(x.shape[1], (), 10, rngs=rngs))
    made = hpo.training_problem(network, optax.sgd(config.rate), 10, weights=hpo.example_weights(len(y)))
    return Setting(train, held, test, wrong, network, made, jax.random.key(seed))


def measure(row: str, config: Config, setting: Setting) -> dict[str, float]:
    """Accuracy, F1 and costs of one row on the data of one seed."""
    n, wrong = len(setting.wrong), setting.wrong
    fixed = {"oracle": jnp.asarray(~wrong, jnp.float32), "none": jnp.ones(n), "validation alone": jnp.zeros(n)}
    if row in fixed:
        return {"accuracy": learn_and_test(fixed[row], config, setting)}
    weights, told = clean(row, config, setting)
    found = np.asarray(weights < 0.5)
    f1 = 2 * int(np.sum(found & wrong)) / max(int(found.sum()) + int(wrong.sum()), 1)
    return {"accuracy": learn_and_test(weights, config, setting), "f1": f1, **told}


def load(config: Config) -> dict[str, Any]:
    """The images of the first seed."""
    first = prepare(config, config.seed)
    return {"train": first.train, "validation": first.held, "test": first.test}


def measure_all(config: Config, directory: run.RunDirectory, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Every row of the table; returns the metrics: means over seeds, and ``deviation`` where there are several."""
    cells = [{"row": row, "seed": config.seed + i} for i in range(config.seeds) for row in config.names]
    work = lambda cell: measure(cell["row"], config, prepare(config, cell["seed"]))
    records = harness.measure(directory, cells, work, "cleaning")
    metrics = {}
    for row in config.names:
        own = [record for record in records if record["row"] == row]
        for name in own[0].keys() - {"row", "seed", "seconds"}:
            values = [record[name] for record in own]
            metrics[f"{row} {name}"] = float(np.mean(values))
            if len(own) > 1:
                metrics[f"{row} {name} deviation"] = float(np.std(values, ddof=1))
    if "unroll" in config.names:
        metrics |= {"accuracy": metrics["unroll accuracy"], "f1": metrics["unroll f1"]}
    protocol = (
        f"MNIST, {config.train} training images with {100 * config.flipped:g}% wrong labels, {config.validation} for "
        f"validation, the official test images; softmax regression; {config.outer} hypergradients, each after "
        f"{config.inner} full-batch steps; then {config.final_steps} steps on weighted training and validation images; mean "
        f"and standard deviation over {config.seeds} seeds. `accuracy` and `f1` are those of the exact hypergradient, `unroll`."
    )
    return {"metrics": metrics, "protocol": protocol}


def clean(name: str, config: Config, setting: Setting):
    """Weights f32[n] by this estimator, and what they cost."""
    estimator, made = hpo.make_estimator(name.split()[0], **ESTIMATORS[name]), setting.made
    whole = lambda hyper, params, step, key: made.problem.inner.loss(hyper, params, setting.train, key)
    # full batches: what is stacked only counts the steps
    problem = made.problem._replace(inner=dataclasses.replace(made.problem.inner, loss=whole))
    outer_optimizer = optax.adam(config.outer_rate)
    learner = bilevel.learner(problem, estimator, outer_optimizer, config.inner, True, RESTARTS.get(name))
    state = learner.init(stream(setting.key, "search"), made.init(stream(setting.key, "hyper")))
    batches = jnp.arange(config.inner), setting.held
    compiled = jax.jit(learner.update).lower(state, batches).compile()
    memory: Any = compiled.memory_analysis()
    info, began = {}, time.perf_counter()
    for _ in range(config.outer):
        state, info = compiled(state, batches)
    jax.block_until_ready(state)
    seconds = time.perf_counter() - began
    return jax.nn.sigmoid(state.hyper["weights"]), {
        "validation_loss": float(info["outer_loss"]),
        "search_seconds": seconds,
        "temporary_megabytes": memory.temp_size_in_bytes / 1e6,
    }


def learn_and_test(weights: jax.Array, config: Config, setting: Setting) -> float:
    """Test accuracy in per cent of a fresh model of weighted training and validation images."""
    train, held, test, network = setting.train, setting.held, setting.test, setting.network
    x = jnp.concatenate([train.x, held.x])
    y = jnp.concatenate([train.y, held.y])
    weight = jnp.concatenate([weights, jnp.ones(len(held.y))])

    def loss(params, batch, key):
        losses = optax.softmax_cross_entropy_with_integer_labels(network.apply(params, x), y)
        return jnp.sum(weight * losses) / jnp.sum(weight), {}

    learner = bilevel.supervised(network.init, loss, optax.sgd(config.rate))
    train_all = jax.jit(lambda s: jax.lax.scan(lambda c, _: learner.update(c, ()), s, None, config.final_steps)[0])
    state = train_all(learner.init(stream(setting.key, "final")))
    return 100 * float(jnp.mean(jnp.argmax(network.apply(state.params, test[0]), -1) == test[1]))


def markdown(config: dict, result: dict) -> str:
    """One row for each estimator, and what the row without training images says of the accuracies."""
    shown = {
        "accuracy": ".2f",
        "f1": ".3f",
        "validation_loss": ".4f",
        "search_seconds": ".1f",
        "temporary_megabytes": ".0f",
    }
    metrics = result["metrics"]

    def cell(name: str, key: str, form: str) -> str:
        deviation = metrics.get(f"{name} {key} deviation")
        spread = (
            "" if deviation is None or key in ("search_seconds", "temporary_megabytes") else f" ± {deviation:{form}}"
        )
        return number(metrics.get(f"{name} {key}"), form, "") + spread

    line = lambda name: [cell(name, key, form) for key, form in shown.items()]
    head = ["", "test accuracy", "F1 of wrong labels", "validation loss", "seconds", "temporary MB"]
    rows = table(head, ([name, *line(name)] for name in ROWS if f"{name} accuracy" in metrics))
    return f"{rows}\n\n{comparison(metrics)}".rstrip()


def comparison(metrics: dict[str, float]) -> str:
    """What the estimators gain over leaving all training images out, in words; empty where that was not measured."""
    measured = [name for name in ESTIMATORS if f"{name} accuracy" in metrics]
    if "validation alone accuracy" not in metrics or not measured:
        return ""
    alone = metrics["validation alone accuracy"]
    gains = {name: metrics[f"{name} accuracy"] - alone for name in measured}
    best, worst = max(gains, key=lambda n: gains[n]), min(gains, key=lambda n: gains[n])
    whole = metrics.get("oracle accuracy")
    limit = "" if whole is None else f" The oracle, with every correct label, gains {whole - alone:+.2f} points."
    return (
        f"The last model also learns on the validation images, and these alone give {alone:.2f}. Beside that, the training "
        f"images as the estimators weigh them change the accuracy by {gains[worst]:+.2f} points (`{worst}`) to "
        f"{gains[best]:+.2f} (`{best}`).{limit} An accuracy near that of the validation images alone is therefore no evidence "
        "of good weights; the F1 of the wrong labels tells the estimators apart."
    )


def statement(results: Results) -> list[str]:
    """Learned weights against no cleaning, and against the validation images alone."""
    m = results["hyper_cleaning"].metrics
    alone = m["validation alone accuracy"]
    learned = {name: m[f"{name} accuracy"] for name in ESTIMATORS if f"{name} search_seconds" in m}
    best = max(learned, key=lambda name: learned[name])
    return [
        f"With half of the labels wrong, the best learned data weights ({best}) give {learned[best]:.2f}% after "
        f"{duration(m[f'{best} search_seconds'])}: {against(learned[best], m['none accuracy'])} no cleaning "
        f"({m['none accuracy']:.2f}%) and {against(learned[best], alone, 0.2)} training on the clean validation images alone "
        f"({alone:.2f}%), which needs no hypergradient. With all wrong labels known it is {m['oracle accuracy']:.2f}%."
    ]


EXPERIMENT = harness.Experiment(
    "hyper_cleaning",
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
