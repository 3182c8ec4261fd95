"""CAVIA (Zintgraf et al. 2019, arXiv:1810.03642): only a small context vector adapts, an additional input."""

import jax.numpy as jnp
import optax

from metajax import bilevel, nn
from metajax.fewshot._builders import ONE_STEP, BuiltMethod, outer_optimizer
from metajax.fewshot._method import Method, by_gradient
from metajax.fewshot._recipe import Network, Recipe
from metajax.types import InputError, LossFn


def cavia(
    loss_fn: LossFn,
    size: int,
    inner_optimizer: optax.GradientTransformation,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int = 1,
    test_steps: int | None = None,
    chunk: int | None = None,
) -> Method:
    r"""Fast context adaptation: only a small context vector, an additional input of the network, adapts to a task.

    The context c begins at zero for every task and takes the inner steps alone. The parameters θ of the network are
    meta-learned:

    $$\min_\theta \; \frac1T \sum_\tau L_{Q_\tau}\bigl(\theta, c^\tau_S\bigr), \qquad
    c^\tau_0 = 0, \quad c^\tau_{s+1} = c^\tau_s - \alpha \nabla_c L_{S_\tau}(\theta, c^\tau_s)$$

    ``state.hyper`` is θ.

    Args:
        loss_fn: Loss of a task whose parameters are ``{"params": network parameters, "context": f32[size]}``: make it from
            an apply function that reads both.
        size: Size of the context, >= 1; 5 for the paper's sinusoids, 100 for its images.
        inner_optimizer: Optimizer of the context; gradient descent with rate 1.0 in the paper.
        outer_optimizer: Optimizer of the network's parameters.
        inner_steps: Adaptation steps in training, >= 1.
        test_steps: Adaptation steps in ``adapt``, >= 1. The default is ``inner_steps``.
        chunk: Number of tasks that are computed side by side; see ``maml``.

    Returns:
        The method. It adapts the context f32[size].

    Raises:
        InputError: If ``size`` or ``test_steps`` is less than 1.

    Deviations:
        None in the method. The network is the caller's: ``nn.Conv4`` with a context scales and shifts its third layer (FiLM),
        as the paper's network for images does, and ``nn.with_context`` appends the context to the inputs, as the paper's
        network for sinusoids does.

    References:
        Zintgraf et al. 2019, arXiv:1810.03642.

    Example:
        >>> import jax
        >>> from metajax import fewshot, nn
        >>> init, apply = nn.functional(lambda rngs: nn.MLP(1 + 5, (40, 40), 1, rngs=rngs))
        >>> see = lambda p, x: apply(p["params"], nn.with_context(x, p["context"]))
        >>> method = cavia(fewshot.squared_error(see), 5, optax.sgd(1.0), optax.adam(1e-3))
        >>> state = method.init(jax.random.key(0), init(jax.random.key(1)))
        >>> wave = fewshot.episodes.sinusoid(10, 1)(jax.random.key(2))
        >>> method.adapt(state.hyper, wave.support, jax.random.key(3)).shape
        (2, 5)
    """
    if size < 1:
        raise InputError(f"cavia: size must be an integer >= 1, got {size}")
    loss_of_context = lambda hyper, context, batch, key: loss_fn({"params": hyper, "context": context}, batch, key)
    inner = bilevel.Inner.descent(loss_of_context, lambda hyper, key: jnp.zeros(size), lambda hyper: inner_optimizer)
    problem = bilevel.Problem(inner, loss_of_context)
    return by_gradient(problem, bilevel.unroll(), outer_optimizer, inner_steps, test_steps, chunk=chunk)


def _build(recipe: Recipe, network: Network) -> BuiltMethod:
    """Builds CAVIA, whose body takes the context as a second input."""
    body, head = network.body(flatten=False, context=recipe.options["size"]), network.scores(recipe.ways)
    init, apply = nn.chain(body, head)
    loss_fn = network.loss(lambda p, x: apply(p["params"], x, p["context"]))
    method = cavia(
        loss_fn,
        inner_optimizer=optax.sgd(recipe.inner_rate),
        outer_optimizer=outer_optimizer(recipe, network),
        inner_steps=recipe.inner_steps,
        test_steps=recipe.test_steps,
        chunk=recipe.chunk,
        **recipe.options,
    )
    return method, init


RECIPES = {"cavia": Recipe(_build, cavia, "gradient", {"size": 100}, **{**ONE_STEP, "inner_rate": 1.0})}
"""The recipes of this file by the names of the methods."""
