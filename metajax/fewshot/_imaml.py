"""iMAML (Rajeswaran et al. 2019, arXiv:1909.04630): MAML by implicit differentiation of a proximal inner problem."""

import jax
import jax.numpy as jnp
import optax

from metajax import bilevel
from metajax.fewshot._method import Method, by_gradient
from metajax.types import InputError, LossFn


def imaml(
    loss: LossFn,
    inner_optimizer: optax.GradientTransformation,
    outer_optimizer: optax.GradientTransformation,
    strength: float = 2.0,
    inner_steps: int = 16,
    test_steps: int | None = None,
    iterations: int = 5,
    damping: float = 0.0,
    chunk: int | None = None,
) -> Method:
    """Adapts on ``loss + strength/2 · ‖params - initialization‖²`` and solves ``(I + H/strength) x = g`` by conjugate
    gradient, so that memory does not grow with the inner steps.

    Exact where the inner steps have converged and ``H + strength·I`` is positive definite. This is the paper's problem. The
    authors' code (github.com/aravindr93/imaml_dev) takes the inner steps on ``loss`` alone, with one step on the proximal term
    after them, and solves ``(2 I + H / (strength + 10)) x = g``.

    Args:
        strength: λ of the proximal term; 2.0 in the paper's Omniglot 5-way 1-shot.
        inner_steps: 16 in the paper's Omniglot.
        iterations: of conjugate gradient; 5 in the paper.
        damping: added to the diagonal of the Hessian in the solve.
        loss, inner_optimizer, outer_optimizer, test_steps, chunk: as in ``maml``.

    Raises:
        InputError: if ``strength`` is not positive.

    Example:
        >>> from metajax import fewshot, nn
        >>> init, apply = nn.functional(lambda rngs: nn.MLP(1, (40, 40), 1, rngs=rngs))
        >>> method = imaml(fewshot.squared_error(apply), optax.sgd(0.05), optax.adam(1e-3))
        >>> method.train_steps
        16
    """
    if strength <= 0:
        raise InputError(f"imaml: strength={strength}; accepted are positive numbers")

    def proximal(hyper, params, batch, key):
        value, info = loss(params, batch, key)
        apart = jax.tree.map(lambda w, h: jnp.sum(jnp.square(w - h)), params, hyper)
        return value + 0.5 * strength * sum(jax.tree.leaves(apart)), info

    inner = bilevel.Inner.descent(proximal, lambda hyper, key: hyper, lambda hyper: inner_optimizer)
    problem = bilevel.Problem(inner, lambda hyper, params, batch, key: loss(params, batch, key))
    estimator = bilevel.implicit("cg", iterations, damping)
    return by_gradient(problem, estimator, outer_optimizer, inner_steps, test_steps, chunk=chunk)
