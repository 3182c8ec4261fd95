"""The searches of ``experiments.hpo.joint_search``: the space, one training of a configuration, and the four methods.

Every function takes the config of that experiment.
"""

import functools
import itertools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax import bilevel, data, hpo
from metajax.automl import prepare
from metajax.data import tabular
from metajax.space import Categorical, Float, Space, interop
from metajax.types import Key, stream

METHODS = ("joint", "one after the other", "tpe", "random")
OPERATIONS = ("skip", "relu", "tanh", "gelu")
WIDTH, BATCH = 32, 64
SPACE = Space(
    {
        "layer_1": Categorical(OPERATIONS),
        "layer_2": Categorical(OPERATIONS),
        "learning_rate": Float(1e-4, 1e-1, log=True, grid=9),
        "weight_decay": Float(1e-4, 1.0, log=True, grid=5),
        "dropout": Float(0.0, 0.5, grid=3),
    }
)
DEFAULT = {"learning_rate": SPACE.at([4 * 16])["learning_rate"].item(), "weight_decay": 1e-2, "dropout": 0.25}


@functools.cache
def rows(name: str, seed: int) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Returns the parts for training, validation and test: x f32[n, d] and y i32[n]."""
    if name in ("digits", "mnist"):
        images = data.digits(seed) if name == "digits" else data.mnist(seed, 2_000, 1_000)
        parts = images.flat()._asdict()
    else:
        prepared = prepare(tabular.load(name), seed)
        search, final = prepared.search, prepared.final
        parts = {
            "train": (search.x, search.y),
            "validation": (search.x_eval, search.y_eval),
            "test": (final.x_eval, final.y_eval),
        }
    return jax.tree.map(jnp.asarray, parts)


def init_params(key: Key, features: int, classes: int) -> dict[str, Any]:
    """Returns the initial weights of the network of two hidden layers."""
    sizes = [features, WIDTH, WIDTH, classes]
    keys = jax.random.split(key, 3)
    weights = [jax.random.normal(k, (a, b)) * a**-0.5 for k, a, b in zip(keys, sizes, sizes[1:])]
    return {"w": weights, "b": [jnp.zeros(b) for b in sizes[1:]]}


def network(choice: Any, params: dict[str, Any], x: jax.Array, key: Key | None) -> jax.Array:
    """Returns the outputs of the network under a relaxed or decided choice; without a key there is no dropout."""
    h = x @ params["w"][0] + params["b"][0]
    for layer in (1, 2):
        options = jnp.stack([h, jax.nn.relu(h), jnp.tanh(h), jax.nn.gelu(h)])
        h = jnp.tensordot(choice.values[f"layer_{layer}"], options, axes=1)
        if key is not None:
            share = choice.values["dropout"]
            noise = jax.random.normal(jax.random.fold_in(key, layer), h.shape)
            h = h * (1 + jnp.sqrt(share / (1 - share) + 1e-6) * noise)
        h = h @ params["w"][layer] + params["b"][layer]
    return h


class Setting:
    """The problem on one dataset, and its compiled pieces."""

    def __init__(self, name: str, seed: int, config: Any):
        self.parts, self.steps = rows(name, seed), config.steps
        x, y = self.parts["train"]
        classes = int(max(int(jnp.max(part[1])) for part in self.parts.values())) + 1

        def learn(choice, params, batch, key):
            draw, noise = jax.random.split(key)
            index = jax.random.randint(draw, (BATCH,), 0, len(y))
            outputs = network(choice, params, x[index], noise)
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(outputs, y[index])), {}

        def judge(choice, params, batch, key):
            outputs = network(choice, params, batch[0], None)
            loss = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(outputs, batch[1]))
            return loss, {"accuracy": jnp.mean(jnp.argmax(outputs, -1) == batch[1], dtype=jnp.float32)}

        def optimizer(values):
            shape = lambda step: 0.5 * (1 + jnp.cos(jnp.pi * step.astype(jnp.float32) / config.steps))
            return hpo.adam(lambda step: values["learning_rate"] * shape(step), weight_decay=values["weight_decay"])

        init = lambda key: init_params(key, x.shape[1], classes)
        self.problems = hpo.joint_problem(SPACE, init, learn, judge, optimizer)
        self.counter = jnp.arange(config.steps)
        self.estimate = bilevel.unroll("sqrt")(self.problems.relaxed)
        self.optimizer = optax.adam(config.outer_rate)
        self.advance = jax.jit(self._advance)
        self.score = jax.jit(self._score, static_argnums=2)
        self.right = jax.jit(self._right)
        self.population = jax.jit(jax.vmap(self._score, in_axes=(0, 0, None)), static_argnums=2)

    def _train(self, encoding: jax.Array, key: jax.Array) -> tuple[Any, jax.Array]:
        """Returns the parameters of a configuration after its training, and a key to judge them with."""
        start, learn, judge = jax.random.split(key, 3)
        inner = self.problems.encoded.inner
        end, _ = inner.run(encoding, inner.begin(encoding, start), self.counter, learn)
        return end.params, judge

    def _score(self, encoding: jax.Array, key: jax.Array, part: str) -> tuple[jax.Array, jax.Array]:
        """Trains a configuration; returns the loss and the accuracy on a part of the rows."""
        params, judge = self._train(encoding, key)
        loss, info = self.problems.encoded.outer_loss(encoding, params, self.parts[part], judge)
        return loss, info["accuracy"]

    def _right(self, encoding: jax.Array, key: jax.Array) -> jax.Array:
        """Trains a configuration; returns which test rows are right: f32[rows], 0 or 1."""
        params, judge = self._train(encoding, key)
        accuracy_of = lambda x, y: self.problems.encoded.outer_loss(encoding, params, (x[None], y[None]), judge)[1][
            "accuracy"
        ]
        return jax.vmap(accuracy_of)(*self.parts["test"])

    def _advance(self, logits: Any, state: Any, free: Any, key: jax.Array):
        """Steps the logits that are free, by the hypergradient through a whole training; also returns the encoding."""
        grad = self.estimate(logits, None, self.counter, self.parts["validation"], key).grad
        grad = jax.tree.map(lambda g, f: jnp.where(f & jnp.isfinite(g), g, 0.0), grad, free)
        updates, state = self.optimizer.update(grad, state)
        logits = optax.apply_updates(logits, updates)
        return logits, state, SPACE.relax(logits)

    def warm(self) -> None:
        """Compiles everything that a search uses."""
        logits, free = SPACE.logits(DEFAULT), dict.fromkeys(SPACE.domains, True)
        jax.block_until_ready(self.advance(logits, self.optimizer.init(logits), free, jax.random.key(0)))
        SPACE.decode(jnp.zeros((1, SPACE.width)))
        jax.block_until_ready(self.score(jnp.zeros(SPACE.width), jax.random.key(0), "validation"))


class Best:
    """What a search has found so far, and its clock.

    Attributes:
        encoding: The best configuration by validation loss.
        loss: Its validation loss.
        trained: The number of configurations that were trained.
        hypergradients: The number of hypergradients that were taken.
        until: The end of the search.
    """

    def __init__(self, setting: Setting, key: jax.Array, seconds: float):
        self.setting, self.key = setting, key
        self.encoding, self.loss, self.trained = np.zeros(SPACE.width, np.float32), np.inf, 0
        self.hypergradients = 0
        self.until = time.perf_counter() + seconds

    @property
    def is_over(self) -> bool:
        return time.perf_counter() > self.until

    def train(self, config: dict[str, Any]) -> float:
        """Trains a configuration, keeps it if it is the best, and returns its validation loss."""
        encoding = SPACE.encode(SPACE.configs([config]))[0]
        loss = float(self.setting.score(encoding, jax.random.fold_in(self.key, self.trained), "validation")[0])
        self.trained += 1
        if np.isfinite(loss) and loss < self.loss:
            self.encoding, self.loss = np.asarray(encoding), loss
        return loss


def by_gradient(
    best: Best, config: Any, key: Key, start: dict[str, Any], is_free: Callable[[str], bool], until: float
) -> dict[str, Any]:
    """Descends the logits whose names are free until the time, and decides now and then; returns the last decision."""
    logits, setting = start, best.setting
    state, free = setting.optimizer.init(logits), {name: is_free(name) for name in SPACE.domains}
    decided, trained_configs, encoding = {}, [], SPACE.relax(logits)
    for step in itertools.count():
        is_over = step > 0 and time.perf_counter() > until
        if is_over or step % config.decide_every == config.decide_every - 1:
            decided = SPACE.decode(encoding[None])[0]
            if decided not in trained_configs:
                best.train(decided)
                trained_configs.append(decided)
        if is_over:
            break
        logits, state, encoding = setting.advance(logits, state, free, jax.random.fold_in(key, step))
        best.hypergradients += 1
    return decided


def jointly(best: Best, config: Any, key: Key, seed: int) -> None:
    """Searches architecture and hyperparameters by one gradient."""
    by_gradient(best, config, key, SPACE.logits(DEFAULT), lambda name: True, best.until)


def one_after_the_other(best: Best, config: Any, key: Key, seed: int) -> None:
    """Searches the architecture in the first half of the time, and the hyperparameters of the decided one in the second."""
    is_layer = lambda name: name.startswith("layer")
    half = best.until - config.seconds / 2
    decided = by_gradient(best, config, key, SPACE.logits(DEFAULT), is_layer, half)
    layers = {name: value for name, value in decided.items() if is_layer(name)}
    # an operation that is decided weighs nearly one
    fixed = {n: 20.0 * v if is_layer(n) else v for n, v in SPACE.logits({**DEFAULT, **layers}).items()}
    by_gradient(best, config, key, fixed, lambda name: not is_layer(name), best.until)


def by_tpe(best: Best, config: Any, key: Key, seed: int) -> None:
    """Searches by Optuna's multivariate TPE."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True))
    while not best.is_over:
        trial = study.ask(interop.to_optuna(SPACE))
        loss = best.train({**trial.params})
        study.tell(trial, loss if np.isfinite(loss) else 1e6)


