"""CAVIA (Zintgraf et al. 2019, arXiv:1810.03642): only a small context vector adapts, an additional input."""

import jax.numpy as jnp
import optax

from metajax import bilevel
from metajax.fewshot._method import Method, by_gradient
from metajax.types import InputError, LossFn


def cavia(
    loss: LossFn,
    size: int,
    inner_optimizer: optax.GradientTransformation,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int = 1,
    test_steps: int | None = None,
    chunk: int | None = None,
) -> Method:
    """Fast context adaptation: the context begins at zero for every task and takes the inner steps alone.

    Args:
        loss: of ``{"params": weights, "context": f32[size]}``: build it from an ``apply`` that reads both.
        size: of the context; 5 for the paper's sinusoids, 100 for its images.
        inner_optimizer, outer_optimizer, inner_steps, test_steps, chunk: as in ``maml``.

    Example:
        >>> import jax
        >>> from metajax import fewshot, nn
        >>> init, apply = nn.functional(lambda rngs: nn.MLP(1 + 5, (40, 40), 1, rngs=rngs))
        >>> see = lambda p, x: apply(p["params"], nn.with_context(x, p["context"]))
        >>> method = cavia(fewshot.squared_error(see), 5, optax.sgd(1.0), optax.adam(1e-3))
        >>> state = method.init(jax.random.key(0), init(jax.random.key(1)))
        >>> method.adapt(state.hyper, fewshot.episodes.sinusoid(10, 1)(jax.random.key(2)).support, jax.random.key(3)).shape
        (2, 5)
    """
    if size < 1:
        raise InputError(f"cavia: size={size}; accepted is a positive whole number")
    see = lambda hyper, context, batch, key: loss({"params": hyper, "context": context}, batch, key)
    inner = bilevel.Inner.descent(see, lambda hyper, key: jnp.zeros(size), lambda hyper: inner_optimizer)
    problem = bilevel.Problem(inner, see)
    return by_gradient(problem, bilevel.unroll(), outer_optimizer, inner_steps, test_steps, chunk=chunk)
