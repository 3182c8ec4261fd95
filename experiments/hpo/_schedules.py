"""The searches of ``experiments.hpo.long_horizon``: a learning-rate schedule of two hyperparameters over a long training.

``config`` is the config of that experiment everywhere.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax import bilevel, data, hpo, nn
from metajax.types import Learner, stream

METHODS = ("pes", "es", "truncated", "full es", "unroll", "random")
LOW, HIGH = np.log(1e-3), np.log(10.0)
"""Logarithms of the learning rates at which searches begin, and which ``random`` draws."""


class Inner:
    """The inner training: data, network, segments, and the objective of a whole training."""

    def __init__(self, config: Any):
        self.config = config
        self.train, self.held_out, self.test = jax.tree.map(jnp.asarray, data.digits().flat())
        self.network = nn.functional(lambda rngs: nn.MLP(64, (config.width,), 10, jnp.tanh, rngs=rngs))
        begin = lambda hyper, key: self.network.init(key)
        self.problem = bilevel.Problem(bilevel.Inner.descent(self._loss, begin, self.optimizer), self._held_loss)

    def optimizer(self, hyper: jax.Array) -> optax.GradientTransformation:
        line = hpo.interpolated_schedule(hyper, self.config.horizon)
        return hpo.sgd(lambda step: jnp.exp(line(step)))

    def _loss(self, hyper: Any, params: Any, rows: jax.Array, key: jax.Array):
        return self.cross_entropy(params, self.train[0][rows], self.train[1][rows]), {}

    def _held_loss(self, hyper: Any, params: Any, batch: Any, key: jax.Array):
        return self.cross_entropy(params, *self.held_out), {}

    def cross_entropy(self, params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(self.network.apply(params, x), y))

    def rows(self, key: jax.Array) -> jax.Array:
        """Draws the training images of each step of a segment."""
        return jax.random.randint(key, (self.config.segment, self.config.batch), 0, len(self.train[1]))

    def full_training(self, hyper: jax.Array, key: jax.Array) -> tuple[jax.Array, Any]:
        """Returns the objective of a training from beginning to end, and its last weights; it can be differentiated."""
        segment = bilevel.weights_only()(self.problem)
        state = segment.begin(hyper, stream(key, "weights"))

        @jax.checkpoint
        def body(state, number):
            rows = self.rows(jax.random.fold_in(stream(key, "rows"), number))
            state = segment(hyper, state, rows, None, key).end
            return state, self.cross_entropy(state.params, *self.held_out)

        state, losses = jax.lax.scan(body, state, jnp.arange(self.config.horizon // self.config.segment))
        return jnp.mean(losses), state.params

    def as_solution(self) -> bilevel.Problem:
        """Returns the whole training as the solution of an inner problem; the inner batch is the key of the training."""
        return bilevel.Problem(
            bilevel.Inner.solution(lambda h, training_key, key: self.full_training(h, training_key)[0]),
            lambda h, value, batch, key: (value, {}),
        )


def learner_of(method: str, inner: Inner, rate: jax.Array) -> tuple[Learner, int, bool]:
    """Returns the learner of a method, the outer steps of its budget, and whether each sees the whole training."""
    config = inner.config
    evolution = lambda persistent: bilevel.evolution(config.population, config.sigma, persistent)
    estimator, particles, is_full = {
        "pes": (evolution(True), config.population + 1, False),
        "es": (evolution(False), config.population + 1, False),
        "truncated": (bilevel.unroll(), 1, False),
        "full es": (evolution(False), config.population + 1, True),
        "unroll": (bilevel.through_solution(), 1, True),
    }[method]
    segments = config.horizon // config.segment
    outer_optimizer = optax.chain(optax.zero_nans(), optax.clip(1.0), optax.adam(rate))
    if is_full:
        learner = bilevel.learner(inner.as_solution(), estimator, outer_optimizer, 1, warm_start=False)
    else:
        learner = bilevel.learner(inner.problem, estimator, outer_optimizer, config.segment, True, segments)
    return learner, max(1, config.budget * (1 if is_full else segments) // particles), is_full


def first(key: jax.Array, n: int | None = None) -> jax.Array:
    """Draws a schedule f32[2], or n of them, evenly in the box."""
    return jax.random.uniform(key, (2,) if n is None else (n, 2), minval=LOW, maxval=HIGH)


def searcher(method: str, inner: Inner) -> Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array, jax.Array]]:
    """Returns one search: ``(key, rate) -> (hyper, largest finite norm of a gradient, share of those not finite)``."""

    def random_search(key: jax.Array, rate: jax.Array):
        hypers = first(stream(key, "first"), inner.config.budget)
        keys = jax.random.split(stream(key, "trainings"), inner.config.budget)
        scores = jax.lax.map(lambda pair: inner.full_training(*pair)[0], (hypers, keys), batch_size=10)
        return hypers[jnp.argmin(jnp.where(jnp.isfinite(scores), scores, jnp.inf))], jnp.zeros(()), jnp.zeros(())

    def gradient_search(key: jax.Array, rate: jax.Array):
        learner, steps, is_full = learner_of(method, inner, rate)

        def body(state, _):
            if is_full:
                batch = stream(jax.random.fold_in(state.key, state.step), "init")[None]
            else:
                batch = inner.rows(jax.random.fold_in(stream(key, "rows"), state.step))
            state, info = learner.update(state, (batch, ()))
            return state, info["hypergradient_norm"]

        start = learner.init(stream(key, "search"), first(stream(key, "first")))
        state, norms = jax.lax.scan(body, start, None, steps)
        finite = jnp.isfinite(norms)
        return state.hyper, jnp.max(jnp.where(finite, norms, 0.0)), jnp.mean(~finite, dtype=norms.dtype)

    return random_search if method == "random" else gradient_search


def judge(inner: Inner, hyper: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the mean objective and test accuracy in % over fresh trainings."""

    def judge_one(key: jax.Array):
        value, params = inner.full_training(hyper, key)
        predicted = jnp.argmax(inner.network.apply(params, inner.test[0]), axis=-1)
        return value, 100 * jnp.mean(predicted == inner.test[1], dtype=jnp.float32)

    values, accuracies = jax.vmap(judge_one)(jax.random.split(key, inner.config.judged))
    return jnp.mean(values), jnp.mean(accuracies)
