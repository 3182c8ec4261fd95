"""Model-agnostic meta-learning (Finn et al. 2017, arXiv:1703.03400) as a bilevel problem, of both orders."""

import dataclasses

import optax

from metajax import bilevel
from metajax.fewshot import parameters
from metajax.fewshot._builders import ADAPTED, BuiltMethod, by_descent, has_norms, whole_network
from metajax.fewshot._method import Method, by_gradient
from metajax.fewshot._recipe import Network, Recipe
from metajax.fewshot.parameters import Selection, combine, partition
from metajax.types import LossFn


def maml_problem(
    loss_fn: LossFn,
    inner_optimizer: optax.GradientTransformation,
    query_loss: LossFn | None = None,
    adapted: Selection | None = None,
) -> bilevel.Problem[bilevel.Descent]:
    """Returns MAML's bilevel problem: the hyperparameter is the initialization, both losses are the task's.

    Args:
        loss_fn: Loss of a task, ``(params, batch, key) -> (loss, info)``.
        inner_optimizer: Optimizer of the inner steps.
        query_loss: Loss of the adapted parameters, where it differs from ``loss_fn``.
        adapted: Selects the parameters that take inner steps; the others keep their initial values. ``None`` adapts all.

    Returns:
        The problem of one task, for ``by_gradient`` or for ``bilevel.trajectory``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from metajax import fewshot
        >>> problem = maml_problem(fewshot.squared_error(lambda w, x: w * x), optax.sgd(0.25))
        >>> task = jnp.ones(1), 2 * jnp.ones(1)
        >>> bilevel.trajectory(problem, jnp.zeros(()), task, 3, jax.random.key(0)).tolist()  # halfway to 2 at every step
        [0.0, 1.0, 1.5, 1.75]
    """
    outer_loss = query_loss or loss_fn
    if adapted is None:
        inner = bilevel.Inner.descent(
            loss=lambda hyper, params, batch, key: loss_fn(params, batch, key),
            init=lambda hyper, key: hyper,
            optimizer=lambda hyper: inner_optimizer,
        )
        return bilevel.Problem(inner, lambda hyper, params, batch, key: outer_loss(params, batch, key))
    all_params = lambda hyper, params: combine(params, partition(hyper, adapted)[1])
    inner = bilevel.Inner.descent(
        loss=lambda hyper, params, batch, key: loss_fn(all_params(hyper, params), batch, key),
        init=lambda hyper, key: partition(hyper, adapted)[0],
        optimizer=lambda hyper: inner_optimizer,
    )
    return bilevel.Problem(inner, lambda hyper, params, batch, key: outer_loss(all_params(hyper, params), batch, key))


