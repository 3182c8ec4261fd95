"""ANIL (Raghu et al. 2020, arXiv:1909.09157): almost no inner loop, only the head adapts."""

from typing import Any

import jax
import optax

from metajax import bilevel, nn
from metajax.fewshot._builders import ADAPTED, BuiltMethod, outer_optimizer
from metajax.fewshot._maml import maml_problem
from metajax.fewshot._method import Method, by_solution
from metajax.fewshot._recipe import Network, Recipe
from metajax.nn import Apply
from metajax.types import Hyper, Info, Key, LossFn, Params, Scalar


def anil(
    embed: Apply,
    loss_fn: LossFn,
    inner_optimizer: optax.GradientTransformation,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int = 1,
    test_steps: int | None = None,
    chunk: int | None = None,
) -> Method:
    r"""Almost no inner loop: MAML on the head alone, over features that are computed once for a task.

    With the body θ and the head ψ of a network, the inner steps move the head only:

    $$\min_{\theta, \psi} \; \frac1T \sum_\tau L_{Q_\tau}\bigl(\theta, \psi^\tau_S\bigr), \qquad
    \psi^\tau_0 = \psi, \quad \psi^\tau_{s+1} = \psi^\tau_s - \alpha \nabla_\psi L_{S_\tau}(\theta, \psi^\tau_s)$$

    It equals MAML in which only the head adapts, at a fraction of the cost. The parameters have the entries ``"body"`` and
    ``"head"``, as ``nn.chain`` makes them; both are meta-learned.

    Args:
        embed: The body, ``(body params, x) -> features``.
        loss_fn: Loss of the head, ``(head params, (features, y), key) -> (loss, info)``.
        inner_optimizer: Optimizer of the head's steps; see ``maml``.
        outer_optimizer: Optimizer of body and head.
        inner_steps: Adaptation steps in training, >= 1.
        test_steps: Adaptation steps in ``adapt``, >= 1. The default is ``inner_steps``.
        chunk: Number of tasks that are computed side by side; see ``maml``.

    Returns:
        The method. It adapts the parameters of the head.

    Deviations:
        The paper computes MAML with the body held fixed in the inner steps. Here the features of the support are computed
        once, which gives the same numbers. The authors published no code that could be found.

    References:
        Raghu et al. 2020, arXiv:1909.09157.

    Example:
        >>> from flax import nnx
        >>> from metajax import fewshot, nn
        >>> body = nn.functional(lambda rngs: nn.MLP(1, (40,), 40, rngs=rngs))
        >>> head = nn.functional(lambda rngs: nnx.Linear(40, 1, rngs=rngs))
        >>> method = anil(body.apply, fewshot.squared_error(head.apply), optax.sgd(0.01), optax.adam(1e-3))
        >>> state = method.init(jax.random.key(0), nn.chain(body, head).init(jax.random.key(1)))
        >>> waves = jax.jit(fewshot.episodes.tasks(fewshot.episodes.sinusoid(10, 10), 4))
        >>> state, info = jax.jit(method.update)(state, waves(jax.random.key(2)))
    """
    head = maml_problem(loss_fn, inner_optimizer)
    test_steps = inner_steps if test_steps is None else test_steps

    def path(hyper: Hyper, support: Any, key: Key, steps: int) -> Params:
        features = (embed(hyper["body"], support[0]), support[1])
        return bilevel.trajectory(head, hyper["head"], features, steps, key)

    def solve(hyper: Hyper, support: Any, key: Key) -> Params:
        return jax.tree.map(lambda x: x[-1], path(hyper, support, key, inner_steps))

    def query_loss(hyper: Hyper, learned: Params, batch: Any, key: Key) -> tuple[Scalar, Info]:
        return loss_fn(learned, (embed(hyper["body"], batch[0]), batch[1]), key)

    method = by_solution(solve, query_loss, outer_optimizer, chunk=chunk)
    adapt = lambda hyper, support, key: path(hyper, support, key, test_steps)
    return method._replace(adapt=adapt, train_steps=inner_steps, test_steps=test_steps)


def _build(recipe: Recipe, network: Network) -> BuiltMethod:
    """Builds ANIL, whose arguments separate the body and the head."""
    body, head = network.body(flatten=False, context=0), network.scores(recipe.ways)
    descent, steps = optax.sgd(recipe.inner_rate), (recipe.inner_steps, recipe.test_steps)
    loss_fn, outer = network.loss(head.apply), outer_optimizer(recipe, network)
    return anil(body.apply, loss_fn, descent, outer, *steps, recipe.chunk, **recipe.options), nn.chain(body, head).init


RECIPES = {"anil": Recipe(_build, anil, **ADAPTED)}
"""The recipes of this file by the names of the methods."""
