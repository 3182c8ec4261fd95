"""Hypergradients by forward mode through the inner loop."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from metajax.bilevel._inner import Descent, InnerState
from metajax.bilevel._probe import warn_of_nan_derivative
from metajax.bilevel._problem import Estimator, Hypergradient, Problem, descent_estimator
from metajax.bilevel._unroll import learn_and_judge
from metajax.types import Batch, Hyper, Key


def forward() -> Estimator:
    r"""Differentiates through the inner loop by forward mode, a tangent for each hyperparameter.

    The tangents $Z_s = dw_s/dh$ run along with the inner steps $w_{s+1} = \Phi_s(w_s, h)$:

    $$Z_{s+1} = \frac{\partial \Phi_s}{\partial w_s} Z_s + \frac{\partial \Phi_s}{\partial h}, \qquad
    \frac{dF}{dh} = \frac{\partial F}{\partial h} + Z_S^\top \, \frac{\partial F}{\partial w_S}$$

    The estimate equals that of ``unroll``. Memory does not depend on the number of inner steps, and time is proportional to
    the number of hyperparameters: for a handful of them over a long inner loop.

    Returns:
        An estimator for problems made with ``Inner.descent``.

    Raises:
        InputError: When it is given a problem made with ``Inner.solution``.

    References:
        Franceschi et al. 2017, "Forward and reverse gradient-based hyperparameter optimization", arXiv:1703.01785.

    Example:
        >>> import optax
        >>> from metajax import bilevel
        >>> bowl = lambda h, w, batch, key: (0.5 * w**2, {})
        >>> inner = bilevel.Inner.descent(bowl, lambda h, key: jnp.ones(()), lambda h: optax.sgd(h))
        >>> args = jnp.asarray(0.5), None, jnp.zeros(3), jnp.zeros(()), jax.random.key(0)
        >>> float(bilevel.forward()(bilevel.Problem(inner, bowl))(*args).grad)  # -3 (1 - h)^5
        -0.09375
    """
    return descent_estimator("forward", _estimate)


def _estimate(
    problem: Problem[Descent],
    hyper: Hyper,
    start: InnerState | None,
    inner_batches: Batch,
    outer_batch: Batch,
    key: Key,
) -> Hypergradient:
    """The hypergradient by a tangent for each hyperparameter; see ``forward``."""
    inner = problem.inner
    warn_of_nan_derivative(inner, hyper, key)
    flat, unravel = ravel_pytree(hyper)

    def value(vector):
        return learn_and_judge(problem, unravel(vector), start, inner_batches, outer_batch, key)

    def push(tangent):
        return jax.jvp(value, (flat,), (tangent,), has_aux=True)

    loss, grad, aux = jax.vmap(push, out_axes=(None, 0, None))(jnp.eye(flat.size, dtype=flat.dtype))
    return Hypergradient(loss, unravel(grad), *aux)
