"""Whether every part of metajax runs on this machine: one small piece of each, on the default device.

    python -m experiments.benchmarks.checks --out runs/benchmarks/checks

Each check that fails is reported by its error, and the others go on. The one claim is that none fails.
"""

import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmarks import compare, paper_steps
from metajax import bilevel, nn, predictor, run, search
from metajax.space import Categorical, Float, Integer, Space
from metajax.types import InputError

SPACE = Space({"op": Categorical(("conv", "mlp")), "layers": Integer(1, 4), "rate": Float(1e-4, 1.0, log=True)})


@dataclasses.dataclass(frozen=True)
class Config:
    """Which checks are made."""

    only: str = "all"
    """Names of checks, separated by commas, or all."""
    seed: int = 0
    """Seed of all randomness."""

    def __post_init__(self):
        unknown = [] if self.only == "all" else [name for name in self.only.split(",") if name not in CHECKS]
        if unknown:
            raise InputError(f"--only must be all, or some of {', '.join(CHECKS)}, got {unknown[0]}")


def few_shot() -> None:
    """Takes a step of MAML, Meta-SGD and prototypical networks."""
    for method in ("maml", "meta-sgd", "protonet"):
        config = paper_steps.Config("omniglot", method, steps=2, rounds=1, small=True)
        _finite(paper_steps.measure(config).metrics)


def architecture_search() -> None:
    """Takes a step of first-order DARTS, of its exact second order and of GDAS."""
    for method in ("darts-1", "darts-2", "gdas"):
        config = paper_steps.Config("nas_bench_201", method, steps=1, rounds=1, small=True)
        _finite(paper_steps.measure(config).metrics)


def hypergradients() -> None:
    """Compares the unrolled and the implicit hypergradient of a ridge penalty."""
    x = jax.random.normal(jax.random.key(0), (32, 4))
    y = x @ jnp.arange(1.0, 5.0)
    error = lambda w: jnp.mean((x @ w - y) ** 2)
    inner = bilevel.Inner.descent(
        lambda hyper, w, batch, key: (error(w) + jnp.exp(hyper) * jnp.sum(w**2), {}),
        lambda hyper, key: jnp.zeros(4),
        lambda hyper: optax.sgd(0.2),
    )
    problem = bilevel.Problem(inner, lambda hyper, w, batch, key: (error(w), {}))
    key, batches = jax.random.key(1), jnp.zeros((200, 1))
    gradients = []
    for estimator in (bilevel.unroll(), bilevel.implicit("cg")):
        fn = estimator(problem)
        hyper = jnp.asarray(-1.0)
        gradients.append(float(fn(hyper, fn.begin(hyper, key), batches, batches[0], key).grad))
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-2)


def meta_learner() -> None:
    """Fits two models, and searches them by enumeration and with a certificate."""
    configs = SPACE.sample(jax.random.key(0), 64)
    accuracy = [0.9 - abs(int(layers) - 2) / 50 for layers in configs["layers"]]
    trials = predictor.Trials.from_arrays(SPACE, configs, accuracy)
    for spec in (predictor.kernel(), predictor.ensemble()):
        model = predictor.fit(trials, spec, target="rank")
        _finite({"best": float(search.maximize(model, search.Gradient(), k=2).values[0])})
    finite = Space({"op": Categorical(("a", "b", "c")), "layers": Integer(1, 8)})
    configs = finite.sample(jax.random.key(1), 40)
    trials = predictor.Trials.from_arrays(finite, configs, [float(n) for n in configs["layers"]])
    model = predictor.fit(trials, predictor.ensemble(), target="value")
    enumerated, certified = (search.maximize(model, m, k=1).configs for m in (search.Enumerate(), search.Certify()))
    assert enumerated == certified, (enumerated, certified)


def runs() -> None:
    """Checks that a training that is checkpointed and resumed ends in the same bits."""
    init, apply = nn.functional(lambda rngs: nn.MLP(4, (8,), 1, rngs=rngs))
    loss = lambda w, batch, key: (jnp.mean((apply(w, batch) - 1.0) ** 2), {})
    learner = bilevel.supervised(init, loss, optax.adam(1e-2))
    sample = lambda key: jax.random.normal(key, (16, 4))

    def train(steps: int, folder: str, resume: bool):
        with run.RunDirectory(folder, {"steps": 40}, resume=resume) as directory:
            state = learner.init(jax.random.key(0))
            return run.train(learner, state, sample, steps, directory, chunk=10, show=False)

    with tempfile.TemporaryDirectory() as folder:
        train(20, f"{folder}/halves", False)
        halves, uninterrupted = train(40, f"{folder}/halves", True), train(40, f"{folder}/whole", False)
    assert all(
        bool(jnp.array_equal(a, b))
        for a, b in zip(jax.tree.leaves(halves.params), jax.tree.leaves(uninterrupted.params))
    )


def main_job() -> None:
    """Searches on a small table; it needs scikit-learn."""
    from metajax import AutoMLClassifier

    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5))
    model = AutoMLClassifier(trials=16).fit(x, x[:, 0] > 0)
    assert model.score(x, x[:, 0] > 0) > 0.7


CHECKS: dict[str, Callable[[], None]] = {
    "few_shot": few_shot,
    "architecture_search": architecture_search,
    "hypergradients": hypergradients,
    "meta_learner": meta_learner,
    "runs": runs,
    "main_job": main_job,
}


def _finite(metrics: dict[str, float]) -> None:
    assert all(np.isfinite(list(metrics.values()))), metrics


def measure(config: Config) -> compare.Measured:
    """Measures the seconds of each check, and reports the errors of those that failed."""
    names = list(CHECKS) if config.only == "all" else config.only.split(",")
    seconds, errors = {}, {}
    for name in names:
        start = time.perf_counter()
        try:
            CHECKS[name]()
        except Exception as error:
            errors[name] = f"{type(error).__name__}: {str(error).strip()[:300]}"
            print(f"{name}: {errors[name]}", file=sys.stderr)
        seconds[f"{name} s"] = time.perf_counter() - start
    text = "; ".join(f"{name} failed ({error})" for name, error in errors.items()) or "every check passed"
    claim = compare.Claim("checks that failed", 0, len(errors), len(errors), len(errors), most=True)
    return compare.Measured(seconds, [claim], f"One small piece of each part, on {run.hardware()}: {text}")


PRESETS = {"paper": {}, "tiny": {"only": "hypergradients,runs"}}
EXPERIMENT = compare.benchmark("checks", __doc__, Config, PRESETS, measure)

if __name__ == "__main__":
    EXPERIMENT.exit()