def at_random(best: Best, config: Any, key: Key, seed: int) -> None:
    """Trains drawn configurations."""
    for draw in itertools.count():
        if best.is_over:
            break
        best.train(SPACE.dicts(SPACE.sample(jax.random.fold_in(key, draw), 1))[0])


SEARCHES: dict[str, Callable[[Best, Any, Key, int], None]] = {
    "joint": jointly,
    "one after the other": one_after_the_other,
    "tpe": by_tpe,
    "random": at_random,
}


def search(method: str, setting: Setting, config: Any, seed: int) -> Best:
    """Runs one method for its seconds."""
    key = jax.random.fold_in(jax.random.key(seed), METHODS.index(method))
    setting.warm()
    best = Best(setting, stream(key, "trainings"), config.seconds)
    SEARCHES[method](best, config, key, seed)
    return best


def truth(setting: Setting, chunk: int = 144) -> np.ndarray:
    """Returns the test accuracy of every configuration, as the mean of two trainings."""
    encodings = SPACE.encode(SPACE.at(np.arange(SPACE.size)))
    scores = []
    for first in range(0, len(encodings), chunk):
        part = encodings[first : first + chunk]
        keys = [jax.random.split(jax.random.fold_in(jax.random.key(10**6 + s), first), len(part)) for s in range(2)]
        scores.append(np.mean([setting.population(part, k, "test")[1] for k in keys], axis=0))
    return np.nan_to_num(np.concatenate(scores))
