"""iMAML (Rajeswaran et al. 2019, arXiv:1909.04630): MAML by implicit differentiation of a proximal inner problem."""

import jax
import jax.numpy as jnp
import optax

from metajax import bilevel
from metajax.fewshot._builders import by_descent
from metajax.fewshot._method import Method, by_gradient
from metajax.fewshot._recipe import Recipe
from metajax.types import Batch, Hyper, Info, InputError, Key, LossFn, Params, Scalar


def imaml(
    loss_fn: LossFn,
    inner_optimizer: optax.GradientTransformation,
    outer_optimizer: optax.GradientTransformation,
    strength: float = 2.0,
    inner_steps: int = 16,
    test_steps: int | None = None,
    iterations: int = 5,
    damping: float = 0.0,
    chunk: int | None = None,
) -> Method:
    r"""MAML by implicit differentiation of a proximal inner problem, so that memory does not grow with the inner steps.

    The parameters of a task adapt close to the initialization h, and the gradient of the initialization is a linear solve by
    conjugate gradient, with the Hessian H of the support loss and the gradient of the query loss at the adapted parameters:

    $$w^* = \arg\min_w \; L_S(w) + \frac{\lambda}{2} \lVert w - h \rVert^2, \qquad
    \nabla_h L_Q(w^*) = \Bigl(I + \tfrac{1}{\lambda} H\Bigr)^{-1} \nabla L_Q(w^*)$$

    It is exact where the inner steps have converged and ``H + λ·I`` is positive definite.

    Args:
        loss_fn: Loss of a task; see ``maml``.
        inner_optimizer: Optimizer of the inner steps.
        outer_optimizer: Optimizer of the initialization.
        strength: λ of the proximal term, > 0; 2.0 in the paper's Omniglot 5-way 1-shot.
        inner_steps: Adaptation steps in training, >= 1; 16 in the paper's Omniglot.
        test_steps: Adaptation steps in ``adapt``, >= 1. The default is ``inner_steps``.
        iterations: Iterations of conjugate gradient, >= 1; 5 in the paper.
        damping: Number that is added to the diagonal of the Hessian in the solve, >= 0.
        chunk: Number of tasks that are computed side by side; see ``maml``.

    Returns:
        The method.

    Raises:
        InputError: If ``strength`` is not positive, or ``test_steps`` is less than 1.

    Deviations:
        This is the paper's problem. The authors' code (github.com/aravindr93/imaml_dev) takes the inner steps on the support
        loss alone, with one step on the proximal term after them, and solves ``(2 I + H / (λ + 10)) x = g``.

    References:
        Rajeswaran et al. 2019, arXiv:1909.04630.

    Example:
        >>> from metajax import fewshot, nn
        >>> init, apply = nn.functional(lambda rngs: nn.MLP(1, (40, 40), 1, rngs=rngs))
        >>> method = imaml(fewshot.squared_error(apply), optax.sgd(0.05), optax.adam(1e-3))
        >>> method.train_steps
        16
    """
    if strength <= 0:
        raise InputError(f"imaml: strength must be positive, got {strength}")

    def proximal(hyper: Hyper, params: Params, batch: Batch, key: Key) -> tuple[Scalar, Info]:
        value, info = loss_fn(params, batch, key)
        distances = jax.tree.map(lambda w, h: jnp.sum(jnp.square(w - h)), params, hyper)
        return value + 0.5 * strength * sum(jax.tree.leaves(distances)), info

    inner = bilevel.Inner.descent(proximal, lambda hyper, key: hyper, lambda hyper: inner_optimizer)
    problem = bilevel.Problem(inner, lambda hyper, params, batch, key: loss_fn(params, batch, key))
    estimator = bilevel.implicit("cg", iterations, damping)
    return by_gradient(problem, estimator, outer_optimizer, inner_steps, test_steps, chunk=chunk)


RECIPES = {
    "imaml": Recipe(by_descent, imaml, "gradient", {"strength": 2.0}, inner_rate=0.1, inner_steps=16, test_steps=16)
}
"""The recipes of this file by the names of the methods."""
