"""The rows of ``experiments.hpo.hyper_cleaning``: the data of a seed, the learned weights, and the model that they give.

``config`` is the config of that experiment everywhere.
"""

import dataclasses
import functools
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax import bilevel, data, hpo, nn
from metajax.types import stream

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
"""The outer steps after which an estimator begins the inner loop anew."""


class Setting(NamedTuple):
    """The data of one seed and the bilevel problem on it."""

    train: hpo.IndexedBatch
    held_out: hpo.IndexedBatch
    test: tuple[jax.Array, jax.Array]
    is_wrong: np.ndarray
    network: nn.Functional
    training: hpo.HyperProblem
    key: jax.Array


@functools.lru_cache(maxsize=1)
def prepare(config: Any, seed: int) -> Setting:
    """Returns training images, of which a share has a random wrong label, and clean ones."""
    images = data.mnist(seed, config.train, config.validation).flat()
    (x, y), (x_held, y_held), test = jax.tree.map(jnp.asarray, images)
    rng = np.random.default_rng(seed)
    is_wrong = np.zeros(len(y), bool)
    is_wrong[rng.permutation(len(y))[: int(config.flipped * len(y))]] = True
    labels = jnp.where(jnp.asarray(is_wrong), (y + jnp.asarray(rng.integers(1, 10, len(y)))) % 10, y)
    train = hpo.IndexedBatch(x, labels, jnp.arange(len(y)))
    held_out = hpo.IndexedBatch(x_held, y_held, jnp.arange(len(y_held)))
    network = nn.functional(lambda rngs: nn.MLP(x.shape[1], (), 10, rngs=rngs))
    training = hpo.training_problem(network, optax.sgd(config.rate), 10, weights=hpo.example_weights(len(y)))
    return Setting(train, held_out, test, is_wrong, network, training, jax.random.key(seed))


def measure(row: str, config: Any, setting: Setting) -> dict[str, float]:
    """Returns the accuracy, the F1 and the costs of one row on the data of one seed."""
    n, is_wrong = len(setting.is_wrong), setting.is_wrong
    fixed = {"oracle": jnp.asarray(~is_wrong, jnp.float32), "none": jnp.ones(n), "validation alone": jnp.zeros(n)}
    if row in fixed:
        return {"accuracy": learn_and_test(fixed[row], config, setting)}
    weights, costs = clean(row, config, setting)
    flagged = np.asarray(weights < 0.5)
    f1 = 2 * int(np.sum(flagged & is_wrong)) / max(int(flagged.sum()) + int(is_wrong.sum()), 1)
    return {"accuracy": learn_and_test(weights, config, setting), "f1": f1, **costs}


def clean(name: str, config: Any, setting: Setting) -> tuple[jax.Array, dict[str, float]]:
    """Learns the weights f32[n] by an estimator; returns them and what they cost."""
    estimator, training = hpo.make_estimator(name.split()[0], **ESTIMATORS[name]), setting.training
    full_loss = lambda hyper, params, step, key: training.problem.inner.loss(hyper, params, setting.train, key)
    # batches are full: what is stacked only counts the steps
    problem = training.problem._replace(inner=dataclasses.replace(training.problem.inner, loss=full_loss))
    outer_optimizer = optax.adam(config.outer_rate)
    learner = bilevel.learner(problem, estimator, outer_optimizer, config.inner, True, RESTARTS.get(name))
    state = learner.init(stream(setting.key, "search"), training.init(stream(setting.key, "hyper")))
    batches = jnp.arange(config.inner), setting.held_out
    compiled = jax.jit(learner.update).lower(state, batches).compile()
    memory: Any = compiled.memory_analysis()
    info, start = {}, time.perf_counter()
    for _ in range(config.outer):
        state, info = compiled(state, batches)
    jax.block_until_ready(state)
    seconds = time.perf_counter() - start
    return jax.nn.sigmoid(state.hyper["weights"]), {
        "validation_loss": float(info["outer_loss"]),
        "search_seconds": seconds,
        "temporary_megabytes": memory.temp_size_in_bytes / 1e6,
    }


def learn_and_test(weights: jax.Array, config: Any, setting: Setting) -> float:
    """Returns the test accuracy in % of a fresh model of weighted training and validation images."""
    train, held_out, test, network = setting.train, setting.held_out, setting.test, setting.network
    x = jnp.concatenate([train.x, held_out.x])
    y = jnp.concatenate([train.y, held_out.y])
    weight = jnp.concatenate([weights, jnp.ones(len(held_out.y))])

    def loss(params, batch, key):
        losses = optax.softmax_cross_entropy_with_integer_labels(network.apply(params, x), y)
        return jnp.sum(weight * losses) / jnp.sum(weight), {}

    learner = bilevel.supervised(network.init, loss, optax.sgd(config.rate))
    train_all = jax.jit(lambda s: jax.lax.scan(lambda c, _: learner.update(c, ()), s, None, config.final_steps)[0])
    state = train_all(learner.init(stream(setting.key, "final")))
    return 100 * float(jnp.mean(jnp.argmax(network.apply(state.params, test[0]), -1) == test[1]))
