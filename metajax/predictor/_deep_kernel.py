"""A deep kernel that is pretrained on other datasets."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from metajax import bilevel
from metajax.predictor._kernel import matern
from metajax.predictor._networks import check_widths, descend, layers, network_output
from metajax.predictor._spec import DENSE_ROWS, Spec
from metajax.predictor._tasks import clipped, draw, run, tasks_of
from metajax.predictor._trials import Trials
from metajax.types import Key, stream


def rescale_labels(key: Key, y: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    """f[tasks, rows]: the labels of each task on a random scale of its own.

    The result is ``(y - l) / (u - l)`` with ``l < u`` drawn uniformly from ``[low, high]``. By this augmentation FSBO learns
    to do without knowing the range of a new dataset.
    """
    bounds = jax.random.uniform(key, (2, len(y), 1), y.dtype, low, high)
    lower, upper = jnp.min(bounds, axis=0), jnp.max(bounds, axis=0)
    return (y - lower) / jnp.maximum(upper - lower, 0.01 * (high - low))


def deep_kernel(
    trials: Trials,
    target: str = "rank",
    key: Key | None = None,
    hidden: Sequence[int] = (32, 32),
    features: int = 16,
    steps: int = 1000,
    tuning_steps: int = 20,
    batch_rows: int = 32,
    rescale: bool = False,
) -> Spec:
    r"""A Gaussian process on learned features, pretrained on other datasets as tasks: the deep kernel of FSBO.

    With a network φ, a Matérn-5/2 kernel κ and small samples $(X, y)$ of one other dataset at a time, pretraining maximizes the
    marginal likelihood over datasets D:

    $$\max_{\varphi, \theta} \; \mathbb{E}_{D} \, \log N\bigl(y_D \mid c, \; K_D + \sigma^2 I\bigr), \qquad
    k(x, z) = \alpha \, \kappa\Bigl(\frac{\varphi(x) - \varphi(z)}{\ell}\Bigr)$$

    Features, constant, amplitude, length and noise maximize the marginal likelihood of small samples from one dataset at a
    time. On a new dataset all of them are tuned a little, and the posterior is exact. The evolutionary warm start of FSBO is
    not part of a model: it is ``search.complementary``.

    Args:
        trials: Trials of two or more datasets (groups), with 4 trials or more each. Context is not read.
        target: What is learned, standardized within each dataset; see ``fit``.
        key: Random key for initialization and samples; ``jax.random.key(0)`` by default.
        hidden: Widths of the hidden layers of the network.
        features: Width of its output.
        steps: Steps of pretraining, on 8 datasets each.
        tuning_steps: Steps on a new dataset.
        batch_rows: Number of trials of each dataset in a step.
        rescale: Whether labels are put on random scales in pretraining, as published.

    Returns:
        The spec ``"deep kernel"``, for up to 8,192 rows of the same space.

    Raises:
        InputError: If there is only one dataset, or one of fewer than 4 trials.

    Deviations:
        Labels are standardized within each dataset, as ``predictor.fit`` standardizes those of a new one, so that their scale
        is known. The paper leaves them as they are and learns to do without their range: ``rescale=True`` adds its random label
        scales (the random range is at least a hundredth of the whole, since a smaller one makes labels of any size). The later
        code of the authors (github.com/machinelearningnuremberg/FSBO) does not: it maps the labels of each dataset to [0, 1].
        Where the scale is known, random scales cost accuracy: on 12 synthetic datasets with 4 trials each, the correlation with
        the truth was .78 with them and .87 without, after 1000 steps. That code has four hidden layers of 32, draws 64 trials,
        and takes one step of Adam on one dataset after the other, at a learning rate that falls from 1e-4 by a cosine. Here a
        step averages 8 datasets, and gradients are clipped.

    References:
        Wistuba and Grabocka, Few-shot Bayesian optimization with deep kernel surrogates, 2021, arXiv:2101.07667.

    Example:
        >>> import numpy as np
        >>> from metajax import predictor
        >>> from metajax.space import Float, Space
        >>> space = Space({"x": Float(0.0, 1.0, grid=9)})
        >>> every = space.dicts(space.at(range(9)))
        >>> metric = [-((c["x"] - best) ** 2) for best in (0.4, 0.5, 0.6) for c in every]
        >>> past = predictor.Trials.from_arrays(space, every * 3, metric, group=np.repeat([0, 1, 2], 9))
        >>> spec = predictor.deep_kernel(past, steps=20, batch_rows=8)
        >>> predictor.fit(past.take([0, 4]), spec, "value").predict([{"x": 0.5}])[0].shape
        (1,)
    """
    check_widths(hidden)
    tasks, key = tasks_of(trials, target, "deep_kernel"), jax.random.key(0) if key is None else key
    initial = _initial_params(key, (trials.space.width, *hidden, features))
    low, high = jnp.min(tasks.y), jnp.max(tasks.y)

    def batch_loss(params, key):
        x, y = draw(tasks, stream(key, "rows"), 8, batch_rows)
        y = rescale_labels(stream(key, "scale"), y, low, high) if rescale else y
        weight = jnp.ones(batch_rows)
        return jnp.mean(jax.vmap(lambda x, y: _negative_log_likelihood(params, x, y, weight))(x, y)) / batch_rows

    learner = bilevel.supervised(lambda key: initial, lambda p, k, _: (batch_loss(p, k), {}), clipped(1e-3))
    params = run(learner, key, steps).params

    def fit(key, x, y, weight, blocks, start=None):
        return _fit(params if start is None else start["own"], x, y, weight, tuning_steps)

    return Spec("deep kernel", fit, _apply, max_rows=DENSE_ROWS)


def _initial_params(key: Key, sizes: Sequence[int]) -> Any:
    """The network of these layer sizes, and the logarithms of amplitude, length scale and noise."""
    log = {
        name: jnp.full((), value, jnp.float32) for name, value in (("amplitude", 0.0), ("length", 0.0), ("noise", -2.0))
    }
    return {"net": layers(stream(key, "init"), sizes), "log": log, "constant": jnp.zeros(())}


def _gram(params, x, z):
    """The kernel between rows x and rows z."""
    features_x, features_z = network_output(params["net"], x), network_output(params["net"], z)
    scale = jnp.exp(-params["log"]["length"]) * features_x.shape[-1] ** -0.5
    return jnp.exp(params["log"]["amplitude"]) * matern(features_x, features_z, scale)


def _factorize(params, x, weight):
    """The Cholesky factor of the covariance of observations; a row of weight 0 has so much noise that it says nothing."""
    noise = jnp.exp(params["log"]["noise"]) + 1e-3
    return jnp.linalg.cholesky(_gram(params, x, x) + jnp.diag(noise / jnp.maximum(weight, 1e-6)))


def _negative_log_likelihood(params, x, y, weight):
    """The negative log marginal likelihood of the rows with a weight, up to a constant."""
    factor = _factorize(params, x, weight)
    solved = jax.scipy.linalg.solve_triangular(factor, (y - params["constant"]) * weight, lower=True)
    return 0.5 * jnp.sum(solved**2) + jnp.sum(jnp.log(jnp.diag(factor)) * (weight > 0).astype(x.dtype))


def _fit(params, x, y, weight, steps):
    """Tunes the parameters on the rows of a new dataset, and computes what the posterior needs."""
    mask = (weight > 0).astype(x.dtype)
    loss = lambda p: _negative_log_likelihood(p, x, y, mask) / jnp.maximum(jnp.sum(mask), 1.0)
    tuned = descend(loss, params, clipped(1e-3), steps)
    factor = _factorize(tuned, x, weight)
    alpha = jax.scipy.linalg.cho_solve((factor, True), (y - tuned["constant"]) * mask)
    return {"own": tuned, "x": x, "factor": factor, "alpha": alpha}


def _apply(params, x):
    """Mean and standard deviation of the posterior."""
    tuned = params["own"]
    cross = _gram(tuned, x, params["x"])
    solved = jax.scipy.linalg.solve_triangular(params["factor"], cross.T, lower=True)
    variance = jnp.exp(tuned["log"]["amplitude"]) - jnp.sum(solved**2, axis=0)
    return tuned["constant"] + cross @ params["alpha"], jnp.sqrt(jnp.maximum(variance, 1e-6))
