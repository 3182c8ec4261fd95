"""A Gaussian process whose prior comes from other datasets."""

import jax
import jax.numpy as jnp
import optax

from metajax.predictor._kernel import matern
from metajax.predictor._networks import descend
from metajax.predictor._spec import DENSE_ROWS, Spec

# Initial logarithms of the hyperparameters, and the standard deviations of their normal priors: the scale of the target, the
# weight of the factors, the weight of the residual and its length, and the noise; weights and noise relative to the scale.
_START = {"scale": 0.0, "factors": 0.0, "residual": -1.4, "length": 0.0, "noise": -3.5}
_WIDTH = {"scale": 1.0, "factors": 0.7, "residual": 0.7, "length": 1.0, "noise": 1.0}
_FREE = 25.0
"""Prior variance of the constant, for a target of standard deviation 1."""


def transfer(sources: int, steps: int = 40, learning_rate: float = 0.1) -> Spec:
    r"""A Gaussian process for a new dataset, whose prior comes from other datasets.

    With the mean m and the factors Φ of the prior (``priors.average_prior`` or ``priors.meta_prior``), K other datasets and a
    Matérn kernel κ for what none of them has shown:

    $$f \sim \mathrm{GP}\Bigl(s \, m, \;\; s^2 \bigl(\tfrac{\varphi^2}{K} \, \Phi \Phi^\top + \tfrac14 \, m m^\top
    + \rho^2 \kappa_\ell\bigr) + c^2\Bigr)$$

    The constant c is large, so that the level of the new dataset is free. Scale, weights, length and noise are learned
    from the trials of the new dataset by gradient of the marginal likelihood. Without trials, the model is the prior.

    Args:
        sources: K, the number of other datasets. The first 1 + K columns of the inputs are
            ``TransferPrior.columns``, the others the encoding.
        steps: Steps of Adam on the hyperparameters; fine-tuning takes a quarter of them.
        learning_rate: Learning rate of Adam.

    Returns:
        The spec ``"transfer"``, for up to 8,192 rows.

    References:
        Wang et al., Pre-trained Gaussian processes for Bayesian optimization, 2021, arXiv:2109.08215.

    Deviations:
        The empirical prior over other datasets is that of HyperBO (Wang et al.). Scale, residual and free constant are added
        here, and ``priors.meta_prior`` predicts the mean from meta-features.

    Example:
        >>> from metajax.predictor import priors
        >>> prior = priors.average_prior([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
        >>> spec = priors.transfer(sources=2)
        >>> x = jnp.concatenate([prior.columns(slice(None)), jnp.eye(3, dtype=jnp.float32)], axis=1)
        >>> fitted = spec.fit(jax.random.key(0), x, jnp.zeros(3), jnp.zeros(3), jnp.arange(6))
        >>> int(jnp.argmax(spec.apply(fitted, x)[0]))
        2
    """

    def covariance(log, x, z):
        common = jnp.exp(log["factors"]) ** 2 / sources * x[:, 1 : 1 + sources] @ z[:, 1 : 1 + sources].T
        common = common + 0.25 * x[:, :1] * z[:, 0][None]
        near = jnp.exp(log["residual"]) ** 2 * matern(x[:, 1 + sources :], z[:, 1 + sources :], jnp.exp(-log["length"]))
        return _FREE + jnp.exp(log["scale"]) ** 2 * (common + near)

    def factorize(log, x, y, weight):
        noise = jnp.exp(log["scale"] + log["noise"]) ** 2 + 1e-4
        factor = jnp.linalg.cholesky(covariance(log, x, x) + jnp.diag(noise / jnp.maximum(weight, 1e-6)))
        return factor, (weight > 0).astype(y.dtype) * (y - jnp.exp(log["scale"]) * x[:, 0])

    def fit(key, x, y, weight, blocks, start=None):
        initial = {k: jnp.asarray(v, x.dtype) for k, v in _START.items()}

        def negative_log_posterior(log):
            factor, residual = factorize(log, x, y, weight)
            solved = jax.scipy.linalg.solve_triangular(factor, residual, lower=True)
            prior = sum((log[k] - initial[k]) ** 2 / (2 * _WIDTH[k] ** 2) for k in log)
            # A row of weight 0 must not influence the noise either.
            return 0.5 * jnp.sum(solved**2) + jnp.sum(jnp.log(jnp.diag(factor)) * (weight > 0).astype(x.dtype)) + prior

        log, count = (initial, steps) if start is None else (start["log"], max(1, steps // 4))
        log = descend(negative_log_posterior, log, optax.adam(learning_rate), count)
        factor, residual = factorize(log, x, y, weight)
        return {"log": log, "x": x, "factor": factor, "alpha": jax.scipy.linalg.cho_solve((factor, True), residual)}

    def apply(params, x):
        log = params["log"]
        cross = covariance(log, x, params["x"])
        solved = jax.scipy.linalg.solve_triangular(params["factor"], cross.T, lower=True)
        prior_variance = 0.25 * x[:, 0] ** 2 + jnp.exp(log["residual"]) ** 2
        prior_variance = prior_variance + jnp.exp(log["factors"]) ** 2 / sources * jnp.sum(
            x[:, 1 : 1 + sources] ** 2, axis=1
        )
        variance = _FREE + jnp.exp(log["scale"]) ** 2 * prior_variance - jnp.sum(solved**2, axis=0)
        return jnp.exp(log["scale"]) * x[:, 0] + cross @ params["alpha"], jnp.sqrt(jnp.maximum(variance, 1e-6))

    return Spec("transfer", fit, apply, max_rows=DENSE_ROWS)
