"""Ridge regression on the encoding."""

import jax
import jax.numpy as jnp

from metajax.predictor._forms import ridge_form
from metajax.predictor._spec import DENSE_ROWS, Spec
from metajax.types import InputError


def ridge(order: int = 1, penalty: float = 1.0) -> Spec:
    r"""Ridge regression on the encoding, or also on all products of two of its columns.

    With the columns φ(x), the targets y and the penalty λ, the mean is

    $$\mu(x) = w^\top \varphi(x), \qquad
    w = \arg\min_w \; \sum_i \bigl(w^\top \varphi(x_i) - y_i\bigr)^2 + \lambda \lVert w \rVert^2
    = \Phi^\top (\Phi \Phi^\top + \lambda I)^{-1} y$$

    It is solved in the dual, so that the cost is that of the rows. The standard deviation is that of the Bayesian
    linear model with the fitted noise. The mean is a formula: ``search.Certify`` maximizes it with a proof,
    ``search.anova`` decomposes it.

    Args:
        order: 1 for the columns of the encoding; 2 for these, their squares and all products of two columns.
        penalty: Weight of the squared norm of the coefficients, above 0.

    Returns:
        The spec ``"ridge1"`` or ``"ridge2"``.

    Raises:
        InputError: If ``order`` or ``penalty`` is out of range.

    Example:
        >>> from metajax import predictor
        >>> from metajax.space import Integer, Space
        >>> space = Space({"a": Integer(0, 3), "b": Integer(0, 3)})
        >>> product = [c["a"] * c["b"] for c in space.dicts(space.at(range(16)))]
        >>> trials = predictor.Trials.from_arrays(space, space.at(range(16)), product)
        >>> r2 = predictor.choose(trials, [predictor.ridge(1), predictor.ridge(2, penalty=1e-3)], "value").r2
        >>> r2["ridge1"] < r2["ridge2"], round(r2["ridge2"], 2)
        (True, 1.0)
    """
    if order not in (1, 2) or penalty <= 0:
        raise InputError(
            f"ridge: order must be 1 or 2 and penalty a number > 0, got order={order} and penalty={penalty}"
        )

    def features(x):
        parts = [jnp.ones((*x.shape[:-1], 1), x.dtype), x]
        if order == 2:
            rows, columns = jnp.triu_indices(x.shape[-1])
            parts.append(x[..., rows] * x[..., columns])
        return jnp.concatenate(parts, axis=-1)

    def fit(key, x, y, weight, blocks, start=None):
        # in the dual: f = Φ Φᵀ (Φ Φᵀ + λ/w)⁻¹ y
        gram = features(x) @ features(x).T
        noise = penalty / jnp.maximum(weight, 1e-6)
        factor = jnp.linalg.cholesky(gram + jnp.diag(noise))
        alpha = jax.scipy.linalg.cho_solve((factor, True), weight * y / jnp.maximum(weight, 1e-6))
        residual = weight * (y - gram @ alpha)
        variance = jnp.sum(residual**2) / jnp.maximum(jnp.sum(weight), 1.0) + 1e-6
        return {"x": x, "alpha": alpha, "factor": factor, "variance": variance}

    def apply(params, x):
        cross = features(x) @ features(params["x"]).T
        solved = jax.scipy.linalg.solve_triangular(params["factor"], cross.T, lower=True)
        prior = jnp.sum(features(x) ** 2, axis=-1)
        spread = jnp.maximum(prior - jnp.sum(solved**2, axis=0), 0.0) / penalty
        return cross @ params["alpha"], jnp.sqrt(params["variance"] * (1.0 + spread))

    return Spec(f"ridge{order}", fit, apply, lambda params: ridge_form(params, order), DENSE_ROWS)
