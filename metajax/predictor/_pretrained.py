"""Models that have learned on other datasets how to learn on a new one from a few trainings."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax import bilevel
from metajax.predictor import targets
from metajax.predictor._specs import DENSE, Spec, descend, layers, matern, through
from metajax.predictor._trials import Trials
from metajax.types import InputError, Key, stream


class _Tasks(NamedTuple):
    """Datasets as tasks, padded to the size of the largest: x f32[tasks, rows, d], y f32[tasks, rows] standardized within each,
    rows in each."""

    x: jax.Array
    y: jax.Array
    rows: jax.Array


def _tasks(trials: Trials, target: str, name: str) -> _Tasks:
    groups, sizes = np.unique(trials.group, return_counts=True)
    if len(groups) < 2 or sizes.min() < 4:
        raise InputError(
            f"{name}: {len(groups)} datasets of {sizes.min()} trials and more; accepted are 2 datasets or more of 4 or more"
        )
    # a group's own values: standardized over all, those of a dataset with small numbers would be lost in rounding
    goal = trials.utility if target == "value" else targets.make(trials, target).y
    most = int(sizes.max())
    x = np.zeros((len(groups), most, trials.space.width), np.float32)
    y = np.zeros((len(groups), most), np.float32)
    for i, group in enumerate(groups):
        inside = trials.group == group
        x[i, : sizes[i]] = trials.encodings[inside]
        y[i, : sizes[i]] = targets.standardize(goal[inside]).y
    return _Tasks(jnp.asarray(x), jnp.asarray(y), jnp.asarray(sizes))


def _draw(tasks: _Tasks, key: Key, number: int, rows: int) -> tuple[jax.Array, jax.Array]:
    """f32[number, rows, d] and f32[number, rows] of drawn datasets."""
    which, place = jax.random.split(key)
    task = jax.random.randint(which, (number,), 0, len(tasks.rows))
    row = jax.random.randint(place, (number, rows), 0, tasks.rows[task][:, None])
    return tasks.x[task[:, None], row], tasks.y[task[:, None], row]


def rescale_labels(key: Key, y: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    """f[tasks, rows]: the labels of each task on a scale of its own, ``(y - l) / (u - l)`` with ``l < u`` drawn uniformly from
    ``[low, high]``: the augmentation by which FSBO learns to do without knowing the range of a new dataset."""
    drawn = jax.random.uniform(key, (2, len(y), 1), y.dtype, low, high)
    lower, upper = jnp.min(drawn, axis=0), jnp.max(drawn, axis=0)
    return (y - lower) / jnp.maximum(upper - lower, 0.01 * (high - low))


def deep_kernel(
    trials: Trials,
    target: str = "rank",
    key: Key | None = None,
    hidden: Sequence[int] = (32, 32),
    features: int = 16,
    steps: int = 1000,
    tune: int = 20,
    rows: int = 32,
    rescale: bool = False,
) -> Spec:
    """A Gaussian process on learned features, pretrained on other datasets as tasks: the deep kernel of FSBO (Wistuba and
    Grabocka 2021, arXiv:2101.07667).

    Features, constant, amplitude, length and noise maximize the marginal likelihood of small draws from one dataset at a time.
    On a new dataset all of them are tuned a little, and the posterior is exact. FSBO's evolutionary warm start is no part of a
    model: it is ``search.warm_start``.

    What differs from the paper: labels are standardized within each dataset, as ``predictor.fit`` standardizes those of a new
    one, so that their scale is known. The paper leaves them as they are and learns to do without their range:
    ``rescale=True`` adds its random label scales (``rescale_labels``, where the drawn range is at least a hundredth of the
    whole, since a smaller one makes labels of any size). The authors' later code (github.com/machinelearningnuremberg/FSBO)
    does not: it maps the labels of each dataset to [0, 1]. Where the scale is known, random scales cost accuracy: on 12
    synthetic datasets with 4 trials each the correlation with the truth was .78 with them and .87 without, after 1000 steps.
    That code has four hidden layers of 32, draws 64 trials and takes one step of Adam on one dataset after the other, at a
    rate that falls from 1e-4 by a cosine. Here a step averages 8 datasets, and gradients are clipped.

    Args:
        trials: of several datasets (groups). Context is not read.
        target: what is taught, standardized within each dataset.
        key: of initialization and draws.
        hidden: widths of the network's hidden layers.
        features: width of its output.
        steps: of pretraining, 8 datasets each.
        tune: steps on a new dataset.
        rows: trials in each draw.
        rescale: whether labels are put on random scales in pretraining, as published.

    Raises:
        InputError: if there is one dataset only, or one of fewer than 4 trials.
    """
    tasks, key = _tasks(trials, target, "deep_kernel"), jax.random.key(0) if key is None else key
    log = {
        name: jnp.full((), value, jnp.float32) for name, value in (("amplitude", 0.0), ("length", 0.0), ("noise", -2.0))
    }
    net = layers(stream(key, "init"), (trials.space.width, *hidden, features))
    begun = {"net": net, "log": log, "constant": jnp.zeros(())}
    low, high = jnp.min(tasks.y), jnp.max(tasks.y)

    def gram(params, x, z):
        scale = jnp.exp(-params["log"]["length"]) * features**-0.5
        return jnp.exp(params["log"]["amplitude"]) * matern(through(params["net"], x), through(params["net"], z), scale)

    def factorize(params, x, weight):
        noise = jnp.exp(params["log"]["noise"]) + 1e-3
        return jnp.linalg.cholesky(gram(params, x, x) + jnp.diag(noise / jnp.maximum(weight, 1e-6)))

    def negative_log_likelihood(params, x, y, weight):
        factor = factorize(params, x, weight)
        solved = jax.scipy.linalg.solve_triangular(factor, (y - params["constant"]) * weight, lower=True)
        return 0.5 * jnp.sum(solved**2) + jnp.sum(jnp.log(jnp.diag(factor)) * (weight > 0).astype(x.dtype))

    def batch_loss(params, key):
        x, y = _draw(tasks, stream(key, "rows"), 8, rows)
        y = rescale_labels(stream(key, "scale"), y, low, high) if rescale else y
        return jnp.mean(jax.vmap(lambda x, y: negative_log_likelihood(params, x, y, jnp.ones(rows)))(x, y)) / rows

    learner = bilevel.supervised(lambda key: begun, lambda p, k, _: (batch_loss(p, k), {}), _clipped(1e-3))
    params = _run(learner, key, steps).params

    def fit(key, x, y, weight, blocks, start=None):
        known = (weight > 0).astype(x.dtype)
        loss = lambda p: negative_log_likelihood(p, x, y, known) / jnp.maximum(jnp.sum(known), 1.0)
        tuned = descend(loss, params if start is None else start["own"], _clipped(1e-3), tune)
        factor = factorize(tuned, x, weight)
        alpha = jax.scipy.linalg.cho_solve((factor, True), (y - tuned["constant"]) * known)
        return {"own": tuned, "x": x, "factor": factor, "alpha": alpha}

    def apply(fitted, x):
        cross = gram(fitted["own"], x, fitted["x"])
        solved = jax.scipy.linalg.solve_triangular(fitted["factor"], cross.T, lower=True)
        variance = jnp.exp(fitted["own"]["log"]["amplitude"]) - jnp.sum(solved**2, axis=0)
        return fitted["own"]["constant"] + cross @ fitted["alpha"], jnp.sqrt(jnp.maximum(variance, 1e-6))

    return Spec("deep kernel", fit, apply, most=DENSE)


def maml(
    trials: Trials,
    target: str = "rank",
    key: Key | None = None,
    hidden: Sequence[int] = (64, 64),
    steps: int = 1000,
    inner_steps: int = 5,
    inner_rate: float = 0.05,
    rows: int = 16,
) -> Spec:
    """A network whose initialization has learned on other datasets to adapt by a few gradient steps (Finn et al. 2017),
    datasets as tasks, exact second order. With no trials of the new dataset it is the initialization.

    Args:
        trials: of several datasets (groups). Context is not read.
        target: what is taught, standardized within each dataset.
        key: of initialization and draws.
        hidden: of the network.
        steps: of meta-learning, 16 datasets each.
        inner_steps, inner_rate: of gradient descent on a dataset.
        rows: trials to adapt to, and as many to be judged on.

    Raises:
        InputError: if there is one dataset only, or one of fewer than 4 trials.
    """
    tasks, key = _tasks(trials, target, "maml"), jax.random.key(0) if key is None else key

    def loss(params, batch):
        x, y, weight = batch
        error = weight * (through(params, x)[:, 0] - y) ** 2
        return jnp.sum(error) / jnp.maximum(jnp.sum(weight), 1e-6)

    task_loss = lambda hyper, params, batch, key: (loss(params, batch), {})
    inner = bilevel.Inner.descent(task_loss, lambda hyper, key: hyper, lambda hyper: optax.sgd(inner_rate))
    problem = bilevel.Problem(inner, task_loss)
    estimator = bilevel.batched(bilevel.unroll())
    search = bilevel.learner(problem, estimator, optax.adam(1e-3), inner_steps, warm_start=False)

    def update(state, key):
        x, y = _draw(tasks, key, 16, 2 * rows)
        part = lambda half: (x[:, half], y[:, half], jnp.ones((16, rows), x.dtype))
        support = jax.tree.map(lambda a: jnp.broadcast_to(a, (inner_steps, *a.shape)), part(slice(None, rows)))
        return search.update(state, (support, part(slice(rows, None))))

    learner = search._replace(
        init=lambda key: search.init(key, layers(stream(key, "init"), (trials.space.width, *hidden, 1))), update=update
    )
    initial = _run(learner, key, steps).hyper

    def fit(key, x, y, weight, blocks, start=None):
        path = bilevel.trajectory(problem, initial if start is None else start["net"], (x, y, weight), inner_steps, key)
        net = jax.tree.map(lambda a: a[-1], path)
        return {"net": net, "variance": loss(net, (x, y, weight)) + 1e-2}

    def apply(params, x):
        mean = through(params["net"], x)[:, 0]
        return mean, jnp.broadcast_to(jnp.sqrt(params["variance"]), mean.shape)

    return Spec("maml", fit, apply)


def _clipped(rate: float) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(10.0), optax.adam(rate))


def _run(learner: Any, key: Key, steps: int) -> Any:
    """The state after so many updates, each on a key of its own."""

    @jax.jit
    def whole(key):
        keys = jax.random.split(stream(key, "steps"), steps)
        return jax.lax.scan(
            lambda state, k: (learner.update(state, k)[0], None), learner.init(stream(key, "state")), keys
        )[0]

    return whole(key)
