"""Hypergradients of the last inner step by a finite difference: DARTS' approximation of the Hessian-vector product."""

import jax
import jax.numpy as jnp
import optax

from metajax.bilevel._inner import Descent, InnerState, step_key
from metajax.bilevel._probe import warn_of_nan_derivative
from metajax.bilevel._problem import Estimator, Hypergradient, Problem, descent_estimator, split
from metajax.bilevel._scan import length
from metajax.types import Batch, Hyper, InputError, Key


def finite_difference(eps: float = 0.01) -> Estimator:
    r"""Differentiates the last inner step, with its mixed second derivative by a central difference of two gradients.

    With the outer gradient v in the parameters, pulled back through the update of the inner optimizer, the mixed term is
    (Liu et al. 2019, equation 8)

    $$\frac{1}{2 \epsilon} \Bigl(\frac{\partial f}{\partial h}(h, w + \epsilon v)
    - \frac{\partial f}{\partial h}(h, w - \epsilon v)\Bigr), \qquad \epsilon = \frac{\mathrm{eps}}{\lVert v \rVert}$$

    It is kept as a check: ``unroll(truncate=1)`` is exact and as cheap.

    Args:
        eps: The distance in the parameters that the difference spans to each side, a positive number; 0.01 in the paper.

    Returns:
        An estimator for problems made with ``Inner.descent``.

    Raises:
        InputError: If ``eps`` is not positive; later, if the problem is made with ``Inner.solution``.

    Deviations:
        Pulling back through the update allows any optax transformation. For plain gradient descent it is the paper's formula.

    References:
        Liu et al. 2019, "DARTS: Differentiable architecture search", arXiv:1806.09055.

    Example:
        >>> from metajax import bilevel
        >>> fit = lambda h, w, batch, key: (0.5 * (w - jnp.tanh(h)) ** 2, {})
        >>> inner = bilevel.Inner.descent(fit, lambda h, key: jnp.zeros(()), lambda h: optax.sgd(0.1))
        >>> problem = bilevel.Problem(inner, lambda h, w, batch, key: (0.5 * (w - 1.0) ** 2, {}))
        >>> args = jnp.asarray(0.5), None, jnp.zeros(3), jnp.zeros(()), jax.random.key(0)
        >>> rough, exact = (e(problem)(*args).grad for e in (bilevel.finite_difference(), bilevel.unroll(truncate=1)))
        >>> round(float(rough), 3), round(float(exact), 3)
        (-0.069, -0.069)
    """
    if eps <= 0:
        raise InputError(f"finite_difference: eps must be a positive number, got {eps}")
    return descent_estimator("finite_difference", _estimate, eps)


def _estimate(
    problem: Problem[Descent],
    eps: float,
    hyper: Hyper,
    start: InnerState | None,
    inner_batches: Batch,
    outer_batch: Batch,
    key: Key,
) -> Hypergradient:
    """The hypergradient of the last of the inner steps; see ``finite_difference``."""
    inner = problem.inner
    warn_of_nan_derivative(inner, hyper, key)
    keys, steps = split(key), length(inner_batches)
    state = inner.begin(hyper, keys.init) if start is None else start
    if steps > 1:
        state, _ = inner.run(hyper, state, jax.tree.map(lambda x: x[:-1], inner_batches), keys.inner)
    batch = jax.tree.map(lambda x: x[-1], inner_batches)
    last_key = step_key(keys.inner, steps - 1)

    def inner_value(h, params):
        return inner.loss(h, params, batch, last_key)[0]

    def update(h, grads):
        updates, opt_state = inner.optimizer(h).update(grads, state.opt_state, state.params)
        return optax.apply_updates(state.params, updates), opt_state

    inner_loss, grads = jax.value_and_grad(inner_value, argnums=1)(hyper, state.params)
    params, pull_back, opt_state = jax.vjp(update, hyper, grads, has_aux=True)
    outer = jax.value_and_grad(problem.outer_loss, argnums=(0, 1), has_aux=True)
    (value, info), (direct, pull) = outer(hyper, params, outer_batch, keys.outer)
    through_optimizer, vector = pull_back(pull)

    # (∂²inner/∂h∂w)·vector, by moving the parameters along the vector
    radius = eps / jnp.maximum(optax.tree.norm(vector), 1e-12)
    moved = [jax.tree.map(lambda w, v, s=s: w + s * radius * v, state.params, vector) for s in (1.0, -1.0)]
    plus, minus = (jax.grad(inner_value)(hyper, w) for w in moved)
    mixed = jax.tree.map(lambda p, m: (p - m) / (2 * radius), plus, minus)
    grad = jax.tree.map(lambda *parts: sum(parts[1:], parts[0]), direct, through_optimizer, mixed)
    return Hypergradient(value, grad, InnerState(params, opt_state), {**info, "inner_loss": inner_loss})
