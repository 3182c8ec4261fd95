"""Meta-SGD (Li et al. 2017, arXiv:1707.09835): the initialization, and a learned rate for every parameter."""

import jax
import jax.numpy as jnp
import optax

from metajax import bilevel
from metajax.fewshot._builders import ONE_STEP, BuiltMethod, outer_optimizer, whole_network
from metajax.fewshot._method import Method, by_gradient
from metajax.fewshot._recipe import Network, Recipe
from metajax.types import LossFn, Params


def scaled(rates: Params) -> optax.GradientTransformation:
    """Gradient descent with ``rates``, a tree like the parameters; differentiable in them."""

    def move(updates, state, params=None):
        return jax.tree.map(lambda r, g: -r * g, rates, updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), move)


def meta_sgd(
    loss_fn: LossFn,
    learning_rate: float,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int = 1,
    test_steps: int | None = None,
    chunk: int | None = None,
) -> Method:
    r"""MAML whose inner rates, one for each parameter, are meta-learned with the initialization.

    The rates α are a vector of the size of w, so that both the direction and the length of an inner step are learned:

    $$\min_{h, \alpha} \; \frac1T \sum_\tau L_{Q_\tau}\bigl(w^\tau_S\bigr), \qquad
    w^\tau_0 = h, \quad w^\tau_{s+1} = w^\tau_s - \alpha \odot \nabla L_{S_\tau}(w^\tau_s)$$

    ``state.hyper`` has the entries ``"params"`` and ``"rates"``. The rates may become negative, as in the paper.

    Args:
        loss_fn: Loss of a task; see ``maml``.
        learning_rate: The initial rate of all parameters; one value drawn from [0.005, 0.1] in the paper.
        outer_optimizer: Optimizer of initialization and rates.
        inner_steps: Adaptation steps in training, >= 1; 1 in the paper.
        test_steps: Adaptation steps in ``adapt``, >= 1. The default is ``inner_steps``.
        chunk: Number of tasks that are computed side by side; see ``maml``.

    Returns:
        The method.

    Raises:
        InputError: If ``test_steps`` is less than 1.

    Deviations:
        All rates begin at a given value, while the paper draws it at random. The authors published no code that could be found.

    References:
        Li et al. 2017, arXiv:1707.09835.

    Example:
        >>> from metajax import fewshot, nn
        >>> init, apply = nn.functional(lambda rngs: nn.MLP(1, (40, 40), 1, rngs=rngs))
        >>> method = meta_sgd(fewshot.squared_error(apply), 0.01, optax.adam(1e-3))
        >>> state = method.init(jax.random.key(0), init(jax.random.key(1)))
        >>> sorted(state.hyper)
        ['params', 'rates']
    """
    task_loss = lambda hyper, params, batch, key: loss_fn(params, batch, key)
    inner = bilevel.Inner.descent(task_loss, lambda hyper, key: hyper["params"], lambda hyper: scaled(hyper["rates"]))
    problem = bilevel.Problem(inner, task_loss)

    def begin(params: Params) -> Params:
        return {"params": params, "rates": jax.tree.map(lambda w: jnp.full_like(w, learning_rate), params)}

    return by_gradient(problem, bilevel.unroll(), outer_optimizer, inner_steps, test_steps, begin, chunk=chunk)


def _build(recipe: Recipe, network: Network) -> BuiltMethod:
    """Builds Meta-SGD, which takes an initial rate in place of an optimizer."""
    model = whole_network(recipe, network)
    loss_fn, outer, steps = (
        network.loss(model.apply),
        outer_optimizer(recipe, network),
        (recipe.inner_steps, recipe.test_steps),
    )
    return meta_sgd(loss_fn, recipe.inner_rate, outer, *steps, recipe.chunk, **recipe.options), model.init


RECIPES = {
    "meta-sgd": Recipe(_build, meta_sgd, "gradient", **{**ONE_STEP, "test_steps": 1}, many_ways={"inner_rate": 0.1})
}
"""The recipes of this file by the names of the methods."""