def maml(
    loss_fn: LossFn,
    inner_optimizer: optax.GradientTransformation,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int = 1,
    test_steps: int | None = None,
    estimator: bilevel.Estimator | None = None,
    query_loss: LossFn | None = None,
    chunk: int | None = None,
    adapted: Selection | None = None,
) -> Method:
    r"""Learns an initialization from which a few gradient steps on a task's support do well on its query.

    The inner learner takes S steps on the support loss of a task τ from the initialization h. The initialization descends the
    mean query loss after these steps, by the exact derivative through them:

    $$\min_h \; \frac1T \sum_{\tau=1}^{T} L_{Q_\tau}\bigl(w^\tau_S(h)\bigr), \qquad
    w^\tau_0 = h, \quad w^\tau_{s+1} = w^\tau_s - \alpha \nabla L_{S_\tau}(w^\tau_s)$$

    ``state.hyper`` is the meta-learned initialization.

    Args:
        loss_fn: Loss of a task, ``(params, batch, key) -> (loss, info)``. ``fewshot.cross_entropy`` is the mean over the N·K
            examples of the support.
        inner_optimizer: Any optax transformation; plain gradient descent in the paper. An inner Adam needs
            ``eps_root=1e-8``, or its derivative is not finite where a gradient is zero.
        outer_optimizer: Adam with rate 1e-3 in the paper.
        inner_steps: Adaptation steps in training, >= 1.
        test_steps: Adaptation steps in ``adapt``, >= 1. The default is ``inner_steps``.
        estimator: ``bilevel.unroll()`` (the default: exact second order; ``remat="sqrt"`` for many steps) or
            ``bilevel.first_order()`` (first-order MAML).
        query_loss: Loss of the adapted parameters, where it differs from ``loss_fn``.
        chunk: Number of tasks that are computed side by side; the rest follow in a scan. Fewer need less memory.
            ``None`` computes all tasks at once.
        adapted: Selects the parameters that take inner steps, by their paths, such as
            ``fewshot.parameters.under("head")``. All parameters are meta-learned in any case. ``None`` adapts all.

    Returns:
        A method whose ``info`` holds ``outer_loss`` (the query loss after adaptation), ``inner_loss`` and what the loss
        reports on the query.

    Raises:
        InputError: If ``test_steps`` is less than 1.
        InputError: If ``adapted`` selects no parameter (when the method is first used).

    Deviations:
        The authors' code divides the sum of a support's losses by the K shots, ``fewshot.cross_entropy`` divides it by all N·K
        examples. The same inner step therefore has an N times larger rate here: 2.0 for their 0.4 on 5 ways, and 2.0 for their
        0.1 on 20 ways.

    References:
        Finn et al. 2017, arXiv:1703.03400.

    Example:
        >>> import jax
        >>> from metajax import fewshot, nn
        >>> init, apply = nn.functional(lambda rngs: nn.MLP(1, (40, 40), 1, rngs=rngs))
        >>> method = maml(fewshot.squared_error(apply), optax.sgd(0.01), optax.adam(1e-3))
        >>> state = method.init(jax.random.key(0), init(jax.random.key(1)))
        >>> sample = fewshot.episodes.tasks(fewshot.episodes.sinusoid(shots=10, queries=10), 25)
        >>> state, info = jax.jit(method.update)(state, sample(jax.random.key(2)))
        >>> sorted(info)
        ['hypergradient_norm', 'inner_loss', 'mse', 'outer_loss']
    """
    task_problem = maml_problem(loss_fn, inner_optimizer, query_loss, adapted)
    return by_gradient(
        task_problem, estimator or bilevel.unroll(), outer_optimizer, inner_steps, test_steps, chunk=chunk
    )


def fomaml(
    loss_fn: LossFn,
    inner_optimizer: optax.GradientTransformation,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int = 1,
    test_steps: int | None = None,
    query_loss: LossFn | None = None,
    chunk: int | None = None,
    adapted: Selection | None = None,
) -> Method:
    r"""First-order MAML: the query gradient at the adapted parameters moves the initialization.

    The derivative of the inner steps is taken as the identity. No second derivative is computed, and memory does not grow with
    the inner steps:

    $$\nabla_h L_Q\bigl(w_S(h)\bigr) \approx \nabla L_Q(w)\big|_{w = w_S(h)}$$

    Args:
        loss_fn: Loss of a task; see ``maml``.
        inner_optimizer: Any optax transformation; plain gradient descent in the paper.
        outer_optimizer: Adam with rate 1e-3 in the paper.
        inner_steps: Adaptation steps in training, >= 1.
        test_steps: Adaptation steps in ``adapt``, >= 1. The default is ``inner_steps``.
        query_loss: Loss of the adapted parameters, where it differs from ``loss_fn``.
        chunk: Number of tasks that are computed side by side; see ``maml``.
        adapted: Selects the parameters that take inner steps; see ``maml``.

    Returns:
        The method.

    Raises:
        InputError: If ``test_steps`` is less than 1.

    Deviations:
        The inner rate has the same factor N to that of the authors' code as in ``maml``.

    References:
        Finn et al. 2017, arXiv:1703.03400.

    Example:
        >>> from metajax import fewshot, nn
        >>> init, apply = nn.functional(lambda rngs: nn.MLP(1, (40, 40), 1, rngs=rngs))
        >>> fomaml(fewshot.squared_error(apply), optax.sgd(0.01), optax.adam(1e-3), inner_steps=5).train_steps
        5
    """
    first_order = bilevel.first_order()
    return maml(
        loss_fn, inner_optimizer, outer_optimizer, inner_steps, test_steps, first_order, query_loss, chunk, adapted
    )


def _build(recipe: Recipe, network: Network) -> BuiltMethod:
    """Builds MAML of either order. Its inner steps leave batch norms alone where the recipe says so."""
    if not recipe.adapt_norms and has_norms(whole_network(recipe, network)):
        frozen_norms = {"adapted": lambda path: not parameters.is_norm(path)}
        recipe = dataclasses.replace(recipe, options={**recipe.options, **frozen_norms})
    return by_descent(recipe, network)


RECIPES = {
    "maml": Recipe(_build, maml, **ADAPTED),
    "fomaml": Recipe(_build, fomaml, **ADAPTED),
}
"""The recipes of this file by the names of the methods."""
